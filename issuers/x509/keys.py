"""Public keys and signature algorithms: which ones are taken, and how they are written in DER.

A key's kind, size and exponent are read from its bytes before any arithmetic: one RSA-16384 check costs what a
hundred honest requests cost. Pure functions and constants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from issuers.x509 import der

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
_MIN_EXPONENT = 65537
_MAX_EXPONENT = (1 << 31) - 1  # Go reads no larger one (crypto/rsa)

# SubjectPublicKeyInfo up to the key itself: with fixed sizes there is exactly one way to write these keys.
# (first bytes, whole length); EC points uncompressed, as RFC 5480 demands of everyone and Go only reads.
_FIXED = {
    "P-256": (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), 91),
    "P-384": (bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), 120),
    "P-521": (bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"), 158),
    "Ed25519": (bytes.fromhex("302a300506032b6570032100"), 44),
}
_RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")

_RSA_KINDS = ("1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10")
# The largest key of a curve has some 170 bytes; a DSA or DH key of 3072 bits more than this.
_MAX_OTHER_BYTES = 1024

_KIND_NAMES = {
    "1.2.840.113549.1.1.1": "RSA",
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.10045.2.1": "EC on this curve or in this form",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.113": "Ed448",
}


class KeyRefused(ValueError):
    """A key or an algorithm that is not taken. The message is for people: a noun, which may follow "has"."""


def check_public_key(spki: bytes) -> str:
    """Judge a SubjectPublicKeyInfo by its bytes alone: returns "RSA", "EC" or "Ed25519".

    Raises KeyRefused for other kinds and curves, sizes outside 2048..8192 bits, exponents that are even, below 65537
    or above what Go reads; der.DerError for a second spelling of a key.
    """
    for name, (prefix, length) in _FIXED.items():
        if spki.startswith(prefix) and len(spki) == length:
            return "Ed25519" if name == "Ed25519" else "EC"
    pos, end = der.only(spki, 0, len(spki), der.SEQUENCE)
    start, stop = der.expect(spki, pos, end, der.SEQUENCE)
    if spki[pos:stop] != _RSA_ALGORITHM:
        inner, after = der.expect(spki, start, stop, der.OBJECT_IDENTIFIER)
        oid = der.object_identifier(spki[inner:after])
        raise KeyRefused(
            f"a key of kind {_KIND_NAMES.get(oid, oid)}, which is not accepted; RSA, P-256, P-384, P-521, Ed25519 are"
        )
    start, stop = der.only(spki, stop, end, der.BIT_STRING)
    if spki[start : start + 1] != b"\x00":
        raise der.DerError("a BIT STRING that is not whole bytes")
    start, stop = der.only(spki, start + 1, stop, der.SEQUENCE)
    inner, after = der.expect(spki, start, stop, der.INTEGER)
    # The length tells the size to the byte before a large number is made of it.
    if after - inner > MAX_RSA_BITS // 8 + 1:
        raise KeyRefused(f"an RSA key of more than {MAX_RSA_BITS} bits")
    modulus = der.unsigned(spki, inner, after)
    inner, after = der.only(spki, after, stop, der.INTEGER)
    if after - inner > 5:
        raise KeyRefused("an RSA key with too large an exponent")
    check_rsa_numbers(modulus, der.unsigned(spki, inner, after))
    return "RSA"


def check_rsa_numbers(modulus: int, exponent: int) -> None:
    """Judge an RSA key's size and exponent. Raises KeyRefused."""
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise KeyRefused(f"an RSA key of {bits} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")
    if not modulus & 1:
        raise KeyRefused("an RSA key with an even modulus")
    if exponent.bit_length() > 64:
        # Not written out: it may be longer than Python writes numbers.
        raise KeyRefused("an RSA key with too large an exponent")
    if not _MIN_EXPONENT <= exponent <= _MAX_EXPONENT or not exponent & 1:
        raise KeyRefused(f"an RSA key with exponent {exponent}; odd ones from {_MIN_EXPONENT} are accepted")


