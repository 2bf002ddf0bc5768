"""Vectors: public keys, signature algorithms, signatures."""

from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from tests.vectors import craft
from tests.vectors.corpus import accepted, refused
from tests.vectors.craft import Csr

FOLDER = Path(__file__).parent


def rsa_keys() -> dict[str, rsa.RSAPrivateKey]:
    """rsa2048, rsa1024, rsa2048 with exponent 3; made once."""
    file = FOLDER / "keys.pem"
    if not file.exists():
        made = [
            rsa.generate_private_key(public_exponent=65537, key_size=2048),
            rsa.generate_private_key(public_exponent=65537, key_size=1024),
            rsa.generate_private_key(public_exponent=3, key_size=2048),
        ]
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(b"".join(key.private_bytes(*form) for key in made))
    blocks = file.read_bytes().split(b"-----END PRIVATE KEY-----\n")[:-1]
    loaded = [serialization.load_pem_private_key(block + b"-----END PRIVATE KEY-----\n", None) for block in blocks]
    return {
        name: key
        for name, key in zip(("rsa2048", "rsa1024", "exponent3"), loaded, strict=True)
        if isinstance(key, rsa.RSAPrivateKey)
    }


def add_keys() -> None:
    own = rsa_keys()
    accepted("rsa-2048", Csr(key=own["rsa2048"]).pem())
    no_null = bytes.fromhex("300b06092a864886f70d01010b")
    accepted("rsa-signature-without-null", Csr(key=own["rsa2048"], algorithm=no_null).pem())
    for name, digest in {"sha384": hashes.SHA384(), "sha512": hashes.SHA512()}.items():
        number = {"sha384": "0c", "sha512": "0d"}[name]
        algorithm = bytes.fromhex(f"300d06092a864886f70d0101{number}0500")
        accepted(f"rsa-{name}", Csr(key=own["rsa2048"], algorithm=algorithm, hash=digest).pem())
        number = {"sha384": "03", "sha512": "04"}[name]
        accepted(f"ecdsa-{name}", Csr(algorithm=bytes.fromhex(f"300a06082a8648ce3d0403{number}"), hash=digest).pem())
    for name, curve in {"p384": ec.SECP384R1(), "p521": ec.SECP521R1()}.items():
        accepted(name, Csr(key=ec.derive_private_key(0x6D657368, curve)).pem())
    ed25519_key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    accepted("ed25519", Csr(key=ed25519_key).pem())

    def pss(sha2: int, salt: int, trailer: str = "") -> bytes:
        digest = f"300d060960864801650304020{sha2}0500"
        parameters = f"a00f{digest}a11c301a06092a864886f70d010108{digest}a20302 01{salt:02x}{trailer}".replace(" ", "")
        return craft.seq(craft.oid("1.2.840.113549.1.1.10"), craft.seq(bytes.fromhex(parameters)))

    digests: list[hashes.HashAlgorithm] = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
    for index, digest in enumerate(digests):
        size = digest.digest_size

        def made(index: int = index, digest: hashes.HashAlgorithm = digest, size: int = size) -> bytes:
            return Csr(key=own["rsa2048"], algorithm=pss(index + 1, size), hash=digest, pss=size).pem()

        accepted(f"rsa-pss-{digest.name}", made)
    other = "signature algorithm 1.2.840.113549.1.1.10, which is not accepted, or not with its parameters"
    bare = craft.seq(craft.oid("1.2.840.113549.1.1.10"), craft.seq())
    refused(
        "rsa-pss-sha1-defaults",
        Csr(key=own["rsa2048"], algorithm=bare, signature=bytes(256)).pem(),
        "signatureAlgorithm",
        other,
    )
    refused(
        "rsa-pss-other-salt",
        Csr(key=own["rsa2048"], algorithm=pss(1, 20), signature=bytes(256)).pem(),
        "signatureAlgorithm",
        other,
    )
    add_signatures(own["rsa2048"])

    def claims(public: bytes, algorithm: bytes = craft.SHA256_RSA) -> bytes:
        return Csr(spki=public, algorithm=algorithm, signature=bytes(256)).pem()

    def rsa_key(bits: int, exponent: int = 65537) -> bytes:
        return craft.rsa_spki((1 << bits - 1) + 12345, exponent)

    sizes = "; 2048 to 8192 are accepted"
    refused("rsa-512", claims(rsa_key(512)), "publicKey", "an RSA key of 512 bits" + sizes)
    refused("rsa-1024", Csr(key=own["rsa1024"]).pem(), "publicKey", "an RSA key of 1024 bits" + sizes)
    refused("rsa-2047", claims(rsa_key(2047)), "publicKey", "an RSA key of 2047 bits" + sizes)
    refused("rsa-8193", claims(rsa_key(8193)), "publicKey", "an RSA key of 8193 bits" + sizes)
    refused("rsa-16384", claims(rsa_key(16384)), "publicKey", "an RSA key of more than 8192 bits")
    refused("rsa-200000", claims(rsa_key(200000)), "publicKey", "an RSA key of more than 8192 bits")
    odd = "; odd ones from 65537 are accepted"
    refused("rsa-exponent-3", Csr(key=own["exponent3"]).pem(), "publicKey", "an RSA key with exponent 3" + odd)
    for exponent in (1, 65535, 65536, 65538, 0x80000001):
        refused(
            f"rsa-exponent-{exponent}",
            claims(rsa_key(2048, exponent)),
            "publicKey",
            f"an RSA key with exponent {exponent}{odd}",
        )
    refused(
        "rsa-exponent-huge", claims(rsa_key(2048, (1 << 64) + 1)), "publicKey", "an RSA key with too large an exponent"
    )
    refused("rsa-exponent-negative", claims(rsa_key(2048, -3)), "publicKey", "a negative INTEGER")
    refused(
        "rsa-even-modulus", claims(craft.rsa_spki(1 << 2047, 65537)), "publicKey", "an RSA key with an even modulus"
    )
    refused("rsa-negative-modulus", claims(craft.rsa_spki(-(1 << 2047) + 1, 65537)), "publicKey", "a negative INTEGER")
    pair = craft.seq(craft.integer((1 << 2047) + 1), craft.integer(65537))
    identifier = craft.seq(craft.oid("1.2.840.113549.1.1.1"), b"\x05\x00")
    kinds = ", which is not accepted; RSA, P-256, P-384, P-521, Ed25519 are"
    refused(
        "rsa-trailing-in-bits", claims(craft.seq(identifier, craft.bits(pair + b"\x00"))), "publicKey", "trailing data"
    )
    refused(
        "rsa-trailing-in-key",
        claims(craft.seq(identifier, craft.bits(craft.seq(pair[4:], b"\x05\x00")))),
        "publicKey",
        "trailing data",
    )
    refused(
        "rsa-trailing-in-info",
        claims(craft.seq(identifier, craft.bits(pair), b"\x05\x00")),
        "publicKey",
        "trailing data",
    )
    refused(
        "rsa-unused-bits",
        claims(craft.seq(identifier, craft.bits(pair, 1))),
        "publicKey",
        "a BIT STRING that is not whole bytes",
    )
    refused(
        "rsa-without-null",
        claims(craft.seq(craft.seq(craft.oid("1.2.840.113549.1.1.1")), craft.bits(pair))),
        "publicKey",
        "a key of kind RSA" + kinds,
    )
    refused(
        "rsa-pss-key",
        claims(craft.seq(craft.seq(craft.oid("1.2.840.113549.1.1.10")), craft.bits(pair))),
        "publicKey",
        "a key of kind RSA-PSS" + kinds,
    )
    refused(
        "rsa-padded-modulus",
        claims(craft.seq(identifier, craft.bits(craft.seq(b"\x02\x03\x00\x00\x01", craft.integer(65537))))),
        "publicKey",
        "an INTEGER that is longer than needed",
    )

    form = "a key of kind EC on this curve or in this form" + kinds
    ecdsa = craft.SHA256_ECDSA
    for name, weak in {"p224": ec.SECP224R1(), "secp256k1": ec.SECP256K1(), "brainpool": ec.BrainpoolP256R1()}.items():
        refused(f"ec-{name}", Csr(key=ec.derive_private_key(0x6D657368, weak)).pem(), "publicKey", form)
    point = craft.p256().public_key()
    compressed = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    named = craft.seq(craft.oid("1.2.840.10045.2.1"), craft.oid("1.2.840.10045.3.1.7"))
    plain = craft.spki(craft.p256())
    refused("ec-compressed", Csr(spki=craft.seq(named, craft.bits(compressed))).pem(), "publicKey", form)
    explicit = craft.seq(craft.oid("1.2.840.10045.2.1"), craft.seq(craft.integer(1)))
    refused("ec-explicit-parameters", Csr(spki=craft.seq(explicit, craft.bits(plain[-65:]))).pem(), "publicKey", form)
    refused("ec-hybrid-point", Csr(spki=plain[:-65] + b"\x06" + plain[-64:]).pem(), "publicKey", form)
    refused("ec-infinity", Csr(spki=craft.seq(named, craft.bits(b"\x00"))).pem(), "publicKey", form)
    refused(
        "ec-off-curve", Csr(spki=plain[:-1] + bytes([plain[-1] ^ 1])).pem(), "publicKey", "a public key that is broken"
    )
    refused("ec-trailing", Csr(spki=craft.seq(named, craft.bits(plain[-65:] + b"\x00"))).pem(), "publicKey", form)
    for name, key, oid in (
        ("ed448", ed448.Ed448PrivateKey.from_private_bytes(bytes(57)), "Ed448"),
        ("x25519", x25519.X25519PrivateKey.from_private_bytes(bytes(range(32))), "X25519"),
    ):
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        refused(name, claims(public, ecdsa), "publicKey", f"a key of kind {oid}{kinds}")
    numbers = dsa.DSAParameterNumbers((1 << 2047) + 1, (1 << 255) + 1, 2)
    parameters = craft.seq(craft.integer(numbers.p), craft.integer(numbers.q), craft.integer(numbers.g))
    dsa_key = craft.seq(craft.seq(craft.oid("1.2.840.10040.4.1"), parameters), craft.bits(craft.integer(5)))
    refused("dsa", claims(dsa_key, ecdsa), "publicKey", "a key of kind DSA" + kinds)
    refused(
        "unknown-key",
        claims(craft.seq(craft.seq(craft.oid("1.2.3.4")), craft.bits(b"\x00"))),
        "publicKey",
        "a key of kind 1.2.3.4" + kinds,
    )
    parameters = craft.seq(craft.seq(craft.oid("1.3.101.112"), b"\x05\x00"), craft.bits(bytes(32)))
    refused("ed25519-parameters", claims(parameters, craft.ED25519), "publicKey", "a key of kind 1.3.101.112" + kinds)
    refused(
        "key-not-a-sequence", claims(craft.tlv(0x31, plain[2:]), ecdsa), "publicKey", "tag 0x31 where 0x30 is expected"
    )


