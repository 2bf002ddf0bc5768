"""Certificates of cert-manager.io/v1: what is wanted, and what we last found out about it.

Pure: reading never fails; what cannot be read is told in `problem`, what we do not support in `unsupported`.
"""

from functools import cached_property

import msgspec

from signer.api.issuer import GROUP, IssuerRef
from signer.api.meant import letters_of, nearly
from signer.api.meta import Condition, find_condition, unsupported_fields
from signer.api.parts import HasStatus
from signer.api.text import shown
from signer.kube.resource import Resource

OF_REQUEST, NOT_ANSWERED = "; CertificateRequest ", "is not answered:"
"""Around the name of the CertificateRequest in a message of a Certificate; what it waits for follows."""
WAITING = "Waiting"
"""How the message of a CertificateRequest begins that waits for what comes by itself: any other wait is for people to end."""

FORMER_GROUP = "certmanager.k8s.io"
_FORMER = frozenset(map(letters_of, ("certmanager.k8s", "certmanager.k8.io", FORMER_GROUP)))

CERTIFICATES = Resource(GROUP, "v1", "certificates", "Certificate", namespaced=True)


class IssuerReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """issuerRef as written: group and kind may be left out."""

    name: str = ""
    kind: str = ""
    group: str = ""

    @property
    def ours(self) -> bool:
        """Whether it names an issuer of our group; other groups have signers of their own."""
        return self.group in ("", GROUP)

    @property
    def misspelt(self) -> str:
        """Say what is probably wrong with a group that is nearly ours and nobody else's; "" for any other."""
        if self.ours or not _nearly_ours(self.group):
            return ""
        return f"{shown(self.group)} is no group of issuers that is known: is {GROUP} meant?"

    def normal(self) -> tuple[str, str, str]:
        """Name, kind and group with the defaults filled in: two references mean the same when these are equal."""
        return self.name, self.kind or "Issuer", self.group or GROUP

    def resolve(self, namespace: str) -> IssuerRef | None:
        """Name the issuer for an object in this namespace; None for another group or a kind that does not exist."""
        if not self.ours or not self.name:
            return None
        if self.kind in ("", "Issuer"):
            return IssuerRef("Issuer", namespace, self.name)
        return IssuerRef("ClusterIssuer", "", self.name) if self.kind == "ClusterIssuer" else None

    def __str__(self) -> str:
        """Name it as cert-manager does in messages: "ClusterIssuer.cert-manager.io/foo"."""
        name, kind, group = self.normal()
        return f"{kind}.{group}/{name}"


def _nearly_ours(group: str) -> bool:
    """Tell whether a group is cert-manager's former one, or ours but for a slip; not one of other issuers' own groups."""
    return letters_of(group) in _FORMER or (nearly(group, GROUP) and not group.endswith(f".{GROUP}"))


class Subject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.subject: the parts of the distinguished name beside the common name."""

    organizations: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    organizational_units: tuple[str, ...] = ()
    localities: tuple[str, ...] = ()
    provinces: tuple[str, ...] = ()
    street_addresses: tuple[str, ...] = ()
    postal_codes: tuple[str, ...] = ()
    serial_number: str = ""


class PrivateKeySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.privateKey: "" and 0 mean the default."""

    rotation_policy: str = ""
    encoding: str = ""
    algorithm: str = ""
    size: int = 0


class SecretTemplate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.secretTemplate: what the Secret carries beside our own labels and annotations."""

    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}


class OtherName(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.otherNames[]: an object identifier in dotted form and a UTF-8 value."""

    oid: str = ""
    utf8_value: str = msgspec.field(name="utf8Value", default="")


