"""Private keys: made, written and loaded in the forms that cert-manager's Certificates use.

No message here holds a byte of a key. Making an RSA key takes from 0.1 s (2048) to many seconds (8192): call it off
the event loop. Safe in any thread.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from issuers.errors import InvalidAuthority, TemplateError
from issuers.x509 import der, keys, pem
from issuers.x509.keys import PrivateKey
from issuers.x509.not_pem import broken, no_block

_CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
# An RSA-8192 key has 6,400; checking the numbers of a larger key would take minutes.
_MAX_PEM_BYTES = 8 * 1024
# The algorithms of RFC 8017, RFC 5480 and RFC 8410; RSASSA-PSS keys are of none that Go reads.
_KINDS = ("1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112")
_RSA_PARTS = 8  # after the version
_BROKEN = "the private key is broken or of an unknown kind"
_OTHER_KIND = "a private key of a kind other than RSA, EC and Ed25519"
_TRIAL = b"mesh-signer: does this key sign?"


def generate_key(algorithm: str, size: int | None = None) -> PrivateKey:
    """Make a key: "RSA" (2048 to 8192, 2048 if None), "ECDSA" (256, 384, 521; 256 if None) or "Ed25519".

    The names and sizes are those of a Certificate's spec.privateKey. Raises TemplateError for others.
    """
    if algorithm == "RSA":
        bits = size or keys.MIN_RSA_BITS
        if not keys.MIN_RSA_BITS <= bits <= keys.MAX_RSA_BITS:
            raise TemplateError(
                "privateKey.size", f"{bits} bits; RSA keys have {keys.MIN_RSA_BITS} to {keys.MAX_RSA_BITS}"
            )
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    if algorithm == "ECDSA":
        curve = _CURVES.get(size or 256)
        if curve is None:
            raise TemplateError("privateKey.size", f"{size} bits; ECDSA keys have 256, 384 or 521")
        return ec.generate_private_key(curve)
    if algorithm == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise TemplateError("privateKey.algorithm", f"{algorithm!r} is not RSA, ECDSA or Ed25519")


def encode_key(key: PrivateKey, encoding: str = "PKCS1") -> bytes:
    """Write a key as PEM: "PKCS1" (for ECDSA SEC 1, for Ed25519 PKCS#8, as cert-manager does) or "PKCS8".

    Raises TemplateError for another encoding.
    """
    if encoding not in ("PKCS1", "PKCS8"):
        raise TemplateError("privateKey.encoding", f"{encoding!r} is not PKCS1 or PKCS8")
    traditional = encoding == "PKCS1" and not isinstance(key, ed25519.Ed25519PrivateKey)
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def encoded_as(text: bytes, encoding: str) -> bool:
    """Tell whether a PEM text holds a private key in this form: "PKCS8", or "PKCS1" for what each kind of key has.

    The label alone tells; an Ed25519 key has the one form only, so callers ask for no other.
    """
    return (b"-----BEGIN PRIVATE KEY-----" in text) == (encoding == "PKCS8")


def load_key(text: bytes, *, field: str = "tls.key") -> PrivateKey:
    """Load the private key in a PEM text (milliseconds, for RSA-8192 some 50: off the loop).

    The library's own check of an RSA key is left out: it tests primes, for seconds with a large key (6 s for
    RSA-8192), and holds the interpreter's lock meanwhile, so that one Secret could stop the process. Instead the size
    is checked first, that the parts of an RSA key are no larger than they may be (a signature is made with each of them),
    then the key must make a signature that its public key verifies. Kinds that do not sign here are not loaded: the
    library works out the public half of a DSA or DH key.

    Raises InvalidAuthority: EncryptedKey, InvalidKey, or WeakKey for a kind or size that must not sign.
    """
    if len(text) > _MAX_PEM_BYTES:
        raise InvalidAuthority("InvalidKey", field, f"{len(text)} bytes are too many for a private key")
    try:
        blocks = [block for block in pem.read_blocks(text) if block[0] != "EC PARAMETERS"]
    except pem.PemError as error:
        reason = "EncryptedKey" if "encrypted" in str(error) else "InvalidKey"
        raise InvalidAuthority(reason, field, broken(error, text)) from None
    if not blocks:
        raise InvalidAuthority("InvalidKey", field, no_block(text))
    label, data = blocks[0]
    if label == "ENCRYPTED PRIVATE KEY":
        raise InvalidAuthority("EncryptedKey", field, "the private key is encrypted; no passphrase can be given")
    if label not in _LABELS:
        raise InvalidAuthority("InvalidKey", field, f"a PEM block {label!r} where a private key is expected")
    if len(blocks) > 1:
        raise InvalidAuthority("InvalidKey", field, "more than one PEM block")
    if (why := _unknown_kind(data)) is not None:
        raise InvalidAuthority("InvalidKey", field, why)
    try:
        key = serialization.load_der_private_key(data, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's message is left out: it may quote what it read.
        raise InvalidAuthority("InvalidKey", field, _BROKEN) from None
    if not isinstance(key, PrivateKey):
        raise InvalidAuthority("InvalidKey", field, _OTHER_KIND)
    try:
        algorithm = keys.algorithm_for(key)
    except keys.KeyRefused as error:
        raise InvalidAuthority("WeakKey", field, str(error)) from None
    if not _parts_fit(key) or not _signs(key, algorithm):
        raise InvalidAuthority("InvalidKey", field, "the private key is broken: it does not make valid signatures")
    return key


def _unknown_kind(data: bytes) -> str | None:
    """Tell why a DER is no key of ours: not PKCS#8 with one of our algorithms (RFC 5958), SEC 1 (RFC 5915), nor PKCS#1 (RFC 8017)."""
    try:
        pos, end = der.only(data, 0, len(data), der.SEQUENCE)
        _, pos = der.expect(data, pos, end, der.INTEGER)
        tag, start, stop = der.element(data, pos, end)
        if tag == der.SEQUENCE:
            inner, after = der.expect(data, start, stop, der.OBJECT_IDENTIFIER)
            return None if der.object_identifier(data[inner:after]) in _KINDS else _OTHER_KIND
        if tag == der.OCTET_STRING:
            return None
        parts = 0
        while pos < end:
            _, pos = der.expect(data, pos, end, der.INTEGER)
            parts += 1
    except der.DerError:
        return _BROKEN
    return None if parts == _RSA_PARTS else _OTHER_KIND


def _parts_fit(key: PrivateKey) -> bool:
    """Tell whether no part of an RSA key is larger than it may be, so that a signature takes no longer than it should."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return True
    try:
        numbers = key.private_numbers()
    except ValueError:
        return False
    n, p, q = numbers.public_numbers.n, numbers.p, numbers.q
    return p * q == n and numbers.d < n and numbers.dmp1 < p and numbers.dmq1 < q and numbers.iqmp < p


def _signs(key: PrivateKey, algorithm: keys.SignatureAlgorithm) -> bool:
    try:
        return algorithm.verify(key.public_key(), algorithm.signer(key)(_TRIAL), _TRIAL)
    except Exception:  # noqa: BLE001 - what the library makes of numbers that are no key is not foreseen
        return False
