"""When a certificate is issued anew, and when it counts as ready: one thing spoilt at a time."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.secret import Secret
from signer.certificates.policies import Facts, issuance_needed, not_ready
from signer.certificates.secrets.view import inspect
from signer.certificates.spec.matching import view_request
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW, Json


def facts(
    certificate: Certificate | None = None,
    secret: Json | None = None,
    request: Json | None = None,
    *,
    no_request: bool = False,
    ahead: timedelta = timedelta(0),
) -> Facts:
    stored = msgspec.convert(secret or samples.secret_json(), Secret)
    current = msgspec.convert(request or samples.request_json(), CertificateRequest)
    return Facts(
        certificate or samples.certificate(),
        inspect(stored),
        None if no_request else view_request(current),
        NOW + ahead,
    )


def test_the_sample_is_in_order() -> None:
    """Nothing is issued and nothing is wrong while everything is as it was asked for."""
    for no_request in (False, True):
        assert issuance_needed(facts(no_request=no_request)) is None
        assert not_ready(facts(no_request=no_request)) is None


def test_no_secret() -> None:
    """Without a Secret a certificate is issued."""
    found = issuance_needed(Facts(samples.certificate(), None, None, NOW))
    assert found is not None
    assert found.reason == "DoesNotExist"


def edit(**changes: Any) -> Callable[[Json], Json]:
    def change(secret: Json) -> Json:
        for path, value in changes.items():
            part = secret["data"] if path.startswith("tls_") else secret["metadata"]["annotations"]
            name = (
                path.replace("tls_", "tls.") if path.startswith("tls_") else f"cert-manager.io/{path.replace('_', '-')}"
            )
            if value is None:
                part.pop(name, None)
            else:
                part[name] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        return secret

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s | {"data": {}}, "MissingData"),
        (edit(tls_key=None), "MissingData"),
        (edit(tls_crt=b""), "MissingData"),
        (edit(tls_key=b"junk"), "InvalidKeyPair"),
        (edit(tls_key=samples.key_pem(1)), "InvalidKeyPair"),
        (edit(tls_crt=b"junk"), "InvalidCertificate"),
        (edit(issuer_name="other"), "IncorrectIssuer"),
        (edit(issuer_kind="Issuer"), "IncorrectIssuer"),
        (edit(issuer_kind=""), "IncorrectIssuer"),
        (edit(issuer_group="example.com"), "IncorrectIssuer"),
        (edit(certificate_name="other"), "IncorrectCertificate"),
    ],
)
def test_spoilt_secret(change: Callable[[Json], Json], reason: str) -> None:
    """Each defect of a Secret has cert-manager's reason, for the issuance and for the Ready condition."""
    spoilt = facts(secret=change(samples.secret_json()))
    for found in (issuance_needed(spoilt), not_ready(spoilt)):
        assert found is not None
        assert found.reason == reason


@pytest.mark.parametrize(
    "change",
    [
        edit(issuer_group="cert-manager.io"),
        edit(issuer_name=None, issuer_kind=None, issuer_group=None),
        edit(certificate_name=None),
    ],
    ids=["default-group-written-out", "no-issuer-noted", "no-certificate-noted"],
)
def test_harmless_secret(change: Callable[[Json], Json]) -> None:
    """Notes that are missing, or say the default, are no reason to issue."""
    assert issuance_needed(facts(secret=change(samples.secret_json()))) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"commonName": "other"}, "spec.commonName"),
        ({"commonName": None}, "spec.commonName"),
        ({"subject": {"organizations": ["Org", "More"], "countries": ["DE"], "serialNumber": "7"}}, "organizations"),
        ({"subject": {"organizations": ["Org"], "countries": ["FR"], "serialNumber": "7"}}, "countries"),
        ({"subject": {"organizations": ["Org"], "countries": ["DE"]}}, "serialNumber"),
        ({"subject": {**samples.SPEC["subject"], "organizationalUnits": ["U"]}}, "organizationalUnits"),
        ({"subject": {**samples.SPEC["subject"], "localities": ["L"]}}, "localities"),
        ({"subject": {**samples.SPEC["subject"], "provinces": ["P"]}}, "provinces"),
        ({"subject": {**samples.SPEC["subject"], "streetAddresses": ["S"]}}, "streetAddresses"),
        ({"subject": {**samples.SPEC["subject"], "postalCodes": ["1"]}}, "postalCodes"),
        ({"dnsNames": ["leaf.example"]}, "spec.dnsNames"),
        ({"ipAddresses": ["10.0.0.2", "fd00::1"]}, "spec.ipAddresses"),
        ({"uris": ["spiffe://td/ns/a/sa/c"]}, "spec.uris"),
        ({"emailAddresses": None}, "spec.emailAddresses"),
        ({"otherNames": [{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "upn2"}]}, "spec.otherNames"),
        ({"otherNames": None}, "spec.otherNames"),
        ({"isCA": True}, "spec.isCA"),
        ({"usages": ["digital signature"]}, "spec.usages"),
        ({"duration": "2161h"}, "spec.duration"),
    ],
)
def test_changed_spec(spec: Json, field: str) -> None:
    """Each field of the spec that the request did not ask for so leads to a new certificate, and is named."""
    found = issuance_needed(facts(samples.certificate(**spec)))
    assert found is not None
    assert found.reason == "RequestChanged"
    assert found.message.endswith(field)