class KeystorePassword(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """passwordSecretRef: an entry of a Secret in the Certificate's namespace."""

    name: str = ""
    key: str = ""


class JksKeystore(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.keystores.jks. The password itself may stand in the spec: it never shows in a repr."""

    create: bool = False
    alias: str | None = None
    password_secret_ref: KeystorePassword | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Show nothing of the password."""
        return f"JksKeystore(create={self.create}, alias={self.alias!r}, ref={self.password_secret_ref!r})"


class Pkcs12Keystore(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.keystores.pkcs12; `profile` "" means the default. The password never shows in a repr."""

    create: bool = False
    profile: str = ""
    password_secret_ref: KeystorePassword | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Show nothing of the password."""
        return f"Pkcs12Keystore(create={self.create}, profile={self.profile!r}, ref={self.password_secret_ref!r})"


class Keystores(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.keystores: the same key and certificates for Java and others, in the same Secret."""

    jks: JksKeystore | None = None
    pkcs12: Pkcs12Keystore | None = None


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.additionalOutputFormats[]: DER or CombinedPEM."""

    type: str = ""


class NameConstraintItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One side of spec.nameConstraints."""

    dns_domains: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    email_addresses: tuple[str, ...] = ()
    uri_domains: tuple[str, ...] = ()


class NameConstraints(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.nameConstraints: only for CAs (RFC 5280, 4.2.1.10)."""

    critical: bool = False
    permitted: NameConstraintItem | None = None
    excluded: NameConstraintItem | None = None


class CertificateSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields that we support. One that is missing here is found by `unsupported` and never ignored.

    Durations are Go's text ("2160h"), to be read with signer.api.duration.
    """

    secret_name: str = ""
    issuer_ref: IssuerReference = IssuerReference()
    is_ca: bool = msgspec.field(name="isCA", default=False)
    common_name: str = ""
    subject: Subject | None = None
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    email_addresses: tuple[str, ...] = ()
    other_names: tuple[OtherName, ...] = ()
    duration: str | None = None
    renew_before: str | None = None
    renew_before_percentage: int | None = None
    private_key: PrivateKeySpec | None = None
    signature_algorithm: str = ""
    usages: tuple[str, ...] = ()
    encode_usages_in_request: bool | None = None
    secret_template: SecretTemplate | None = None
    revision_history_limit: int | None = None
    name_constraints: NameConstraints | None = None
    literal_subject: str = ""
    keystores: Keystores | None = None
    additional_output_formats: tuple[OutputFormat, ...] = ()


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """status; times are RFC 3339 text."""

    conditions: tuple[Condition, ...] = ()
    last_failure_time: str | None = None
    not_before: str | None = None
    not_after: str | None = None
    renewal_time: str | None = None
    revision: int | None = None
    next_private_key_secret_name: str | None = None
    failed_issuance_attempts: int | None = None


class Certificate(HasStatus[CertificateSpec, CertificateStatus], frozen=True, kw_only=True, rename="camel", dict=True):
    """A Certificate; `raw_spec` and `raw_status` are as received."""

    spec_type = CertificateSpec
    status_type = CertificateStatus

    def __repr__(self) -> str:
        """Name the Certificate: its spec may hold a keystore's password."""
        return f"Certificate({self.metadata.namespace}/{self.metadata.name})"

    @cached_property
    def unsupported(self) -> tuple[str, ...]:
        """Fields that are set and that we do not support, as "spec.keystores"."""
        return unsupported_fields(self.raw_spec, CertificateSpec, "spec")


def request_waits(certificate: Certificate) -> tuple[str, str]:
    """The CertificateRequest that an issuance waits for, and what that says of why; "" twice where nothing is said."""
    issuing = find_condition(certificate.status.conditions, "Issuing")
    if issuing is None or issuing.status != "True":
        return "", ""
    name, found, message = issuing.message.partition(OF_REQUEST)[2].partition(f" {NOT_ANSWERED} ")
    return (name, message) if found else ("", "")


def ends_by_itself(message: str) -> bool:
    """Tell whether a request that says this waits for what comes without anybody's doing; so does one that says nothing."""
    return not message or message.startswith(WAITING)
