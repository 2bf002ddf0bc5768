"""CAs from Secrets that have a fault: none is loaded, and the field that is at fault is named."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.errors import InvalidAuthority
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import GOOD, NOW, Secret, ca, chain_of_three, load, signed_by_nobody, spki
from tests.vectors import craft


def other_ca_with_same_name() -> CA:
    return ca("root", private=pki.key(n=77))


def renamed(made: CA) -> CA:
    return ca("renamed", private=made.private)


def with_broken_key(made: CA) -> bytes:
    """The certificate with a point that is not on the curve."""
    der = made.certificate.public_bytes(Encoding.DER)
    point = spki(made)[-64:]
    return craft.pem(der.replace(point, point[:-1] + bytes([point[-1] ^ 1])), "CERTIFICATE")


def not_whole(secret: Secret, field: str) -> Secret:
    return secret | {field: secret[field][:100]}


def sha1_intermediate() -> Secret:
    root = ca("root", private=pki.key("rsa", n=3))
    low = root.intermediate("low", now=NOW)
    return low.secret() | {"tls.crt": pki.cert_pem(pki.signed_with_sha1(low.certificate, root.private))}


def weak_root_above() -> Secret:
    root = ca("root", private=pki.key("rsa1024"))
    return root.intermediate("low", now=NOW).secret()


def middle_not_a_ca() -> Secret:
    middle = ca("root").intermediate("middle", now=NOW, is_ca=False)
    return middle.intermediate("low", now=NOW).secret()


def path_too_long(root_length: int | None, middle_length: int | None) -> Secret:
    middle = ca("root", path_length=root_length).intermediate("middle", now=NOW, path_length=middle_length)
    return middle.intermediate("low", now=NOW).secret()


def expired_above(field: str) -> Secret:
    ended = {"not_before": NOW - 9 * DAY, "not_after": NOW - timedelta(hours=1)}
    root = ca("root", **(ended if field == "ca.crt" else {}))
    middle = root.intermediate("middle", now=NOW, **(ended if field == "tls.crt" else {}))
    return middle.intermediate("low", now=NOW).secret()


ENDED = "'CN=root' expired at 2026-11-22T11:00:00Z"


FAULTS: dict[str, tuple[Callable[[], Secret], str, str, str]] = {
    "no certificate": (lambda: GOOD | {"tls.crt": b""}, "InvalidCertificate", "tls.crt", "it is empty"),
    "no PEM": (lambda: GOOD | {"tls.crt": b"CA"}, "InvalidCertificate", "tls.crt", "there is no PEM block"),
    "a cut certificate": (
        lambda: not_whole(GOOD, "tls.crt"),
        "InvalidCertificate",
        "tls.crt",
        "a PEM block without its END line",
    ),
    "not a certificate": (
        lambda: GOOD | {"tls.crt": craft.pem(b"\x30\x00", "CERTIFICATE")},
        "InvalidCertificate",
        "tls.crt",
        "a certificate that cannot be read: truncated",
    ),
    "a key among the certificates": (
        lambda: GOOD | {"tls.crt": GOOD["tls.crt"] + GOOD["tls.key"]},
        "InvalidCertificate",
        "tls.crt",
        "a PEM block 'PRIVATE KEY' among the certificates",
    ),
    "too long a text": (
        lambda: GOOD | {"tls.crt": GOOD["tls.crt"] + b"\n" * 131072},
        "InvalidCertificate",
        "tls.crt",
        f"{len(GOOD['tls.crt']) + 131072} bytes are too many for a chain",
    ),
    "a bundle of other roots in ca.crt": (
        lambda: GOOD | {"ca.crt": ca("other").pem + ca("third").pem},
        "RootMismatch",
        "ca.crt",
        "'CN=other' did not sign 'CN=root' of tls.crt",
    ),
    "too many in ca.crt": (
        lambda: GOOD | {"ca.crt": b"".join(ca(f"other-{n}").pem for n in range(101))},
        "InvalidCertificate",
        "ca.crt",
        "101 certificates; at most 100 are looked at",
    ),
    "a cut ca.crt": (
        lambda: not_whole(GOOD, "ca.crt"),
        "InvalidCertificate",
        "ca.crt",
        "a PEM block without its END line",
    ),
    "an empty key": (lambda: GOOD | {"tls.key": b""}, "InvalidKey", "tls.key", "it is empty"),
    "an encrypted key": (
        lambda: GOOD | {"tls.key": pki.key_pem(ca().private, b"x")},
        "EncryptedKey",
        "tls.key",
        "the private key is encrypted; no passphrase can be given",
    ),
    "someone else's key": (
        lambda: GOOD | {"tls.key": pki.key_pem(pki.key(n=78))},
        "KeyMismatch",
        "tls.key",
        "it is not the key of the certificate in tls.crt",
    ),
    "another kind of key": (
        lambda: GOOD | {"tls.key": pki.key_pem(pki.key("rsa"))},
        "KeyMismatch",
        "tls.key",
        "it is not the key of the certificate in tls.crt",
    ),
    "no CA flag": (lambda: ca(is_ca=False).secret(), "NotCA", "tls.crt", "'CN=root' is not a CA"),
    "no BasicConstraints": (lambda: ca(is_ca=None).secret(), "NotCA", "tls.crt", "'CN=root' is not a CA"),
    "no keyCertSign": (
        lambda: ca(key_cert_sign=False).secret(),
        "KeyUsageMissing",
        "tls.crt",
        "'CN=root' lacks the key usage cert sign",
    ),
    "expired": (
        lambda: ca(not_before=NOW - 9 * DAY, not_after=NOW - timedelta(hours=1)).secret(),
        "Expired",
        "tls.crt",
        ENDED,
    ),
    "not yet valid": (
        lambda: ca(not_before=NOW + timedelta(hours=1)).secret(),
        "NotYetValid",
        "tls.crt",
        (
            "'CN=root' is valid from 2026-11-22T13:00:00Z; by the clock here it is about 2026-11-22T12:00Z, and if that is wrong, set "
            "this node's clock"
        ),
    ),
    "an expired intermediate": (
        lambda: expired_above("tls.crt"),
        "Expired",
        "tls.crt",
        "'CN=middle' expired at 2026-11-22T11:00:00Z",
    ),
    "an expired root": (lambda: expired_above("ca.crt"), "Expired", "ca.crt", ENDED),
    "an intermediate without CA flag": (middle_not_a_ca, "NotCA", "tls.crt", "'CN=middle' is not a CA"),
    "a root's path length": (
        lambda: path_too_long(1, None),
        "PathLength",
        "ca.crt",
        "'CN=root' allows 1 CAs below it, there are 2",
    ),
    "an intermediate's path length": (
        lambda: path_too_long(None, 0),
        "PathLength",
        "tls.crt",
        "'CN=middle' allows 0 CAs below it, there are 1",
    ),
    "another root": (
        lambda: GOOD | {"ca.crt": ca("other").pem},
        "RootMismatch",
        "ca.crt",
        "'CN=other' did not sign 'CN=root' of tls.crt",
    ),
    "another root of the same name": (
        lambda: ca("root").intermediate("low", now=NOW).secret() | {"ca.crt": other_ca_with_same_name().pem},
        "RootMismatch",
        "ca.crt",
        "'CN=root' did not sign 'CN=low' of tls.crt",
    ),
    "a root with the right key and another name": (
        lambda: (low := ca("root").intermediate("low", now=NOW)).secret() | {"ca.crt": renamed(low.root).pem},
        "RootMismatch",
        "ca.crt",
        "'CN=renamed' did not sign 'CN=low' of tls.crt",
    ),
    "a root whose key is broken": (
        lambda: ca("root").intermediate("low", now=NOW).secret() | {"ca.crt": with_broken_key(ca("root"))},
        "RootMismatch",
        "ca.crt",
        "'CN=root' did not sign 'CN=low' of tls.crt",
    ),
    "another root with another kind of key": (
        lambda: ca("root").intermediate("low", now=NOW).secret() | {"ca.crt": ca("root", private=pki.key("rsa")).pem},
        "RootMismatch",
        "ca.crt",
        "'CN=root' did not sign 'CN=low' of tls.crt",
    ),
    "a foreign certificate in the chain": (
        lambda: GOOD | {"tls.crt": GOOD["tls.crt"] + ca("other").pem},
        "ChainBroken",
        "tls.crt",
        "'CN=other' did not sign 'CN=root' of tls.crt",
    ),
    "a missing intermediate": (
        lambda: {"tls.crt": (three := chain_of_three())[2].pem, "tls.key": three[2].key_pem, "ca.crt": three[0].pem},
        "RootMismatch",
        "ca.crt",
        "'CN=root' did not sign 'CN=low' of tls.crt",
    ),
    "eleven certificates": (
        lambda: GOOD | {"tls.crt": b"".join(ca(f"ca-{n}").pem for n in range(11))},
        "ChainBroken",
        "tls.crt",
        "11 certificates; at most 10 make a chain",
    ),
    "a weak key": (
        lambda: {"tls.crt": ca(private=pki.key("rsa1024")).pem, "tls.key": pki.key_pem(pki.key("rsa1024"))},
        "WeakKey",
        "tls.crt",
        "'CN=root' has an RSA key of 1024 bits; 2048 to 8192 are accepted",
    ),
    "a weak root": (
        weak_root_above,
        "WeakKey",
        "ca.crt",
        "'CN=root' has an RSA key of 1024 bits; 2048 to 8192 are accepted",
    ),
    "another curve": (
        lambda: {"tls.crt": ca(private=ec.derive_private_key(9, ec.SECP224R1())).pem, "tls.key": GOOD["tls.key"]},
        "WeakKey",
        "tls.crt",
        "'CN=root' has a key of kind EC on this curve or in this form, which is not accepted; RSA, P-256, P-384, P-521, Ed25519 are",
    ),
    "SHA-1": (sha1_intermediate, "WeakKey", "tls.crt", "'CN=low' has a signature with SHA-1, which is broken"),
}


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS)
def test_a_ca_with_a_fault_is_not_loaded(fault: str) -> None:
    """Each fault alone, on a CA that is good otherwise, gives its reason, its field and one sentence."""
    make, reason, field, message = FAULTS[fault]
    with pytest.raises(InvalidAuthority) as refused:
        load(make())
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert str(refused.value) == f"{field}: {message}"


def test_the_baseline_of_the_faults_is_good() -> None:
    """The Secrets that the faults are planted in load without them, and at the edges of the path lengths."""
    load(GOOD)
    load(path_too_long(2, 1))
    load(path_too_long(None, None))
    load({"tls.crt": signed_by_nobody(), "tls.key": ca("root").key_pem})