def check_cost(spki: bytes) -> None:
    """Judge by its bytes alone whether a key may be handed to the library, be it too weak or of a kind that signs nothing here.

    Raises KeyRefused, der.DerError for RSA above 8192 bits or with an exponent of more than four bytes, and for a large key
    of another kind: what is done with these takes from milliseconds to seconds.
    """
    pos, end = der.only(spki, 0, len(spki), der.SEQUENCE)
    start, stop = der.expect(spki, pos, end, der.SEQUENCE)
    inner, after = der.expect(spki, start, stop, der.OBJECT_IDENTIFIER)
    if der.object_identifier(spki[inner:after]) not in _RSA_KINDS:
        if len(spki) > _MAX_OTHER_BYTES:
            raise KeyRefused(f"a key of {len(spki)} bytes")
        return
    start, stop = der.only(spki, stop, end, der.BIT_STRING)
    start, stop = der.only(spki, start + 1, stop, der.SEQUENCE)
    inner, after = der.expect(spki, start, stop, der.INTEGER)
    if after - inner > MAX_RSA_BITS // 8 + 1:
        raise KeyRefused(f"an RSA key of more than {MAX_RSA_BITS} bits")
    inner, after = der.only(spki, after, stop, der.INTEGER)
    if after - inner > 5:
        raise KeyRefused("an RSA key with too large an exponent")


def load_public_key(spki: bytes) -> PublicKey:
    """Load a key that `check_public_key` took. Raises KeyRefused, for instance for a point that is not on its curve."""
    try:
        return cast(PublicKey, serialization.load_der_public_key(spki))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused("a public key that is broken") from None


@dataclass(frozen=True, slots=True, eq=False)
class SignatureAlgorithm:
    """One way to sign: the kind of key it needs, its AlgorithmIdentifier, and the library's arguments for both ways.

    `arguments` follow the data in a key's sign and verify: padding and hash, ECDSA with its hash, or nothing.
    """

    name: str
    kind: str
    identifier: bytes
    arguments: tuple[Any, ...]

    def verify(self, key: PublicKey, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is this key's over `data`. The key must be of this algorithm's kind."""
        try:
            # The kind is known, so nothing is asked of the key's class: those questions cost more than reading names.
            key.verify(signature, data, *self.arguments)
        except (InvalidSignature, ValueError):
            return False
        return True

    def signer(self, key: PrivateKey) -> Callable[[bytes], bytes]:
        """Give the function that signs with this key. Raises KeyRefused for a key of another kind."""
        if key_kind(key) != self.kind:
            raise KeyRefused(f"{self.name}, which does not fit a key of this kind")
        sign: Callable[..., bytes] = key.sign
        arguments = self.arguments
        return lambda data: sign(data, *arguments)


def key_kind(key: PrivateKey) -> str:
    """Give a key's kind: "RSA", "EC" or "Ed25519"."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "EC" if isinstance(key, ec.EllipticCurvePrivateKey) else "Ed25519"


def _rsa(name: str, digest: hashes.HashAlgorithm, identifier: str) -> SignatureAlgorithm:
    return SignatureAlgorithm(name, "RSA", bytes.fromhex(identifier), (padding.PKCS1v15(), digest))


def _ecdsa(name: str, digest: hashes.HashAlgorithm, identifier: str) -> SignatureAlgorithm:
    return SignatureAlgorithm(name, "EC", bytes.fromhex(identifier), (ec.ECDSA(digest),))


def _pss(name: str, digest: hashes.HashAlgorithm, sha2: str, salt: int) -> SignatureAlgorithm:
    # RFC 4055, 3.1: RSASSA-PSS with one digest for everything and a salt of its length; Go takes no other parameters.
    sha2 = f"300d06096086480165030402{sha2}0500"
    identifier = f"304106092a864886f70d01010a3034a00f{sha2}a11c301a06092a864886f70d010108{sha2}a2030201{salt:02x}"
    arguments = (padding.PSS(padding.MGF1(digest), salt), digest)
    return SignatureAlgorithm(name, "RSA", bytes.fromhex(identifier), arguments)


_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()

SHA256_WITH_RSA = _rsa("SHA256WithRSA", _SHA256, "300d06092a864886f70d01010b0500")
SHA384_WITH_RSA = _rsa("SHA384WithRSA", _SHA384, "300d06092a864886f70d01010c0500")
SHA512_WITH_RSA = _rsa("SHA512WithRSA", _SHA512, "300d06092a864886f70d01010d0500")
ECDSA_WITH_SHA256 = _ecdsa("ECDSAWithSHA256", _SHA256, "300a06082a8648ce3d040302")
ECDSA_WITH_SHA384 = _ecdsa("ECDSAWithSHA384", _SHA384, "300a06082a8648ce3d040303")
ECDSA_WITH_SHA512 = _ecdsa("ECDSAWithSHA512", _SHA512, "300a06082a8648ce3d040304")
PURE_ED25519 = SignatureAlgorithm("PureEd25519", "Ed25519", bytes.fromhex("300506032b6570"), ())

# By the name that a Certificate's spec.signatureAlgorithm has.
ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        SHA256_WITH_RSA,
        SHA384_WITH_RSA,
        SHA512_WITH_RSA,
        ECDSA_WITH_SHA256,
        ECDSA_WITH_SHA384,
        ECDSA_WITH_SHA512,
        PURE_ED25519,
    )
}

