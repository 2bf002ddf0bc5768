"""SignerBindings: who owns a signer, and that a spoilt one gives it to nobody."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given

from signer.api.issuer import IssuerRef
from signer.api.signerbinding import SignerBinding
from signer.tenancy.bindings import binding_name, new_binding, read_binding
from signer.tenancy.world import Binding
from tests.unit.api.test_proxyconfig import JSON

FOO = IssuerRef("ClusterIssuer", "", "foo")
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = {"signerName": "clusterissuers.cert-manager.io/foo", "namespace": "shop", "namespaceUID": "u-1"}


def read(spec: Any, **parts: Any) -> Binding:
    metadata = {"name": "foo", "creationTimestamp": "2026-01-02T03:04:05Z"}
    return read_binding(msgspec.convert({"metadata": metadata, "spec": spec} | parts, SignerBinding))


def test_what_we_write_we_read() -> None:
    """A new binding says who owns the signer, under the signer's own name, so that there can be one only."""
    wanted = new_binding(FOO, "shop", "u-1")
    assert wanted["apiVersion"] == "mesh-signer.dev/v1alpha1"
    assert wanted["kind"] == "SignerBinding"
    assert wanted["metadata"]["name"] == binding_name(FOO) == "foo"
    assert wanted["spec"] == GOOD
    assert read(wanted["spec"]) == Binding(FOO, "shop", "u-1", CREATED)


def test_an_issuer_is_not_bound() -> None:
    """An Issuer belongs to its own namespace; a binding of one would take the name of a ClusterIssuer."""
    with pytest.raises(ValueError, match="Issuer shop/foo needs no SignerBinding"):
        new_binding(IssuerRef("Issuer", "shop", "foo"), "shop", "u-1")


def test_status() -> None:
    """The times of the status are read; those that are none are unknown."""
    found = read(GOOD, status={"claimEndedTime": "2026-02-01T00:00:00Z", "lastIssuedTime": "2026-03-01T01:00:00+01:00"})
    assert found.claim_ended == datetime(2026, 2, 1, tzinfo=UTC)
    assert found.last_issued == datetime(2026, 3, 1, tzinfo=UTC)
    for status in (None, 7, {"claimEndedTime": "yesterday"}, {"claimEndedTime": None}, {"claimEndedTime": 7}):
        assert read(GOOD, status=status) == Binding(FOO, "shop", "u-1", CREATED)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"signerName": "clusterissuers.cert-manager.io/bar"}, "spec.signerName:"),
        ({"signerName": "issuers.cert-manager.io/shop.foo"}, "spec.signerName:"),
        ({"signerName": "foo"}, "spec.signerName:"),
        ({"signerName": None}, "spec.signerName:"),
        ({"namespace": ""}, "spec.namespace:"),
        ({"namespace": "Shop"}, "spec.namespace:"),
        ({"namespace": 7}, "spec.namespace:"),
        ({"namespaceUID": ""}, "spec.namespaceUID:"),
        ({"namespaceUID": {}}, "spec.namespaceUID:"),
    ],
)
def test_a_spoilt_one(change: dict[str, Any], field: str) -> None:
    """It names the wrong field; the signer of its name belongs to nobody."""
    found = read(GOOD | change)
    assert found.problem.startswith(field)
    assert found.signer == FOO
    assert (found.namespace, found.namespace_uid) == ("", "")


@given(JSON, JSON)
def test_whatever_is_written(spec: Any, status: Any) -> None:
    """Reading never fails, and what is not wholly good has no owner."""
    found = read(spec, status=status)
    assert found.problem
    assert found.namespace == ""
