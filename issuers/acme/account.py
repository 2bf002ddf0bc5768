"""The account at a CA: its key, who is told of trouble, and the binding to an account that the CA knows from elsewhere.

A key is P-256 (ES256) unless somebody brought one; RSA keys, as cert-manager makes them, stay usable. The key is the
account: whoever has it may revoke and order. It is never in a repr or a message. Pure but for `generate_key`.
"""

import base64
import binascii
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwa import ES256, ES384, ES512, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA

from issuers import private_key
from issuers.errors import InvalidAuthority

_SLOW_BITS = 4096
# RFC 7518, section 3.4: the algorithm follows from the curve.
_CURVES: dict[str, JWASignature] = {"secp256r1": ES256, "secp384r1": ES384, "secp521r1": ES512}
# RFC 8555, section 7.3.4: a MAC. The short end is ours: a guessable one would let others join the outer account.
# The longer ones want a key as long as their hash (RFC 7518, section 3.2), and CAs insist on it.
MAC_ALGORITHMS = {"HS256": 16, "HS384": 48, "HS512": 64}


class BadAccount(ValueError):
    """A key, a contact or a binding that cannot be used. `field` is the issuer's field; nothing secret is said."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True, eq=False)
class AccountKey:
    """A private key, ready to sign requests. `thumbprint` (RFC 7638) is base64url and public."""

    jwk: JWK = field(repr=False)
    algorithm: JWASignature
    thumbprint: str

    @property
    def slow(self) -> bool:
        """Whether a signature takes so long (10 ms and more: RSA of 4096 bits) that a loop should not wait for it."""
        return isinstance(self.jwk, JWKRSA) and self.jwk.key.key_size >= _SLOW_BITS


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """An account that the CA knows from elsewhere: its id there and the MAC key, base64url without padding."""

    key_id: str
    mac_key: str = field(repr=False)
    algorithm: str = "HS256"


@dataclass(frozen=True, slots=True)
class Registration:
    """What to register with. `agreed` is the person's word on the CA's terms of service."""

    emails: tuple[str, ...] = ()
    external: ExternalAccount | None = None
    agreed: bool = True

    def contact(self) -> tuple[str, ...]:
        """The e-mail addresses as URLs."""
        return tuple(f"mailto:{email}" for email in self.emails)


def generate_key() -> bytes:
    """A new account key: P-256, in the PEM that cert-manager reads too."""
    return private_key.encode_key(private_key.generate_key("ECDSA", 256))


def load_key(pem: bytes, *, field: str = "privateKeySecretRef") -> AccountKey:
    """The account key in a PEM text: P-256, P-384, P-521, or RSA of 2048 to 8192 bits.

    Raises BadAccount naming `field`.
    """
    try:
        key = private_key.load_key(pem, field=field)
    except InvalidAuthority as error:
        raise BadAccount(field, str(error).removeprefix(f"{field}: ")) from None
    jwk: JWK
    if isinstance(key, ec.EllipticCurvePrivateKey):
        jwk, algorithm = JWKEC(key=key), _CURVES[key.curve.name]
    elif isinstance(key, rsa.RSAPrivateKey):
        jwk, algorithm = JWKRSA(key=key), RS256
    else:
        raise BadAccount(field, "an Ed25519 key; CAs take ECDSA and RSA keys for accounts")
    return AccountKey(jwk, algorithm, base64.urlsafe_b64encode(jwk.thumbprint()).rstrip(b"=").decode())


def read_emails(text: str) -> tuple[str, ...]:
    """The addresses of an issuer's `email` field, by commas. Raises BadAccount for what cannot be one.

    RFC 8555, section 7.3: one address in each URL, without header fields.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for one in found:
        local, _, domain = one.rpartition("@")
        if (
            not local
            or not domain
            or len(one) > 254
            or not one.isascii()
            or not one.isprintable()
            or set(one) & set(" ?&%<>")
        ):
            raise BadAccount("email", f"{one[:100]!r} is not an e-mail address that a CA takes")
    return found


def external_account(key_id: str, secret: bytes, algorithm: str = "HS256") -> ExternalAccount:
    """A binding, from the issuer's keyID and the Secret's text: the MAC key in base64url, with or without padding.

    Raises BadAccount; the message says nothing of the key.
    """
    if not key_id or len(key_id) > 512 or not key_id.isprintable():
        raise BadAccount("externalAccountBinding.keyID", "1 to 512 printable characters are expected")
    if algorithm not in MAC_ALGORITHMS:
        raise BadAccount("externalAccountBinding.keyAlgorithm", f"not one of {', '.join(MAC_ALGORITHMS)}")
    text = secret.strip().rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))
    try:
        plain = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadAccount("externalAccountBinding.keySecretRef", "the key is not base64url") from None
    if len(plain) < (needed := MAC_ALGORITHMS[algorithm]):
        raise BadAccount("externalAccountBinding.keySecretRef", f"a key of fewer than {needed} bytes for {algorithm}")
    return ExternalAccount(key_id, text.decode(), algorithm)
