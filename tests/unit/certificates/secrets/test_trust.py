"""How long a certificate can be verified, and what a renewed CA brings to the Secrets of its leaves."""

import base64
import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.certificate import sign, template_for
from issuers.request import read_request
from issuers.template import within
from issuers.x509 import loading
from signer.api.certificate import IssuerReference
from signer.api.certificaterequest import CertificateRequest
from signer.certificates.policies import EXPIRED, RENEWING, Facts, issuance_needed, not_ready
from signer.certificates.renewal import useful_until
from signer.certificates.secrets import trust
from signer.certificates.secrets.content import IssuedData
from signer.certificates.secrets.trust import answer_doubts, longest, stored_ca, trusted_until
from signer.certificates.secrets.view import inspect
from tests import pki
from tests.pki import CA, DAY
from tests.unit.certificates import samples
from tests.unit.csr.crafted import loaded

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROOT = CA("root", now=NOW, not_after=NOW + 50 * DAY)
LOW = ROOT.intermediate("low", not_after=NOW + 40 * DAY)


def issued(ca: CA, days: int = 10, request: bytes | None = None, usages: tuple[str, ...] = ()) -> IssuedData:
    """A leaf of a CA, with what is stored beside it."""
    authority = loaded(ca)
    wish = template_for(
        read_request(request or pki.csr(dns=["a"])), usages=usages, duration=days * DAY, is_ca=False, now=ca.now
    )
    made = sign(within(wish, not_before=authority.not_before, not_after=authority.not_after), authority, serial=7)
    return IssuedData(b"", made.pem, authority.anchor_pem, IssuerReference(name="ca"))


def renewed(ca: CA, **wishes: object) -> CA:
    """The same CA, with the same key, a day later."""
    common_name = str(next(iter(ca.name)).value)
    return CA(common_name, private=ca.private, parent=ca.parent, now=NOW + DAY, **wishes)  # type: ignore[arg-type]


def test_the_first_that_ends_counts() -> None:
    """A chain verifies until the first of its CAs ends; with several roots the one that lasts longest counts."""
    data = issued(LOW)
    assert trusted_until(data.chain, data.ca) == NOW + 40 * DAY
    assert trusted_until(data.chain, data.ca + CA("other", now=NOW).pem) == NOW + 40 * DAY
    short = CA("root", private=ROOT.private, now=NOW, not_after=NOW + 5 * DAY)
    assert trusted_until(data.chain, short.pem) == NOW + 5 * DAY
    assert trusted_until(data.chain, short.pem + ROOT.pem) == NOW + 40 * DAY


@pytest.mark.parametrize("ca", [b"", b"junk", CA("root", now=NOW, private=pki.key(n=91)).pem, pki.key_pem(pki.key())])
def test_what_does_not_verify_has_no_end(ca: bytes) -> None:
    """Nothing is said of a certificate that its ca.crt does not verify, or that has none."""
    assert trusted_until(issued(LOW).chain, ca) is None


def test_a_certificate_ends_with_those_above_it() -> None:
    """However long is asked for: at the last second of a certificate its own ca.crt verifies it."""
    data = issued(LOW, days=400)
    leaf = inspect(samples.secret(data={"tls.crt": data.chain, "ca.crt": data.ca})).leaf
    assert leaf is not None
    assert leaf.not_valid_after_utc == trusted_until(data.chain, data.ca)


def test_a_renewed_ca_brings_its_chain_and_root() -> None:
    """The same certificate, with what verifies it longer: no new certificate is needed, and the key stays."""
    before = issued(LOW)
    root = renewed(ROOT, not_after=NOW + 90 * DAY)
    low = CA("low", private=LOW.private, parent=root, now=NOW + DAY, not_after=NOW + 80 * DAY)
    after = longest(before, None, loaded(low))
    assert after.chain == before.chain.replace(LOW.pem, low.pem)
    assert after.ca == root.pem
    assert (after.key, after.issuer) == (before.key, before.issuer)
    assert longest(before, after, loaded(low)) == after
    # While the CA is not known what is in the Secret stays, and no longer when it verifies nothing.
    assert longest(before, after, None) == after
    broken = IssuedData(b"", after.chain, CA("other", now=NOW).pem, after.issuer)
    assert longest(before, broken, None) == before


@pytest.mark.parametrize("other", ["another key", "another CA", "ends sooner", "another name"])
def test_what_is_no_better_changes_nothing(other: str) -> None:
    """A CA that did not sign the certificate, or that ends sooner, takes nothing away from it."""
    before = issued(ROOT)
    ca = {
        "another key": CA("root", now=NOW, private=pki.key(n=92)),
        "another CA": CA("third", now=NOW),
        "ends sooner": renewed(ROOT, not_after=NOW + 3 * DAY),
        "another name": CA("fourth", now=NOW, private=ROOT.private),
    }[other]
    assert longest(before, before, loaded(ca)) == before


