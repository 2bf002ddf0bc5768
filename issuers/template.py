"""The decision about one certificate: everything but issuer, serial number and signature.

`template_for` decides as cert-manager does; a stricter wall makes its template itself. What is signed is built from
the template alone, never from the request. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from issuers.errors import TemplateError
from issuers.request import SigningRequest
from issuers.x509.subject import EMPTY_NAME
from issuers.x509.usages import CERT_SIGN, DEFAULT_USAGES, key_usage_names, split_usages

_URL = re.compile(r"[\x21-\x7e]+")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CertificateTemplate:
    """The decision: everything of a certificate but issuer, serial number and signature. Times are UTC, whole seconds."""

    spki: bytes
    subject_der: bytes
    san_der: bytes | None
    not_before: datetime
    not_after: datetime
    is_ca: bool = False
    path_length: int | None = None
    usages: tuple[str, ...] = DEFAULT_USAGES
    unknown_extended_key_usages: tuple[str, ...] = ()
    name_constraints_der: bytes | None = None
    name_constraints_critical: bool = False
    crl_distribution_points: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()
    issuing_certificate_urls: tuple[str, ...] = ()
    # A CA's certificate always names its key; cert-manager leaves it out of others.
    names_key: bool = False

    @property
    def san_critical(self) -> bool:
        """The names are critical exactly when there is no subject (RFC 5280, 4.2.1.6)."""
        return self.subject_der == EMPTY_NAME


def within(template: CertificateTemplate, *, not_before: datetime, not_after: datetime) -> CertificateTemplate:
    """Cut a certificate's life to that of its CA and all above it: it never outlives the trust that its ca.crt gives."""
    if not_before <= template.not_before and template.not_after <= not_after:
        return template
    return replace(
        template,
        not_before=max(template.not_before, not_before),
        not_after=min(template.not_after, not_after),
    )


def mesh_template(
    request: SigningRequest, *, san: bytes, usages: tuple[str, ...], not_before: datetime, not_after: datetime
) -> CertificateTemplate:
    """Make the certificate of a workload: a key, names that are critical, and nothing else that the request says.

    `san` is the GeneralNames that were decided; times are UTC.
    """
    return CertificateTemplate(
        spki=request.spki,
        subject_der=EMPTY_NAME,
        san_der=san,
        not_before=not_before.replace(microsecond=0),
        not_after=not_after.replace(microsecond=0),
        usages=usages,
        names_key=True,
    )


def template_for(
    request: SigningRequest,
    *,
    usages: Sequence[str],
    duration: timedelta,
    is_ca: bool,
    now: datetime,
    add_cert_sign: bool = False,
    crl_distribution_points: Sequence[str] = (),
    ocsp_servers: Sequence[str] = (),
    issuing_certificate_urls: Sequence[str] = (),
) -> CertificateTemplate:
    """Decide as cert-manager does what a CSR becomes (pkg/util/pki CertificateTemplateFromCSR).

    `usages` are Kubernetes' names; none means digital signature and key encipherment. `add_cert_sign` is the rule of
    CertificateRequests, where a CA may always sign certificates; CertificateSigningRequests do not have it. `now` is
    UTC; the lifetime is honoured to the second. Raises TemplateError when usages or CA flag are not what the CSR
    says, or the wish makes no sense.
    """
    wanted = _wanted_usages(request, tuple(usages), add_cert_sign=add_cert_sign and is_ca)
    if request.is_ca is not None and request.is_ca != is_ca:
        raise TemplateError("isCA", f"the CSR's BasicConstraints say {request.is_ca}, {is_ca} is asked for")
    if duration < _SECOND:
        raise TemplateError("duration", f"{duration} is not a lifetime")
    try:
        not_after = now + duration
    except OverflowError:
        raise TemplateError("duration", f"{duration} goes beyond the year 9999") from None
    return CertificateTemplate(
        spki=request.spki,
        subject_der=request.subject_der,
        san_der=request.san_der,
        not_before=now.replace(microsecond=0),
        not_after=not_after.replace(microsecond=0),
        is_ca=is_ca,
        usages=wanted,
        unknown_extended_key_usages=request.unknown_extended_key_usages,
        name_constraints_der=request.name_constraints_der,
        name_constraints_critical=request.name_constraints_critical,
        crl_distribution_points=_urls("crlDistributionPoints", crl_distribution_points),
        ocsp_servers=_urls("ocspServers", ocsp_servers),
        issuing_certificate_urls=_urls("issuingCertificateURLs", issuing_certificate_urls),
    )


def _wanted_usages(request: SigningRequest, asked: tuple[str, ...], *, add_cert_sign: bool) -> tuple[str, ...]:
    wanted = asked or DEFAULT_USAGES
    if add_cert_sign:
        wanted = (*wanted, CERT_SIGN)
    bits, extended = split_usages(wanted)
    if request.key_usage_bits is None and request.extended_key_usages is None:
        return wanted
    # A CSR that carries one of the two extensions speaks for both: what it leaves out is none.
    if (request.key_usage_bits or 0) != bits:
        said = key_usage_names(request.key_usage_bits or 0)
        raise TemplateError(
            "usages", f"the CSR's KeyUsage is {_list(said)}, {_list(key_usage_names(bits))} is asked for"
        )
    # They are a set (RFC 5280, 4.2.1.12): neither their order nor that one stands twice says anything.
    if set(request.extended_key_usages or ()) != set(extended):
        said = request.extended_key_usages or ()
        raise TemplateError("usages", f"the CSR's ExtendedKeyUsage is {_list(said)}, {_list(extended)} is asked for")
    return wanted


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


def _urls(field: str, urls: Sequence[str]) -> tuple[str, ...]:
    for url in urls:
        if not _URL.fullmatch(url):
            raise TemplateError(field, f"{url!r} is not a URL in plain ASCII")
    return tuple(urls)
