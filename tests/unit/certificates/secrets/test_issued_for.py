"""What a certificate was issued for is known from its Secret: no change of the spec is missed, and none is imagined."""

import base64
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import CertificateSpec
from signer.api.certificaterequest import CertificateRequest
from signer.api.secret import Secret
from signer.certificates.policies import Facts, issuance_needed
from signer.certificates.secrets.issued_for import mark_of, noted, wish_of
from signer.certificates.secrets.view import SecretView, inspect, read_leaf
from signer.certificates.spec.matching import view_request
from signer.certificates.well_known import ISSUED_FOR
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW, SPEC, Json

SUBJECT = SPEC["subject"]
OTHER: dict[str, Json] = {
    "commonName": {"commonName": "other"},
    "no-commonName": {"commonName": None},
    "subject": {"subject": SUBJECT | {"organizations": ["Org", "More"]}},
    "country": {"subject": SUBJECT | {"countries": ["FR"]}},
    "serial": {"subject": SUBJECT | {"serialNumber": ""}},
    "unit": {"subject": SUBJECT | {"organizationalUnits": ["U"]}},
    "dnsNames": {"dnsNames": ["leaf.example"]},
    "ipAddresses": {"ipAddresses": ["10.0.0.2"]},
    "uris": {"uris": None},
    "emailAddresses": {"emailAddresses": ["b@leaf.example"]},
    "otherNames": {"otherNames": None},
    "isCA": {"isCA": True},
    "usages": {"usages": ["digital signature"]},
    "duration": {"duration": "24h"},
    "nameConstraints": {"isCA": True, "nameConstraints": {"permitted": {"dnsDomains": ["leaf.example"]}}},
}
SAME: dict[str, Json] = {
    "dns-order": {"dnsNames": ["www.leaf.example", "leaf.example"]},
    "ip-form": {"ipAddresses": ["fd00:0:0::1", "10.0.0.1"]},
    "usage-order": {"usages": ["server auth", "digital signature", "server auth"]},
    "duration-form": {"duration": "129600m"},
    "duration-default": {"duration": None},
    "group": {"issuerRef": {"name": "root", "kind": "ClusterIssuer", "group": "cert-manager.io"}},
    "template": {"secretTemplate": {"labels": {"a": "b"}}},
    "history": {"revisionHistoryLimit": 3},
    "renewal": {"renewBefore": "24h"},
    "secret": {"secretName": "other"},
    "stores": {"keystores": {"jks": {"create": True, "password": "changeit"}}},
}


def spec(**changes: Any) -> CertificateSpec:
    return samples.certificate(**changes).spec


def marked(issued: CertificateSpec, *, leaf: bytes | None = None) -> SecretView:
    """The sample's Secret with the mark that a certificate (the sample's, PEM) was issued for this spec."""
    body = samples.secret_json()
    certificate, _ = read_leaf(leaf or base64.b64decode(body["data"]["tls.crt"]))
    assert certificate is not None
    body["metadata"]["annotations"][ISSUED_FOR] = mark_of(issued, certificate)
    return inspect(msgspec.convert(body, Secret))


@pytest.mark.parametrize("change", SAME)
def test_the_same_wish(change: str) -> None:
    """Order, spelling and what makes no other certificate are no other wish."""
    assert wish_of(spec(**SAME[change])) == wish_of(spec())


def test_every_other_wish_is_another() -> None:
    """Each field that an issuer is asked for makes another wish, and no two of them the same."""
    wishes = [wish_of(spec(**change)) for change in ({}, *OTHER.values())]
    assert len(set(wishes)) == len(wishes)
    assert all(len(wish) == 16 for wish in wishes)


@pytest.mark.heavy
@pytest.mark.parametrize("change", OTHER)
@pytest.mark.parametrize("request_is", ["there", "unreadable", "gone"])
def test_no_change_is_missed(change: str, request_is: str) -> None:
    """Whether its request is there, cannot be read or was cleaned up: a change of the spec leads to a new certificate."""
    body = samples.request_json()
    if request_is == "unreadable":
        body["spec"]["request"] = base64.b64encode(b"junk").decode()
    current = None if request_is == "gone" else view_request(msgspec.convert(body, CertificateRequest))
    found = issuance_needed(Facts(samples.certificate(**OTHER[change]), marked(spec()), current, NOW))
    assert found is not None
    assert found.reason == ("SecretMismatch" if request_is == "gone" else "RequestChanged")


@pytest.mark.parametrize("change", SAME)
@pytest.mark.parametrize("gone", [True, False])
def test_none_is_imagined(change: str, gone: bool) -> None:
    """What asks for the same certificate leads to none, with the request and without."""
    current = None if gone else view_request(samples.request())
    assert issuance_needed(Facts(samples.certificate(**SAME[change]), marked(spec()), current, NOW)) is None


@pytest.mark.parametrize("change", ["commonName", "dnsNames", "ipAddresses", "uris", "emailAddresses"])
def test_an_issuer_that_gives_other_names(change: str) -> None:
    """An issuer that writes names otherwise than asked is not asked for ever when the request is cleaned up."""
    wished = samples.certificate(**OTHER[change])
    assert issuance_needed(Facts(wished, marked(wished.spec), None, NOW)) is None


def test_the_mark_is_of_one_certificate() -> None:
    """Who puts another certificate there, or copies the mark of another, has nothing of it: its names are looked at."""
    other = samples.certificate(dnsNames=["other.example"])
    another = base64.b64decode(samples.request_json(key_number=1)["status"]["certificate"])
    view = marked(other.spec, leaf=another)
    assert noted(view.secret, view.leaf) == ""
    found = issuance_needed(Facts(other, view, None, NOW))
    assert found is not None
    assert "spec.dnsNames" in found.message


@given(st.text(max_size=60))
def test_any_mark(text: str) -> None:
    """Whatever somebody writes there, nothing fails, and only our own mark counts."""
    body = samples.secret_json()
    body["metadata"]["annotations"][ISSUED_FOR] = text
    view = inspect(msgspec.convert(body, Secret))
    assert noted(view.secret, view.leaf) == ""
    assert issuance_needed(Facts(samples.certificate(), view, None, NOW)) is None


@given(st.lists(st.sampled_from(sorted(OTHER)), max_size=4), st.lists(st.sampled_from(sorted(OTHER)), max_size=4))
def test_wishes_are_equal_where_specs_are(one: list[str], other: list[str]) -> None:
    """Two specs have one hash exactly when they ask for the same."""

    def made(changes: list[str]) -> Json:
        return dict(itertools.chain.from_iterable(OTHER[change].items() for change in changes))

    first, second = spec(**made(one)), spec(**made(other))
    assert (wish_of(first) == wish_of(second)) == (first == second)