def test_renewal_comes_before_the_trust_ends() -> None:
    """A certificate of another signer that outlives its ca.crt is renewed, and told of, as if it ended with that."""
    short = CA("root", private=ROOT.private, now=NOW, not_after=NOW + 6 * DAY)
    data = issued(ROOT, 30, samples.request().spec.request, ("digital signature", "server auth"))
    view = inspect(samples.secret(data={"tls.crt": data.chain, "tls.key": samples.key_pem(), "ca.crt": short.pem}))
    assert view.trust_ends == NOW + 6 * DAY
    found = Facts(samples.certificate(), view, None, NOW + 5 * DAY)
    why = issuance_needed(found)
    assert why is not None
    assert why.reason == RENEWING
    assert not_ready(found) is None
    ended = not_ready(Facts(found.certificate, view, None, NOW + 6 * DAY + timedelta(seconds=1)))
    assert ended is not None
    assert ended.reason == EXPIRED


def test_trust_that_had_ended_before_is_no_reason() -> None:
    """Where those above had ended before the certificate began, a new one would be no better: its own dates count."""
    assert useful_until(NOW, NOW + DAY, NOW - DAY) == NOW + DAY
    assert useful_until(NOW, NOW + DAY, None) == NOW + DAY
    assert useful_until(NOW, NOW + 2 * DAY, NOW + DAY) == NOW + DAY


def test_looks_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many roots of one name stand in ca.crt, few signatures are verified; the same Secret costs none when it is seen again."""
    verified: list[object] = []
    real = loading.signed_by

    def counted(below: x509.Certificate, above: x509.Certificate) -> bool:
        verified.append(above)
        return real(below, above)

    monkeypatch.setattr(loading, "signed_by", counted)
    data = issued(LOW)
    bundle = b"".join(CA("root", now=NOW, private=pki.key("p256", n=n)).pem for n in range(60))
    assert trusted_until(data.chain, bundle) is None
    assert len(verified) <= trust.MOST_OF_A_NAME + 2
    verified.clear()
    other = CA("other one", now=NOW, not_after=NOW + 20 * DAY)
    seen = issued(other)
    until = trusted_until(seen.chain, seen.ca)
    assert until == NOW + 20 * DAY
    count = len(verified)
    assert count
    for _ in range(10):
        assert trusted_until(seen.chain, seen.ca) == until
    assert len(verified) == count


LEAF = pki.cert_pem(x509.load_pem_x509_certificates(issued(LOW).chain)[0])
OTHERS = {"low": LOW.pem, "root": ROOT.pem, "stranger": CA("stranger", now=NOW).pem}
ABOVE = {"leaf": "low", "low": "root", "root": "root", "stranger": "stranger"}
CHAINS = [("leaf", *rest) for count in range(4) for rest in itertools.permutations(OTHERS, count)]
ROOTS = [rest for count in range(3) for rest in itertools.combinations(OTHERS, count)]


@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
def test_what_leads_nowhere_is_told(chain: tuple[str, ...]) -> None:
    """Of all orders of the certificates above a leaf, and all roots beside them: what does not lead upwards is doubted, no more."""
    text = b"".join({"leaf": LEAF, **OTHERS}[name] for name in chain)
    leads = all(ABOVE[below] == above for below, above in itertools.pairwise(chain))
    for roots in ROOTS:
        ca = b"".join(OTHERS[name] for name in roots)
        ends = trusted_until(text, ca)
        anchored = not roots or chain[-1] in roots or ABOVE[chain[-1]] in roots
        found = answer_doubts(None, text, ca, verified=ends is not None)
        assert bool(found) is not (leads and anchored), (chain, roots, found)
        assert all(one.reason == "BrokenChain" for one in found)


@pytest.mark.parametrize(
    ("ca", "says"),
    [
        (b"\x30\x82garbage", "holds no PEM"),
        (ROOT.certificate.public_bytes(Encoding.DER), "it is DER"),
        (base64.b64encode(ROOT.pem), "it is base64 of PEM"),
        (b"null", "holds no PEM"),
        (pki.key_pem(pki.key()), "holds no PEM"),
        (ROOT.pem * 1000, "too many"),
        (ROOT.pem + ROOT.pem.replace(b"MII", b"AAA", 1), "some readers refuse all"),
        (ROOT.pem, ""),
        (b"# the root\n" + ROOT.pem, ""),
        (b"", ""),
    ],
)
def test_a_root_that_nobody_can_read(ca: bytes, says: str) -> None:
    """What another group's issuer gives for a root is stored only if some certificate can be read in it, and it is told why not."""
    body = samples.request_json()
    body["spec"]["issuerRef"] = {"name": "x", "kind": "Thing", "group": "example.com"}
    body["status"]["ca"] = base64.b64encode(ca).decode()
    request = msgspec.convert(body, CertificateRequest)
    kept = not says or "some readers" in says
    assert stored_ca(request) == (ca if kept else b"")
    found = answer_doubts(request, LEAF, b"", verified=False)
    assert [one.reason for one in found] == (["UnreadableCA"] if says else [])
    assert not says or says in found[0].message
