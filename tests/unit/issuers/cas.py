"""CAs and their Secrets for the tests of authorities."""

from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from issuers.authority import Authority, load_authority
from issuers.x509 import keys
from tests.pki import CA, DAY
from tests.vectors import craft

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


Secret = dict[str, bytes]


def load(secret: Secret, now: datetime = NOW) -> Authority:
    return load_authority(secret["tls.crt"], secret["tls.key"], secret.get("ca.crt"), now=now)


def ca(name: str = "root", **wishes: object) -> CA:
    return CA(name, now=NOW, **wishes)  # type: ignore[arg-type]  # the keywords are CA's own


def spki(made: CA) -> bytes:
    return keys.public_bytes(made.private.public_key())


class Three(NamedTuple):
    """A root, an intermediate below it, and the CA that signs."""

    root: CA
    middle: CA
    low: CA


def chain_of_three() -> Three:
    root = ca("root", not_after=NOW + 300 * DAY)
    middle = root.intermediate("middle", now=NOW, not_after=NOW + 200 * DAY, not_before=NOW - 2 * DAY)
    return Three(root, middle, middle.intermediate("low", now=NOW, path_length=0))


def signed_by_nobody() -> bytes:
    """A self-signed CA certificate whose signature is broken, below another's name."""
    made = ca("root")
    der = bytearray(made.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return craft.pem(bytes(der), "CERTIFICATE")


GOOD = ca().secret()
