"""Whatever the CRD lets through: a CSR that reads back as the wish, or InvalidSpec with the field; never one made in vain."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from issuers.errors import TemplateError
from issuers.x509.usages import EXTENDED_USAGES, KEY_USAGES
from manifests.generate.certificate import certificate_spec
from signer.api.certificate import Certificate
from signer.certificates.spec.check import spec_defect
from signer.certificates.spec.compose import compose_csr
from tests.fuzz.certificate import assert_issued_as_wished, assert_names_a_field
from tests.unit.certificates import samples

# What Kubernetes stores in a string: any text of Unicode; and what people, and attackers, write.
_TEXT = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from("aZ9.-_:/@%*[]~ \t\n\x00\x7fé\u202e中"), max_size=16),
    st.sampled_from(("a.example", "*.a.example", "spiffe://td/ns/a/sa/b", "10.0.0.0/8", "a@b.example", "x" * 70)),
)
_ADDRESS = st.one_of(st.ip_addresses().map(str), st.from_regex(r"\A[0-9A-Fa-f:.]{2,45}\Z"), st.just("::ffff:10.0.0.1"))
_EMAIL = st.builds("{}@{}".format, st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9)).filter(
    lambda text: not {"\n", "\r"} & set(text)
)
_OID = st.one_of(st.from_regex(r"\A[+-]?[0-9]{1,3}(\.[+-]?[0-9]{1,12})*\Z"), st.just("1.3.6.1.4.1.311.20.2.3"))


def _few(texts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(texts, max_size=3)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_ITEM = _some(
    dnsDomains=_few(_TEXT), ipRanges=_few(_TEXT | _ADDRESS), emailAddresses=_few(_TEXT), uriDomains=_few(_TEXT)
)
_PARTS = ("countries", "localities", "organizationalUnits", "organizations", "postalCodes", "provinces")
_STORE = st.fixed_dictionaries(
    {"create": st.booleans()},
    optional={"password": _TEXT, "passwordSecretRef": st.fixed_dictionaries({"name": _TEXT}, optional={"key": _TEXT})},
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "commonName": st.one_of(_TEXT.filter(lambda text: len(text) <= 64), st.text(min_size=60, max_size=64)),
    "subject": _some(**dict.fromkeys((*_PARTS, "streetAddresses"), _few(_TEXT)), serialNumber=_TEXT),
    "dnsNames": _few(_TEXT),
    "emailAddresses": _few(_EMAIL),
    "ipAddresses": _few(_ADDRESS),
    "uris": _few(st.one_of(_TEXT, st.builds("{}://{}{}".format, st.sampled_from(("spiffe", "http")), _TEXT, _TEXT))),
    "otherNames": _few(st.fixed_dictionaries({"oid": _OID, "utf8Value": st.text(min_size=1, max_size=9)})),
    "usages": st.lists(st.sampled_from((*KEY_USAGES, *EXTENDED_USAGES, "signing")), max_size=70),
    "duration": st.sampled_from(("1h", "2160h", "90m", "1d", "8760000h", "2562047h")),
    "renewBefore": _TEXT,
    "isCA": st.booleans(),
    "encodeUsagesInRequest": st.booleans(),
    "nameConstraints": _some(critical=st.booleans(), permitted=_ITEM, excluded=_ITEM),
    "privateKey": _some(
        algorithm=st.sampled_from(("RSA", "ECDSA", "Ed25519")),
        encoding=st.sampled_from(("PKCS1", "PKCS8")),
        rotationPolicy=st.sampled_from(("Never", "Always")),
        size=st.sampled_from((0, 256, 384, 521, 2048)),
    ),
    "signatureAlgorithm": st.sampled_from(("SHA256WithRSA", "ECDSAWithSHA384", "PureEd25519")),
    "secretTemplate": _some(annotations=st.dictionaries(_TEXT, _TEXT), labels=st.dictionaries(_TEXT, _TEXT)),
    "literalSubject": _TEXT
    | st.lists(st.builds("{}={}".format, st.sampled_from(("CN", "OU", "DC", "1.2.3", "x")), _TEXT), max_size=3).map(
        ",".join
    ),
    "additionalOutputFormats": _few(st.fixed_dictionaries({"type": st.sampled_from(("DER", "CombinedPEM"))})),
    "keystores": _some(jks=_STORE, pkcs12=_STORE),
    # No texts, or no part of the request; issuerRef and secretName are the same in all of them.
    **dict.fromkeys(("renewBeforePercentage", "revisionHistoryLimit"), st.none()),
}


def certificate(spec: dict[str, Any]) -> Certificate:
    given = {"secretName": "leaf", "issuerRef": {"name": "root"}} | {k: v for k, v in spec.items() if v is not None}
    meta = {"name": "leaf", "namespace": "shop", "uid": "uid"}
    return msgspec.convert({"metadata": meta, "spec": given}, Certificate)


def check(spec: dict[str, Any]) -> None:
    found = certificate(spec)
    if defect := spec_defect(found):
        assert_names_a_field(defect, found.raw_spec)
    else:
        assert_issued_as_wished(found)


def test_every_field_is_tried() -> None:
    """A field that the CRD gets is tried here too."""
    assert {*FIELDS, "issuerRef", "secretName"} == set(certificate_spec()["properties"])


@pytest.mark.heavy
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_some(**FIELDS))
@example({"uris": ["spiffe://[::1]/a"]})
@example({"commonName": "a", "subject": {"organizations": ["", ""]}})
@example({"literalSubject": "CN=,CN=b+CN=a", "dnsNames": ["a"]})
@example({"subject": {"localities": ["a\tb"]}, "dnsNames": ["a"]})
def test_a_request_that_reads_back_or_a_named_field(spec: dict[str, Any]) -> None:
    """All fields at once."""
    check(spec)


@pytest.mark.heavy
@pytest.mark.parametrize("field", sorted(FIELDS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_each_field_alone(field: str, data: st.DataObject) -> None:
    """One field, beside what is in order: most of the others' mistakes would hide its own."""
    base: dict[str, Any] = {"commonName": "leaf.example", "privateKey": {"algorithm": "ECDSA"}}
    if field == "nameConstraints":
        base["isCA"] = True
    if field == "literalSubject":
        base = base | {"commonName": None, "dnsNames": ["leaf.example"]}
    check(base | {field: data.draw(FIELDS[field])})


@pytest.mark.heavy
@pytest.mark.parametrize("names", [1000, 500, 1])
def test_the_largest_requests_that_pass_are_read(names: int) -> None:
    """What the bounds let through fits with the largest key that there is: an RSA key of 8192 bits."""
    length = next(
        one for one in range(800, 0, -1) if spec_defect(certificate({"dnsNames": _names(names, one)})) is None
    )
    key = rsa.generate_private_key(65537, 2048)
    text = compose_csr(certificate({"dnsNames": _names(names, length)}).spec, key)
    assert len(text) + 2 * (8192 - 2048) // 8 * 65 // 48 <= 64 * 1024
    assert len(text) > 30_000 or names == 1


def _names(count: int, length: int) -> list[str]:
    return [f"{n:x}".rjust(length * (64 if count == 1 else 1), "x") for n in range(count)]


def test_a_key_that_our_reader_refuses_is_the_fields_fault() -> None:
    """A user's own key may be one that no request is accepted with: said once, with the field, and nothing is stored."""
    key = rsa.generate_private_key(3, 2048)
    with pytest.raises(TemplateError, match=r"exponent 3") as raised:
        compose_csr(samples.certificate(privateKey=None).spec, key)
    assert raised.value.field == "privateKey"