def add_signatures(rsa_key: rsa.RSAPrivateKey) -> None:
    good = Csr()
    signed = bytearray(good.der())
    signed[-1] ^= 1
    proof = "it was not made with the key in the request"
    refused("signature-changed", craft.pem(bytes(signed)), "signature", proof)
    refused("signature-of-another-key", Csr(spki=craft.spki(craft.p256(2))).pem(), "signature", proof)
    refused(
        "signature-of-another-request",
        Csr(signature=Csr(subject=craft.seq())._sign(Csr(subject=craft.seq()).info())).pem(),
        "signature",
        proof,
    )
    refused("signature-empty", Csr(raw_signature=craft.bits(b"")).pem(), "signature", proof)
    refused(
        "signature-no-bits", Csr(raw_signature=b"\x03\x00").pem(), "signature", "a BIT STRING that is not whole bytes"
    )
    refused(
        "signature-unused-bits",
        Csr(raw_signature=craft.bits(b"\x80", 7)).pem(),
        "signature",
        "a BIT STRING that is not whole bytes",
    )
    refused(
        "signature-octets",
        Csr(raw_signature=craft.tlv(0x04, b"\x00")).pem(),
        "signature",
        "tag 0x04 where 0x03 is expected",
    )
    refused("signature-rsa-changed", Csr(key=rsa_key, signature=bytes(256)).pem(), "signature", proof)
    refused("signature-rsa-short", Csr(key=rsa_key, signature=bytes(10)).pem(), "signature", proof)
    refused("signature-other-hash", Csr(hash=hashes.SHA384()).pem(), "signature", proof)
    place = "signatureAlgorithm"
    sha1 = "a signature with SHA-1, which is broken"
    refused(
        "sha1-rsa",
        Csr(key=rsa_key, algorithm=bytes.fromhex("300d06092a864886f70d0101050500"), hash=hashes.SHA1()).pem(),
        place,
        sha1,
    )
    refused("sha1-ecdsa", Csr(algorithm=bytes.fromhex("300906072a8648ce3d0401"), hash=hashes.SHA1()).pem(), place, sha1)
    refused(
        "sha1-oiw", Csr(key=rsa_key, algorithm=craft.seq(craft.oid("1.3.14.3.2.29"), b"\x05\x00")).pem(), place, sha1
    )
    refused("sha1-dsa", Csr(algorithm=craft.seq(craft.oid("1.2.840.10040.4.3"))).pem(), place, sha1)
    refused(
        "md5-rsa",
        Csr(key=rsa_key, algorithm=bytes.fromhex("300d06092a864886f70d0101040500"), signature=bytes(256)).pem(),
        place,
        "a signature with MD5, which is broken",
    )

    def unknown(oid: str) -> str:
        return f"signature algorithm {oid}, which is not accepted, or not with its parameters"

    refused(
        "sha224-ecdsa",
        Csr(algorithm=bytes.fromhex("300a06082a8648ce3d040301"), hash=hashes.SHA224()).pem(),
        place,
        unknown("1.2.840.10045.4.3.1"),
    )
    refused(
        "ecdsa-with-null",
        Csr(algorithm=bytes.fromhex("300c06082a8648ce3d0403020500")).pem(),
        place,
        unknown("1.2.840.10045.4.3.2"),
    )
    refused(
        "rsa-signature-odd-parameters",
        Csr(key=rsa_key, algorithm=bytes.fromhex("300e06092a864886f70d01010b0401ff")).pem(),
        place,
        unknown("1.2.840.113549.1.1.11"),
    )
    refused("algorithm-not-a-sequence", Csr(algorithm=b"\x06\x01\x2a").pem(), place, "tag 0x06 where 0x30 is expected")
    refused(
        "algorithm-without-oid", Csr(algorithm=craft.seq(b"\x05\x00")).pem(), place, "tag 0x05 where 0x06 is expected"
    )
    refused(
        "ec-key-rsa-signature",
        Csr(algorithm=craft.SHA256_RSA).pem(),
        "publicKey",
        "an EC key cannot sign with SHA256WithRSA",
    )
    refused(
        "rsa-key-ec-signature",
        Csr(key=rsa_key, algorithm=craft.SHA256_ECDSA).pem(),
        "publicKey",
        "an RSA key cannot sign with ECDSAWithSHA256",
    )
    refused(
        "ec-key-ed25519-signature",
        Csr(algorithm=craft.ED25519).pem(),
        "publicKey",
        "an EC key cannot sign with PureEd25519",
    )