# What is read: the same, RSA without the NULL too (RFC 4055, 5: both must be accepted), and RSASSA-PSS.
_READ = {
    algorithm.identifier: algorithm
    for algorithm in (
        *ALGORITHMS.values(),
        _rsa("SHA256WithRSA", _SHA256, "300b06092a864886f70d01010b"),
        _rsa("SHA384WithRSA", _SHA384, "300b06092a864886f70d01010c"),
        _rsa("SHA512WithRSA", _SHA512, "300b06092a864886f70d01010d"),
        _pss("SHA256-RSAPSS", _SHA256, "01", 32),
        _pss("SHA384-RSAPSS", _SHA384, "02", 48),
        _pss("SHA512-RSAPSS", _SHA512, "03", 64),
    )
}
_REFUSED = {
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
}


# How old roots signed themselves, which proves nothing to anybody: a verifier takes a root for what it is told to trust.
_READ_OF_ROOTS = {
    algorithm.identifier: algorithm
    for algorithm in (
        _rsa("SHA1WithRSA", hashes.SHA1(), "300d06092a864886f70d0101050500"),  # noqa: S303 - see above
        _rsa("SHA1WithRSA", hashes.SHA1(), "300b06092a864886f70d010105"),  # noqa: S303 - see above
        _ecdsa("ECDSAWithSHA1", hashes.SHA1(), "300906072a8648ce3d0401"),  # noqa: S303 - see above
    )
}


def read_signature_algorithm(identifier: bytes, *, itself: bool = False) -> SignatureAlgorithm:
    """Read an AlgorithmIdentifier of a signature, with its header. Raises KeyRefused or der.DerError.

    `itself`: of a certificate that names itself as its issuer, and may have signed itself: SHA-1 is read there too.
    """
    algorithm = _READ.get(identifier) or (_READ_OF_ROOTS.get(identifier) if itself else None)
    if algorithm is not None:
        return algorithm
    pos, end = der.only(identifier, 0, len(identifier), der.SEQUENCE)
    start, stop = der.expect(identifier, pos, end, der.OBJECT_IDENTIFIER)
    oid = der.object_identifier(identifier[start:stop])
    if oid in _REFUSED:
        raise KeyRefused(f"a signature with {_REFUSED[oid]}, which is broken")
    raise KeyRefused(f"signature algorithm {oid}, which is not accepted, or not with its parameters")


def algorithm_for(key: PrivateKey) -> SignatureAlgorithm:
    """Choose how a key signs, as cert-manager does (pkg/util/pki signatureAlgorithmFromPublicKey). Raises KeyRefused."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        check_rsa_numbers(numbers.n, numbers.e)
        if key.key_size >= 4096:
            return SHA512_WITH_RSA
        return SHA384_WITH_RSA if key.key_size >= 3072 else SHA256_WITH_RSA
    if isinstance(key, ec.EllipticCurvePrivateKey):
        by_curve = {"secp256r1": ECDSA_WITH_SHA256, "secp384r1": ECDSA_WITH_SHA384, "secp521r1": ECDSA_WITH_SHA512}
        if key.curve.name not in by_curve:
            raise KeyRefused(f"an EC key on curve {key.curve.name}; P-256, P-384 and P-521 are accepted")
        return by_curve[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return PURE_ED25519
    raise KeyRefused("a key of a kind other than RSA, EC and Ed25519")


def public_bytes(key: PublicKey) -> bytes:
    """Write a public key as SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
