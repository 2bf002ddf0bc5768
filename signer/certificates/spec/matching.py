"""Does what was asked for or issued still equal what the spec wants? Answers are the names of the fields that do not.

Pure. Order never counts, as in cert-manager (pkg/util/pki/match.go), so that a sorted list causes no new certificate.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from issuers.errors import MalformedRequest, TemplateError
from issuers.request import SigningRequest, read_request
from issuers.x509 import der, extensions, general_names, literal_subject, parts
from issuers.x509 import subject as names
from issuers.x509.purposes import ANY
from issuers.x509.usages import EXTENDED_USAGES, decode_extended_key_usage, split_usages
from signer.api.certificate import CertificateSpec, Subject
from signer.api.certificaterequest import CertificateRequest
from signer.api.duration import InvalidDuration, parse_duration
from signer.certificates.secrets.leaf_names import leaf_names


@dataclass(frozen=True, slots=True)
class RequestView:
    """A CertificateRequest with its CSR read; `csr` is None and `problem` set when it cannot be."""

    request: CertificateRequest
    csr: SigningRequest | None
    problem: str


def view_request(request: CertificateRequest) -> RequestView:
    """Read the CSR of a CertificateRequest; never raises."""
    if request.problem:
        return RequestView(request, None, request.problem)
    try:
        return RequestView(request, read_request(request.spec.request), "")
    except MalformedRequest as error:
        return RequestView(request, None, f"spec.{error}")


def request_mismatches(view: RequestView, spec: CertificateSpec) -> tuple[str, ...]:
    """Name the fields of the spec that this request does not ask for as the spec does."""
    if view.csr is None:
        return ("spec",)
    asked = view.request.spec
    found = list(csr_mismatches(view.csr, spec))
    if asked.is_ca != spec.is_ca:
        found.append("spec.isCA")
    if sorted(asked.usages) != sorted(spec.usages):
        found.append("spec.usages")
    if asked.duration is not None and spec.duration is not None and not _same(asked.duration, spec.duration):
        found.append("spec.duration")
    if asked.issuer_ref.normal() != spec.issuer_ref.normal():
        found.append("spec.issuerRef")
    return tuple(found)


def csr_mismatches(csr: SigningRequest, spec: CertificateSpec) -> tuple[str, ...]:
    """Name the fields with subject and names that a CSR does not ask for as the spec does."""
    found = [
        *_san_mismatches(
            spec,
            ips=csr.ip_addresses,
            uris=csr.uris,
            emails=csr.email_addresses,
            dns=csr.dns_names,
        ),
        *(
            _literal_mismatches(spec, csr.subject_der)
            if spec.literal_subject
            else _subject_mismatches(spec, csr.subject_names)
        ),
    ]
    wanted = general_names.encode_general_names(other_names=[(name.oid, name.utf8_value) for name in spec.other_names])
    if _other_names(csr.san_der) != _other_names(wanted):
        found.append("spec.otherNames")
    return tuple(found)


def certificate_mismatches(leaf: x509.Certificate, spec: CertificateSpec) -> tuple[str, ...]:
    """Name the fields that a certificate does not fulfil, when its request is gone and cannot be asked.

    Looser than `request_mismatches`, as in cert-manager: an issuer may move a name between common name and DNS names
    or set subject fields of its own, and a lost request must not cause a new certificate.
    """
    read = leaf_names(leaf)
    if read.names is None:
        return ("spec.dnsNames",)
    dns, common = read.names.dns_names, [text for text in read.texts(names.COMMON_NAME) if text]
    field = "spec.literalSubject" if spec.literal_subject else "spec.commonName"
    wanted = _common_names(spec)
    have, want = {*dns, *common}, {*spec.dns_names, *wanted}
    found = []
    if have != want:
        if not have.issuperset(wanted) or not want.issuperset(common):
            found.append(field)
        if not have.issuperset(spec.dns_names) or not want.issuperset(dns):
            found.append("spec.dnsNames")
    found.extend(
        _san_mismatches(
            spec,
            ips=read.names.ip_addresses,
            uris=read.names.uris,
            emails=read.names.email_addresses,
            dns=None,
        )
    )
    return tuple(found)


def lacking(leaf: x509.Certificate, spec: CertificateSpec) -> tuple[str, ...]:
    """Name what a certificate has less than the spec asks for, field by field, where it is of use all the same.

    Of usages the extended ones count: which others an issuer gives depends on the kind of key.
    """
    found: list[str] = []
    have = leaf_names(leaf)
    subject = spec.subject or Subject()
    for kind, field, texts in (
        (names.SERIAL_NUMBER, "serialNumber", (subject.serial_number,) if subject.serial_number else ()),
        (names.ORGANIZATION, "organizations", subject.organizations),
        (names.COUNTRY, "countries", subject.countries),
        (names.LOCALITY, "localities", subject.localities),
        (names.ORGANIZATIONAL_UNIT, "organizationalUnits", subject.organizational_units),
        (names.POSTAL_CODE, "postalCodes", subject.postal_codes),
        (names.PROVINCE, "provinces", subject.provinces),
        (names.STREET_ADDRESS, "streetAddresses", subject.street_addresses),
    ):
        if not set(have.texts(kind)).issuperset(texts):
            found.append(f"spec.subject.{field}")
    try:
        value = parts.extension(leaf, extensions.EXTENDED_KEY_USAGE)
        given = {ANY} if value is None else set(decode_extended_key_usage(value))
        wanted = dict.fromkeys(split_usages(spec.usages)[1])
        missing = [] if ANY in given else [one for one in wanted if EXTENDED_USAGES.get(one, one) not in given]
    except (der.DerError, TemplateError):
        missing = []
    if missing:
        found.append(f"spec.usages ({', '.join(missing)})")
    return tuple(found)


def _common_names(spec: CertificateSpec) -> set[str]:
    """The common names that the spec asks for: a literal subject may have several."""
    if not spec.literal_subject:
        return {spec.common_name} - {""}
    try:
        parts = literal_subject.read_literal_subject(spec.literal_subject)
    except ValueError:
        return set()
    return {text for pairs in parts for kind, text in pairs if kind == names.COMMON_NAME and text}


def _san_mismatches(
    spec: CertificateSpec,
    *,
    ips: Sequence[str],
    uris: Sequence[str],
    emails: Sequence[str],
    dns: Sequence[str] | None,
) -> Iterable[str]:
    if addresses(ips) != addresses(spec.ip_addresses):
        yield "spec.ipAddresses"
    if sorted(uris) != sorted(spec.uris):
        yield "spec.uris"
    if sorted(emails) != sorted(spec.email_addresses):
        yield "spec.emailAddresses"
    if dns is not None and sorted(dns) != sorted(spec.dns_names):
        yield "spec.dnsNames"


def addresses(texts: Iterable[str]) -> list[str]:
    """Addresses in one form, so that two ways to write one IPv6 address are equal; text that is none stays itself."""
    found = []
    for text in texts:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            found.append(text)
            continue
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        found.append(str(mapped or address))
    return sorted(found)


_SUBJECT_FIELDS: Mapping[str, str] = {
    names.COMMON_NAME: "spec.commonName",
    names.SERIAL_NUMBER: "spec.subject.serialNumber",
    names.ORGANIZATION: "spec.subject.organizations",
    names.COUNTRY: "spec.subject.countries",
    names.LOCALITY: "spec.subject.localities",
    names.ORGANIZATIONAL_UNIT: "spec.subject.organizationalUnits",
    names.POSTAL_CODE: "spec.subject.postalCodes",
    names.PROVINCE: "spec.subject.provinces",
    names.STREET_ADDRESS: "spec.subject.streetAddresses",
}


def _literal_mismatches(spec: CertificateSpec, asked: bytes) -> Iterable[str]:
    """Here order counts, as in cert-manager: the text says the whole name."""
    try:
        same = literal_subject.encode_literal_subject(spec.literal_subject) == asked
    except ValueError:
        same = False
    if not same:
        yield "spec.literalSubject"


def _subject_mismatches(spec: CertificateSpec, asked: Iterable[names.RelativeName]) -> Iterable[str]:
    subject = spec.subject or Subject()
    wanted: dict[str, tuple[str, ...]] = {
        names.COMMON_NAME: (spec.common_name,) if spec.common_name else (),
        names.SERIAL_NUMBER: (subject.serial_number,) if subject.serial_number else (),
        names.ORGANIZATION: subject.organizations,
        names.COUNTRY: subject.countries,
        names.LOCALITY: subject.localities,
        names.ORGANIZATIONAL_UNIT: subject.organizational_units,
        names.POSTAL_CODE: subject.postal_codes,
        names.PROVINCE: subject.provinces,
        names.STREET_ADDRESS: subject.street_addresses,
    }
    found: dict[str, list[str]] = {}
    for pairs in asked:
        for kind, text in pairs:
            found.setdefault(kind, []).append(text)
    for kind, field in _SUBJECT_FIELDS.items():
        if sorted(wanted[kind]) != sorted(found.pop(kind, [])):
            yield field
    if found:
        yield "spec.subject"


def _other_names(san_der: bytes | None) -> list[bytes]:
    """The names of the kinds that no list of the API holds, as they are encoded, sorted."""
    found: list[bytes] = []
    if san_der is None:
        return found
    position, end = der.only(san_der, 0, len(san_der), der.SEQUENCE)
    while position < end:
        tag, _, after = der.element(san_der, position, end)
        if tag not in (general_names.DNS, general_names.EMAIL, general_names.IP, general_names.URI):
            found.append(san_der[position:after])
        position = after
    return sorted(found)


def _same(one: str, other: str) -> bool:
    try:
        return parse_duration(one) == parse_duration(other)
    except InvalidDuration:
        return one == other
