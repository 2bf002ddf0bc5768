"""Small CAs and CSRs for tests, made with pyca/cryptography alone so that they owe nothing to issuers/.

    ca = CA("foo")                         # a self-signed P-256 CA, valid from yesterday for 91 days
    ca = CA("foo", now=NOW)                # the same at another time than the clock's
    ca.secret()                            # {"tls.crt": ..., "tls.key": ..., "ca.crt": ...}
    sub = ca.intermediate("foo-sub")       # made at its parent's time
    pem = workload_csr("foo", "default")   # as istiod passes it on: O="", one critical SPIFFE ID
    pem = csr(dns=["a.example"], subject=name(common_name="a"))

Keys are made once per kind and number (RSA is slow): key("rsa", n=1) is another key than key("rsa").

The clock is for tests with real servers, which go by it. A test with a time of its own says `now`, and tests/unit always
does (tests/unit/test_clock.py).
"""

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

DAY = timedelta(days=1)
ANY_TIME = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""For a CA whose dates nobody looks at."""
_SHA256_WITH_RSA, _SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105")
WORKLOAD_USAGES = ("digital signature", "key encipherment", "server auth", "client auth")


@functools.cache
def key(kind: str = "p256", n: int = 0) -> Key:
    """A private key: rsa, rsa1024, rsa3072, rsa4096, p256, p384, p521, ed25519. The same for the same arguments."""
    del n
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:] or 2048))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    return ec.generate_private_key(curves[kind])


def key_pem(private: Key, password: bytes | None = None) -> bytes:
    """A key as PKCS#8 PEM."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def cert_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def name(common_name: str | None = None, organization: str | None = None) -> x509.Name:
    """A subject; without arguments the empty one."""
    attributes = []
    if organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if common_name is not None:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def digest_for(private: Key) -> hashes.SHA256 | None:
    """The hash to sign with; None for Ed25519."""
    return None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()


class CA:
    """A certificate authority. Everything that can be wrong with one can be asked for by keyword."""

    def __init__(
        self,
        common_name: str = "ca",
        *,
        kind: str = "p256",
        parent: "CA | None" = None,
        private: Key | None = None,
        now: datetime | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        is_ca: bool | None = True,
        path_length: int | None = None,
        key_cert_sign: bool | None = True,
        subject_key_id: bool = True,
        subject: x509.Name | None = None,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> None:
        self.parent = parent
        self.now: datetime = now or (parent.now if parent else datetime.now(UTC))
        self.private = private or key(kind, n=hash(common_name))
        self.name = name(common_name) if subject is None else subject
        public = self.private.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(parent.name if parent else self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or self.now - DAY)
            .not_valid_after(not_after or self.now + 90 * DAY)
        )
        if is_ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(is_ca, path_length if is_ca else None), critical=True)
        if key_cert_sign is not None:
            builder = builder.add_extension(key_usage(cert_sign=key_cert_sign), critical=True)
        if subject_key_id:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        signer = parent.private if parent else self.private
        self.certificate = builder.sign(signer, digest_for(signer))

    def intermediate(self, common_name: str = "sub", **wishes: object) -> "CA":
        """A CA below this one, made at the same time unless `now` says another; keywords as for CA."""
        return CA(common_name, parent=self, **wishes)  # type: ignore[arg-type]  # the keywords are CA's own

    @property
    def pem(self) -> bytes:
        """This CA's certificate."""
        return cert_pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """This CA's key."""
        return key_pem(self.private)

    @property
    def root(self) -> "CA":
        """The top of the chain."""
        return self.parent.root if self.parent else self

    @property
    def chain_pem(self) -> bytes:
        """This CA and everything above it, the root included."""
        return self.pem + (self.parent.chain_pem if self.parent else b"")

    def secret(self) -> dict[str, bytes]:
        """The data of a kubernetes.io/tls Secret as cert-manager writes it: no root in tls.crt, the root in ca.crt."""
        tls_crt = self.chain_pem
        if self.parent:
            tls_crt = tls_crt.removesuffix(self.root.pem)
        return {"tls.crt": tls_crt, "tls.key": self.key_pem, "ca.crt": self.root.pem}


def key_usage(*, cert_sign: bool = False, digital_signature: bool = True) -> x509.KeyUsage:
    """A KeyUsage extension."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def csr(
    private: Key | None = None,
    *,
    uris: Iterable[str] = (),
    dns: Iterable[str] = (),
    ips: Iterable[str] = (),
    emails: Iterable[str] = (),
    subject: x509.Name | None = None,
    critical: bool | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A CSR as PEM. The names are critical when there is no subject, unless told otherwise."""
    private = private or key()
    subject = name() if subject is None else subject
    names: list[x509.GeneralName] = [x509.DNSName(text) for text in dns]
    names += [x509.RFC822Name(text) for text in emails]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ips]
    names += [x509.UniformResourceIdentifier(text) for text in uris]
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        empty = not subject.rdns if critical is None else critical
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=empty)
    for extension, is_critical in extra:
        builder = builder.add_extension(extension, critical=is_critical)
    request = builder.sign(private, digest_for(private))
    return request.public_bytes(serialization.Encoding.PEM)


def spiffe(namespace: str, service_account: str = "default", trust_domain: str = "cluster.local") -> str:
    """A workload's SPIFFE ID."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


def stub(private: Key) -> bytes:
    """A CSR (DER) that asks for nothing, as a kubelet writes it."""
    request = x509.CertificateSigningRequestBuilder().subject_name(name()).sign(private, digest_for(private))
    return request.public_bytes(serialization.Encoding.DER)


def proof(private: Key, message: bytes) -> tuple[bytes, bytes]:
    """A key (SubjectPublicKeyInfo) and its signature over `message`, as a PodCertificateRequest of v1beta1 has them."""
    if isinstance(private, rsa.RSAPrivateKey):
        signature = private.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
    else:
        signature = private.sign(message)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.DER, form), signature


def workload_csr(
    namespace: str,
    service_account: str = "default",
    *,
    trust_domain: str = "cluster.local",
    private: Key | None = None,
) -> bytes:
    """The CSR of a pilot-agent, byte for byte: subject O="" as PrintableString, one critical SPIFFE ID."""
    # pyca writes an organization as UTF8String; Go writes an empty one as PrintableString.
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "", x509.name._ASN1Type.PrintableString)
    uri = spiffe(namespace, service_account, trust_domain)
    return csr(private, uris=[uri], subject=x509.Name([organization]), critical=True)


def signed_with_sha1(certificate: x509.Certificate, signer: Key) -> x509.Certificate:
    """The same certificate, signed with SHA-1 by an RSA key: the library writes none."""
    if not isinstance(signer, rsa.RSAPrivateKey):
        raise TypeError("an RSA key is needed, whose identifiers are of one length")
    der = certificate.public_bytes(serialization.Encoding.DER)
    tbs = certificate.tbs_certificate_bytes
    old = tbs.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
    signature = signer.sign(old, padding.PKCS1v15(), hashes.SHA1())
    made = der.replace(tbs, old).replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
    return x509.load_der_x509_certificate(made[: -len(signature)] + signature)


def sign(ca: CA, request: bytes, not_before: datetime, not_after: datetime) -> bytes:
    """A certificate (PEM) for what a CSR (PEM) asks, with these dates, by a CA of somebody else's."""
    asked = x509.load_pem_x509_csr(request)
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(ca.name)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for extension in asked.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return cert_pem(builder.sign(ca.private, digest_for(ca.private)))
