"""What the planted faults of `make mutants` showed to be untested in the matching of Certificates."""

import ipaddress
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.x509 import parts
from signer.api.certificate import CertificateSpec
from signer.certificates.spec.matching import certificate_mismatches, lacking
from tests.fuzz.certificate import assert_issued_as_wished
from tests.pki import ANY_TIME, CA
from tests.unit.certificates import samples

SPEC: dict[str, Any] = {
    "secretName": "s",
    "issuerRef": {"name": "i"},
    "dnsNames": ["a.example", "b.example"],
    "uris": ["spiffe://a/x", "spiffe://b/y"],
    "emailAddresses": ["a@example.com", "b@example.com"],
    "ipAddresses": ["10.0.0.1", "10.0.0.2"],
}


def leaf(spec: dict[str, Any]) -> x509.Certificate:
    """A certificate that has the names of a spec, each list turned round."""
    names: list[x509.GeneralName] = []
    kinds: tuple[tuple[str, Callable[[str], x509.GeneralName]], ...] = (
        ("dnsNames", x509.DNSName),
        ("uris", x509.UniformResourceIdentifier),
        ("emailAddresses", x509.RFC822Name),
        ("ipAddresses", lambda text: x509.IPAddress(ipaddress.ip_address(text))),
    )
    for field, kind in kinds:
        names += [kind(text) for text in reversed(spec[field])]
    san = x509.SubjectAlternativeName(names)
    return CA("leaf", now=ANY_TIME, is_ca=False, subject=x509.Name([]), extra=[(san, True)]).certificate


def test_order_is_nothing() -> None:
    """A certificate that has all names in another order needs no new one, whatever kind they are of."""
    assert certificate_mismatches(leaf(SPEC), msgspec.convert(SPEC, CertificateSpec)) == ()


def test_each_name_counts() -> None:
    """A name more or less is told with the field that it stands in."""
    for field in ("uris", "emailAddresses", "ipAddresses", "dnsNames"):
        wanted = {**SPEC, field: SPEC[field][:1]}
        assert certificate_mismatches(leaf(SPEC), msgspec.convert(wanted, CertificateSpec)) == (f"spec.{field}",)


def test_odd_extensions_and_subjects_hide_no_names() -> None:
    """What the library refuses or warns of, and Go does not, is no reason for a new certificate."""
    names = {"commonName": "a", "dnsNames": ["a.example"]}
    for odd in ({"usages": ["encipher only"]}, {"subject": {"countries": ["", "DEU"]}}):
        assert_issued_as_wished(samples.certificate(**odd, **names))


PURPOSES = {"server auth": "1.3.6.1.5.5.7.3.1", "client auth": "1.3.6.1.5.5.7.3.2", "any": "2.5.29.37.0"}
FIELDS = {
    "organizations": NameOID.ORGANIZATION_NAME,
    "countries": NameOID.COUNTRY_NAME,
    "localities": NameOID.LOCALITY_NAME,
    "organizationalUnits": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "postalCodes": NameOID.POSTAL_CODE,
    "provinces": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
}


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.sampled_from(sorted(PURPOSES))),
    st.none() | st.sets(st.sampled_from(sorted(PURPOSES)), min_size=1),
    st.sets(st.sampled_from(sorted(FIELDS))),
    st.sets(st.sampled_from(sorted(FIELDS))),
    st.booleans(),
)
def test_what_an_issuer_leaves_out(
    asked: set[str], given_: set[str] | None, fields: set[str], kept: set[str], ca: bool
) -> None:
    """Each usage and each field of the subject that was asked for and is not there is named, and nothing else is."""
    subject = x509.Name([x509.NameAttribute(FIELDS[field], "DE") for field in sorted(kept)])
    extra = (
        []
        if given_ is None
        else [(x509.ExtendedKeyUsage([x509.ObjectIdentifier(PURPOSES[one]) for one in sorted(given_)]), False)]
    )
    made = CA("leaf", now=ANY_TIME, is_ca=ca, subject=subject, extra=extra).certificate
    wish = {**SPEC, "usages": sorted(asked), "subject": {field: ["DE"] for field in fields}}
    found = " ".join(lacking(made, msgspec.convert(wish, CertificateSpec)))
    for field in FIELDS:
        assert (f"spec.subject.{field}" in found) is (field in fields - kept)
    missing = set() if given_ is None or "any" in given_ else asked - given_
    for one in PURPOSES:
        assert (one in found.partition("spec.usages")[2]) is (one in missing)
    assert ("spec.usages" in found) is bool(missing)
    assert parts.is_ca(made) is ca
