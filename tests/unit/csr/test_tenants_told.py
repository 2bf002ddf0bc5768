"""Where a tenant reads why his workloads get nothing, when the request is gone: on an object of his own namespace that is there."""

from typing import Any, cast

import pytest

from signer.api.issuer import IssuerRef
from signer.csr.record import Around, Record
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from tests.fakes.recorder import FakeRecorder
from tests.unit.csr.crafted import NOW, ready
from tests.unit.csr.test_by_identity import DOOR, FOO, MESH, TENANTS, indexed
from tests.unit.tenancy.indexed import proxy_config

ACCOUNT = ("ServiceAccount", "shop", "default")
CASES: dict[str, tuple[list[Any], list[Any], IssuerRef, tuple[str, str, str]]] = {
    "by identity, of the routed name": ([DOOR, *TENANTS], [], MESH, ACCOUNT),
    "by identity, of a tenant's signer": ([DOOR, *TENANTS], [], FOO, ACCOUNT),
    "by identity, with a claim": (
        [DOOR, *TENANTS],
        [proxy_config("shop", "foo", "claim")],
        FOO,
        ("ProxyConfig", "shop", "claim"),
    ),
    "without a route": ([*TENANTS], [], FOO, ("ClusterIssuer", "", "foo")),
}


@pytest.mark.parametrize("case", CASES)
def test_where(case: str) -> None:
    """The ProxyConfig that claims; by identity, where there is none, the namespace's own account; else the issuer."""
    policies, claims, ref, expected = CASES[case]
    world, recorder = indexed(policies, claims).world, FakeRecorder()
    around = Around(lambda one: ready(FOO) if one == FOO else None, lambda: world, lambda: 0.0, lambda: NOW)
    record = Record(cast(Any, recorder), Metrics(), AuditLog(None), around)
    record._tell_tenant("shop", ref, "RouteMissing", "no signer")
    assert [(one.about.kind, one.about.namespace, one.about.name) for one in recorder.taken] == [expected]
