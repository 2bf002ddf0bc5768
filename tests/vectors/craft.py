"""Makes CSRs by hand, byte by byte, right and wrong ones. Owes nothing to issuers/ and little to pyca: keys, signatures.

    Csr().pem()                                        # a workload's good CSR
    Csr(attributes=[ext_request(san(uri("x:y"))), …])  # with other parts

Signatures are deterministic, so tests/vectors/make.py writes the same files each time.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

PKCS9 = "1.2.840.113549.1.9.14"
MICROSOFT = "1.3.6.1.4.1.311.2.1.14"
SAN, KU, EKU, BC, NC = "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.30"
CN, ORGANIZATION, UNIT = "2.5.4.3", "2.5.4.10", "2.5.4.11"
SHA256_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
SHA256_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
ED25519 = bytes.fromhex("300506032b6570")


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def seq(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.insert(0, arc & 0x7F | 0x80)
        content += bytes(groups)
    return tlv(0x06, content)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def bits(content: bytes, unused: int = 0) -> bytes:
    return tlv(0x03, bytes([unused]), content)


def rdn(*pairs: tuple[str, bytes]) -> bytes:
    """One SET of attributes, in the order given; a value comes with its tag."""
    return tlv(0x31, *[seq(oid(kind), value) for kind, value in pairs])


def utf8(text: str | bytes) -> bytes:
    return tlv(0x0C, text.encode() if isinstance(text, str) else text)


def printable(text: str) -> bytes:
    return tlv(0x13, text.encode())


def extension(kind: str, value: bytes, critical: bytes = b"") -> bytes:
    return seq(oid(kind), critical, tlv(0x04, value))


TRUE = bytes.fromhex("0101ff")
FALSE = bytes.fromhex("010100")


def uri(text: str | bytes) -> bytes:
    return tlv(0x86, text.encode() if isinstance(text, str) else text)


def dns(text: str | bytes) -> bytes:
    return tlv(0x82, text.encode() if isinstance(text, str) else text)


def email(text: str | bytes) -> bytes:
    return tlv(0x81, text.encode() if isinstance(text, str) else text)


def ip(content: bytes) -> bytes:
    return tlv(0x87, content)


def san(*names: bytes, critical: bytes = TRUE) -> bytes:
    return extension(SAN, seq(*names), critical)


def attribute(kind: str, *values: bytes) -> bytes:
    return seq(oid(kind), tlv(0x31, *values))


def ext_request(*extensions: bytes, kind: str = PKCS9) -> bytes:
    return attribute(kind, seq(*extensions))


def children(der: bytes) -> list[bytes]:
    """The elements inside one element."""

    def header(pos: int) -> tuple[int, int]:
        length = der[pos + 1]
        if length < 0x80:
            return pos + 2, pos + 2 + length
        size = length & 0x7F
        return pos + 2 + size, pos + 2 + size + int.from_bytes(der[pos + 2 : pos + 2 + size], "big")

    pos, end = header(0)
    found = []
    while pos < end:
        _, stop = header(pos)
        found.append(der[pos:stop])
        pos = stop
    return found


def p256(n: int = 1) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(0x6D657368 + n, ec.SECP256R1())


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def rsa_spki(modulus: int, exponent: int) -> bytes:
    algorithm = seq(oid("1.2.840.113549.1.1.1"), tlv(0x05))
    return seq(algorithm, bits(seq(integer(modulus), integer(exponent))))


def pem(der: bytes, label: str = "CERTIFICATE REQUEST") -> bytes:
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


FOO = "spiffe://cluster.local/ns/foo/sa/default"
BAR = "spiffe://cluster.local/ns/bar/sa/default"
EMPTY_O = seq(rdn((ORGANIZATION, printable(""))))


@dataclass
class Csr:
    """A CSR's parts, each of which may be replaced by other bytes. The defaults are a pilot-agent's request."""

    key: PrivateKey = field(default_factory=p256)
    version: bytes = b"\x02\x01\x00"
    subject: bytes = EMPTY_O
    spki: bytes | None = None
    attributes: Sequence[bytes] = (ext_request(san(uri(FOO))),)
    raw_attributes: bytes | None = None
    after: bytes = b""  # what stands behind the attributes, inside what is signed
    algorithm: bytes | None = None
    hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    pss: int | None = None
    signature: bytes | None = None
    raw_signature: bytes | None = None
    trailing: bytes = b""  # behind the signature, inside the CSR

    def info(self) -> bytes:
        attributes = tlv(0xA0, *self.attributes) if self.raw_attributes is None else self.raw_attributes
        return seq(self.version, self.subject, self.spki or spki(self.key), attributes, self.after)

    def der(self) -> bytes:
        info = self.info()
        algorithm = self.algorithm or self._algorithm()
        signature = bits(self.signature or self._sign(info)) if self.raw_signature is None else self.raw_signature
        return seq(info, algorithm, signature, self.trailing)

    def pem(self) -> bytes:
        return pem(self.der())

    def _algorithm(self) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return SHA256_RSA
        return ED25519 if isinstance(self.key, ed25519.Ed25519PrivateKey) else SHA256_ECDSA

    def _sign(self, info: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            if self.pss is not None:
                return self.key.sign(info, padding.PSS(padding.MGF1(self.hash), self.pss), self.hash)
            return self.key.sign(info, padding.PKCS1v15(), self.hash)
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(info)
        return self.key.sign(info, ec.ECDSA(self.hash, deterministic_signing=True))
