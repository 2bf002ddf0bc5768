"""What one certificate costs, step by step, in microseconds of CPU; nothing but issuers/, no network.

    .venv/bin/python -m benchmarks.issue_cost

Each figure is the best of several rounds, so that a neighbour on the machine does not count; trust ratios.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from issuers import assembly
from issuers.authority import Authority, load_authority
from issuers.certificate import new_serial, self_sign, sign, template_for
from issuers.compose import compose_request
from issuers.inspection import read_certificate
from issuers.private_key import encode_key, generate_key
from issuers.request import read_request
from issuers.x509 import keys, pem
from issuers.x509.subject import Subject

USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
SAMPLE = b"x" * 256
KINDS = {"P-256": ("ECDSA", 256), "RSA-2048": ("RSA", 2048), "Ed25519": ("Ed25519", None)}
NOW = datetime.now(UTC)


def cost(step: Callable[[], object], *, rounds: int = 15, seconds: float = 0.05) -> float:
    """Microseconds of CPU that one call takes: the best of `rounds`."""
    step()
    start = time.process_time()
    step()
    calls = max(3, int(seconds / max(time.process_time() - start, 1e-5)))
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            step()
        best = min(best, (time.process_time() - start) / calls)
    return best * 1e6


def authority(kind: str) -> Authority:
    """Make a self-signed CA."""
    key = generate_key(*KINDS[kind])
    request = read_request(compose_request(key, subject=Subject(common_name="bench"), is_ca=True))
    template = template_for(request, usages=(), duration=timedelta(days=90), is_ca=True, now=NOW, add_cert_sign=True)
    root = self_sign(template, key, serial=new_serial())
    return load_authority(root.pem, encode_key(key), root.pem, now=NOW)


def main() -> None:
    """Print the table."""
    requests = {
        kind: compose_request(
            generate_key(*KINDS[kind]),
            uris=["spiffe://cluster.local/ns/foo/sa/default"],
            encode_usages=False,
        )
        for kind in KINDS
    }
    print("read a CSR                total   PEM  load key  verify")
    for kind, text in requests.items():
        request = read_request(text)
        algorithm = keys.ALGORITHMS[request.signature_algorithm]
        private = generate_key(*KINDS[kind])
        public, signature = private.public_key(), algorithm.signer(private)(SAMPLE)
        print(
            f"{kind:<24}{cost(lambda t=text: read_request(t)):7.1f}"  # type: ignore[misc]
            f"{cost(lambda t=text: pem.read_request(t)):6.1f}"  # type: ignore[misc]
            f"{cost(lambda r=request: keys.load_public_key(r.spki)):10.1f}"  # type: ignore[misc]
            f"{cost(lambda a=algorithm, p=public, s=signature: a.verify(p, s, SAMPLE)):8.1f}"  # type: ignore[misc]
        )
    print("\nissue with a CA           total  template  assemble  raw signature  read back  PEM")
    request = read_request(requests["P-256"])

    def template() -> object:
        return template_for(request, usages=USAGES, duration=timedelta(days=1), is_ca=False, now=NOW)

    decided = template_for(request, usages=USAGES, duration=timedelta(days=1), is_ca=False, now=NOW)
    for kind in KINDS:
        ca = authority(kind)
        issued = sign(decided, ca, serial=new_serial())

        def assemble(ca: Authority = ca) -> object:
            return assembly.to_be_signed(
                decided, issuer=ca.subject_der, authority_key_id=None, algorithm=ca.algorithm, serial=new_serial()
            )

        print(
            f"{kind:<24}{cost(lambda c=ca: sign(decided, c, serial=new_serial())):7.1f}"  # type: ignore[misc]
            f"{cost(template):10.1f}{cost(assemble):10.1f}"
            f"{cost(lambda c=ca, d=issued.der: c.signer(d)):15.1f}"  # type: ignore[misc]
            f"{cost(lambda d=issued.der: read_certificate(d)):11.1f}"  # type: ignore[misc]
            f"{cost(lambda d=issued.der: pem.encode('CERTIFICATE', d)):5.1f}"  # type: ignore[misc]
        )
    print("\nCSR bytes to certificate   total  per second and core")
    for kind in KINDS:
        for ca_kind in KINDS:
            text, ca = requests[kind], authority(ca_kind)

            def whole(text: bytes = text, ca: Authority = ca) -> object:
                wish = template_for(read_request(text), usages=USAGES, duration=timedelta(days=1), is_ca=False, now=NOW)
                return sign(wish, ca, serial=new_serial())

            total = cost(whole)
            print(f"{kind + ' by ' + ca_kind:<24}{total:8.1f}{1e6 / total:10.0f}")


if __name__ == "__main__":
    main()
