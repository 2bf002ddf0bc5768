"""Certificates: a spec gives a CSR that reads back as the wish, and a certificate that fulfils it, or a defect that names the field.

An input is the spec as JSON; secretName and issuerRef are filled in.
"""

import json
import random
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from cryptography import x509

from issuers.certificate import self_sign, template_for
from issuers.errors import TemplateError
from issuers.private_key import generate_key
from issuers.request import SigningRequest, read_request
from issuers.x509 import der
from issuers.x509.general_names import encode_general_names
from issuers.x509.keys import PrivateKey
from issuers.x509.literal_subject import encode_literal_subject
from issuers.x509.usages import CERT_SIGN, DEFAULT_USAGES, split_usages
from signer.api.certificate import Certificate, CertificateSpec, Subject
from signer.api.certificaterequest import CertificateRequest
from signer.api.duration import parse_duration
from signer.certificates.renewal import DEFAULT_DURATION
from signer.certificates.secrets.content import annotations_for
from signer.certificates.secrets.view import view_key, wanted_key
from signer.certificates.spec.check import INVALID, UNSUPPORTED, Defect, spec_defect
from signer.certificates.spec.compose import compose_csr
from signer.certificates.spec.matching import certificate_mismatches, view_request
from signer.certificates.steps import obsolete, request_body
from tests.fuzz import mutate as mutations

NOW = datetime(2026, 11, 22, tzinfo=UTC)
FIELDS: tuple[tuple[str, Any], ...] = (
    ("commonName", "leaf.example"),
    (
        "subject",
        {
            "organizations": ["Org", "Other"],
            "countries": ["DE"],
            "organizationalUnits": ["unit"],
            "localities": ["Ulm"],
            "provinces": ["BW"],
            "streetAddresses": ["Münsterplatz 1"],
            "postalCodes": ["89073"],
            "serialNumber": "7",
        },
    ),
    ("dnsNames", ["leaf.example", "*.leaf.example"]),
    ("ipAddresses", ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1"]),
    ("uris", ["spiffe://td/ns/a/sa/b", "https://[::1]:8443/a?b#c", "urn:a:b"]),
    ("emailAddresses", ["a@leaf.example"]),
    ("otherNames", [{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "upn"}]),
    ("duration", "2160h"),
    ("renewBefore", "240h"),
    ("renewBeforePercentage", 30),
    ("usages", ["digital signature", "server auth"]),
    ("usages", ["cert sign", "any"]),
    ("isCA", True),
    ("encodeUsagesInRequest", False),
    ("privateKey", {"algorithm": "ECDSA", "size": 384, "encoding": "PKCS8", "rotationPolicy": "Always"}),
    ("privateKey", {"algorithm": "Ed25519"}),
    ("signatureAlgorithm", "SHA384WithRSA"),
    ("revisionHistoryLimit", 2),
    ("secretTemplate", {"labels": {"a.b/c": "d"}, "annotations": {"e": "f"}}),
    (
        "nameConstraints",
        {
            "critical": True,
            "permitted": {"dnsDomains": [".a.example"], "ipRanges": ["10.0.0.0/8"], "uriDomains": ["b.example"]},
            "excluded": {"emailAddresses": ["a@c.example", "d.example"], "ipRanges": ["fd00::/8"]},
        },
    ),
    ("literalSubject", "CN=a,OU=b+1.2.3=c"),
    ("keystores", {"jks": {"create": True, "password": "a"}, "pkcs12": {"create": True, "password": "b"}}),
    ("additionalOutputFormats", [{"type": "DER"}]),
)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    try:
        given = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return
    if isinstance(given, dict):
        given = {"secretName": "leaf", "issuerRef": {"name": "root"}} | given
    meta = {"name": "leaf", "namespace": "shop", "uid": "uid"}
    certificate = msgspec.convert({"metadata": meta, "spec": given}, Certificate)
    defect = spec_defect(certificate)
    if defect is not None:
        assert_names_a_field(defect, given)
    else:
        assert_issued_as_wished(certificate)


def assert_names_a_field(defect: Defect, given: Any) -> None:
    """A defect's message begins with a field, and can be shown."""
    assert defect.reason in {INVALID, UNSUPPORTED}
    assert defect.message.isprintable(), defect.message
    assert defect.message.startswith("spec"), defect.message
    place = defect.message.removeprefix("spec")
    if isinstance(given, dict) and place.startswith("."):
        known = {*given, *(field.encode_name for field in msgspec.structs.fields(CertificateSpec))}
        # A field's own name is shown without what cannot be.
        shown = {"".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in one) for one in known}
        assert any(place.startswith(f".{one}") for one in shown), defect.message


