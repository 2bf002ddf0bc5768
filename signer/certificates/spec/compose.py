"""The CSR that a Certificate stands for. Pure but for the signature; slow with RSA keys, so callers leave the loop.

What is written is read back, as whoever answers it will read it: what the reader refuses, or reads otherwise, is never
stored, or it would be thrown away and made again for ever. readable.py finds the same of the spec before there is a key;
what is left for here is the key, which may be the user's own.
"""

from issuers.compose import compose_request
from issuers.errors import MalformedRequest, TemplateError
from issuers.request import read_request
from issuers.x509.keys import PrivateKey
from issuers.x509.name_constraints import Constraints
from issuers.x509.subject import Subject
from signer.api import certificate as api
from signer.certificates.spec.matching import csr_mismatches

_NAMES = "dnsNames, spec.ipAddresses, spec.uris, spec.emailAddresses, spec.otherNames"
# Which field of a Certificate is behind a part of the CSR.
_FIELDS = {
    "request.subject": "commonName, spec.subject, spec.literalSubject",
    "request.extensions.subjectAltName": _NAMES,
    "request.extensions.keyUsage": "usages",
    "request.extensions.extendedKeyUsage": "usages",
    "request.extensions.nameConstraints": "nameConstraints",
    "request.publicKey": "privateKey",
    "request.signature": "privateKey",
    "request.signatureAlgorithm": "signatureAlgorithm",
}


def compose_csr(spec: api.CertificateSpec, key: PrivateKey) -> bytes:
    """Write the CSR (PEM) for this spec and key.

    Raises TemplateError, naming the field, for what cannot be written or not be read back.
    """
    text = _written(spec, key)
    try:
        read = read_request(text)
    except MalformedRequest as error:
        raise TemplateError(_FIELDS.get(error.field, _NAMES), f"no request that we accept: {error}") from None
    if other := csr_mismatches(read, spec):
        raise TemplateError(", ".join(other).removeprefix("spec."), "the request would not be read as it is meant")
    return text


def _written(spec: api.CertificateSpec, key: PrivateKey) -> bytes:
    subject = spec.subject or api.Subject()
    constraints = spec.name_constraints or api.NameConstraints()
    return compose_request(
        key,
        subject=Subject(
            common_name=spec.common_name,
            countries=subject.countries,
            provinces=subject.provinces,
            localities=subject.localities,
            street_addresses=subject.street_addresses,
            postal_codes=subject.postal_codes,
            organizations=subject.organizations,
            organizational_units=subject.organizational_units,
            serial_number=subject.serial_number,
        ),
        literal_subject=spec.literal_subject,
        dns_names=spec.dns_names,
        ip_addresses=spec.ip_addresses,
        email_addresses=spec.email_addresses,
        uris=spec.uris,
        other_names=[(name.oid, name.utf8_value) for name in spec.other_names],
        usages=spec.usages,
        is_ca=spec.is_ca,
        encode_usages=spec.encode_usages_in_request is not False,
        permitted=_constraints(constraints.permitted),
        excluded=_constraints(constraints.excluded),
        name_constraints_critical=constraints.critical,
        signature_algorithm=spec.signature_algorithm or None,
    )


def _constraints(item: api.NameConstraintItem | None) -> Constraints | None:
    if item is None:
        return None
    return {
        "dns": list(item.dns_domains),
        "ip": list(item.ip_ranges),
        "email": list(item.email_addresses),
        "uri": list(item.uri_domains),
    }