def test_changed_issuer() -> None:
    """Another issuer is told first by the Secret's notes, and by the request where there are none."""
    other = samples.certificate(issuerRef={"name": "other", "kind": "ClusterIssuer"})
    noted = issuance_needed(facts(other))
    bare = edit(issuer_name=None, issuer_kind=None, issuer_group=None)(samples.secret_json())
    asked = issuance_needed(facts(other, secret=bare))
    assert noted is not None
    assert asked is not None
    assert (noted.reason, asked.reason) == ("IncorrectIssuer", "RequestChanged")
    assert "spec.issuerRef" in asked.message


@pytest.mark.parametrize(
    "spec",
    [
        {"dnsNames": ["www.leaf.example", "leaf.example"]},
        {"ipAddresses": ["fd00:0:0::1", "10.0.0.1"]},
        {"usages": ["server auth", "digital signature"]},
        {"duration": "129600m"},
        {"duration": None},
        {"issuerRef": {"name": "root", "kind": "ClusterIssuer", "group": "cert-manager.io"}},
        {"secretTemplate": {"labels": {"a": "b"}}},
        {"revisionHistoryLimit": 3},
    ],
    ids=["dns-order", "ip-form", "usage-order", "duration-form", "no-duration", "group", "template", "history"],
)
def test_same_wish_in_other_words(spec: Json) -> None:
    """Order, spelling and fields that a certificate does not show are no reason to issue."""
    assert issuance_needed(facts(samples.certificate(**spec))) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"commonName": "other"}, "spec.commonName"),
        ({"dnsNames": ["leaf.example", "more.example"]}, "spec.dnsNames"),
        ({"dnsNames": ["leaf.example"]}, "spec.dnsNames"),
        ({"ipAddresses": None}, "spec.ipAddresses"),
        ({"uris": None}, "spec.uris"),
        ({"emailAddresses": ["b@leaf.example"]}, "spec.emailAddresses"),
    ],
)
def test_changed_spec_without_a_request(spec: Json, field: str) -> None:
    """Where the request is gone, the certificate itself is held against the spec."""
    found = issuance_needed(facts(samples.certificate(**spec), no_request=True))
    assert found is not None
    assert found.reason == "SecretMismatch"
    assert field in found.message


def test_another_key_kind() -> None:
    """A key of another kind or size than the spec's leads to a new certificate."""
    for private_key in ({"algorithm": "RSA"}, {"algorithm": "ECDSA", "size": 384}, {"algorithm": "Ed25519"}, None):
        found = issuance_needed(facts(samples.certificate(privateKey=private_key)))
        assert found is not None
        assert found.reason == "SecretMismatch"


def test_pair_of_another_request() -> None:
    """A pair that fits in itself, but not the request, was put there by somebody else."""
    swapped = samples.request_json(key_number=1)
    secret = samples.secret_json()
    secret["data"]["tls.key"] = base64.b64encode(samples.key_pem(1)).decode()
    secret["data"]["tls.crt"] = swapped["status"]["certificate"]
    found = issuance_needed(facts(secret=secret))
    assert found is not None
    assert found.reason == "SecretMismatch"
    assert "current CertificateRequest" in found.message


def test_unreadable_request() -> None:
    """An old request that cannot be read is no reason to give up a good certificate."""
    request = samples.request_json()
    request["spec"]["request"] = base64.b64encode(b"junk").decode()
    assert issuance_needed(facts(request=request)) is None


def test_renewal_and_expiry() -> None:
    """A certificate is renewed from the last third of its life on, is ready until its last second, then expired."""
    life = timedelta(days=80)  # what is left of 90 days
    due = life - timedelta(days=30)
    assert issuance_needed(facts(ahead=due - timedelta(seconds=1))) is None
    for ahead in (due, life, life + timedelta(days=1)):
        found = issuance_needed(facts(ahead=ahead))
        assert found is not None
        assert found.reason == "Renewing"
    assert not_ready(facts(ahead=due)) is None
    assert not_ready(facts(ahead=life)) is None
    expired = not_ready(facts(ahead=life + timedelta(seconds=1)))
    assert expired is not None
    assert expired.reason == "Expired"


def test_a_certificate_of_the_future() -> None:
    """One that is not valid yet is not ready and made again; a few minutes are no matter, as clocks differ."""
    begin = timedelta(days=-10)  # the sample was issued then; its notBefore may be a little earlier
    for ahead, reason in (
        (begin, None),
        (begin - timedelta(minutes=4), None),
        (begin - timedelta(hours=2), "NotYetValid"),
    ):
        for found in (issuance_needed(facts(ahead=ahead)), not_ready(facts(ahead=ahead))):
            assert (found.reason if found is not None else None) == reason