def assert_issued_as_wished(certificate: Certificate) -> None:
    """The whole way of a spec without defects: composed, read, matched, signed, matched."""
    spec = certificate.spec
    key = _key(*wanted_key(spec))
    request = compose_csr(spec, key)
    read = read_request(request)
    assert_wish(spec, read)
    body = request_body(certificate, 1, request, "key")
    stored = msgspec.json.decode(msgspec.json.encode(body), type=CertificateRequest)
    # A request that does not fit is thrown away and made again, so one that was just made must fit.
    assert obsolete(view_request(stored), certificate, view_key(key)) == ""
    try:
        template = template_for(
            read,
            usages=stored.spec.usages,
            duration=parse_duration(spec.duration) if spec.duration else DEFAULT_DURATION,
            is_ca=stored.spec.is_ca,
            now=NOW,
            add_cert_sign=True,
        )
    except TemplateError as error:
        assert error.field == "duration"
        return
    leaf = x509.load_pem_x509_certificate(self_sign(template, key, serial=5).pem)
    annotations_for(leaf)
    # What does not fulfil the spec is issued anew once its request is gone.
    assert certificate_mismatches(leaf, spec) == ()


def assert_wish(spec: CertificateSpec, read: SigningRequest) -> None:
    """What is read says what the spec does, field by field, order aside."""
    assert sorted(read.dns_names) == sorted(spec.dns_names)
    assert sorted(read.uris) == sorted(spec.uris)
    assert sorted(read.email_addresses) == sorted(spec.email_addresses)
    assert len(read.ip_addresses) == len(spec.ip_addresses)
    assert read.other_names == len(spec.other_names)
    if spec.other_names:
        for one in spec.other_names:
            written = encode_general_names(other_names=[(one.oid, one.utf8_value)])
            assert written[der.only(written, 0, len(written), der.SEQUENCE)[0] :] in (read.san_der or b"")
    subject = spec.subject or Subject()
    wanted = [
        *([("2.5.4.3", spec.common_name)] if spec.common_name else []),
        *([("2.5.4.5", subject.serial_number)] if subject.serial_number else []),
        *(("2.5.4.6", one) for one in subject.countries),
        *(("2.5.4.7", one) for one in subject.localities),
        *(("2.5.4.8", one) for one in subject.provinces),
        *(("2.5.4.9", one) for one in subject.street_addresses),
        *(("2.5.4.10", one) for one in subject.organizations),
        *(("2.5.4.11", one) for one in subject.organizational_units),
        *(("2.5.4.17", one) for one in subject.postal_codes),
    ]
    if spec.literal_subject:
        assert read.subject_der == encode_literal_subject(spec.literal_subject)
    else:
        assert sorted(pair for pairs in read.subject_names for pair in pairs) == sorted(wanted)
    bits, extended = split_usages((*(spec.usages or DEFAULT_USAGES), *((CERT_SIGN,) if spec.is_ca else ())))
    if spec.encode_usages_in_request is False:
        bits, extended = 0, ()
    assert (read.key_usage_bits or 0, read.extended_key_usages or ()) == (bits, extended)
    constraints = spec.name_constraints
    items = [one for one in (constraints.permitted, constraints.excluded) if one] if constraints else []
    assert (read.name_constraints_der is None) == (not any(any(msgspec.structs.astuple(one)) for one in items))


@cache
def _key(algorithm: str, size: int) -> PrivateKey:
    # Large RSA keys take seconds to make, and mean nothing else here.
    return generate_key(algorithm, 2048 if algorithm == "RSA" else size or None)


def mutate(data: bytes, chance: random.Random, change: mutations.Bytes) -> bytes:
    """Change one value of the spec."""
    return mutations.json_text(data, chance, change, FIELDS)


SEEDS = (json.dumps(dict(FIELDS[:7])).encode(),)
