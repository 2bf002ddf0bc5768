"""The wall and a bridge's certificate: by the bridge alone, for its client alone, from the server's CA alone."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from issuers.shape import read_request
from issuers.spiffe import SpiffeId
from signer.tenancy.bridge import BRIDGE_USAGES
from signer.tenancy.decide import decide
from signer.tenancy.verdict import Bridge, Claim, Grant, Limits, Refuse, Unready
from signer.tenancy.world import Policy, Settings, TenancyMode, World
from tests.pki import workload_csr
from tests.unit.csr.crafted import NOW, authority
from tests.unit.tenancy.worlds import BAR, FOO, OTHER, binding, claims, uid, world

HOUR = timedelta(hours=1)
GATEWAY = SpiffeId("cluster.local", "istio-system", "gateway")


def bridge(**changes: object) -> Bridge:
    made = Bridge("foo/ingress", "p", "foo", uid("foo"), GATEWAY, uid("istio-system"), HOUR)
    return replace(made, **changes)


def claim(**changes: object) -> Claim:
    made = Claim(
        requester="",
        signer=FOO,
        ca_key_id=authority().key_id,
        request=read_request(workload_csr("istio-system", "gateway")),
        usages=BRIDGE_USAGES,
        is_ca=False,
        lifetime=None,
        resource="TenantBridge",
        namespace="foo",
        ca_not_after=NOW + 1000 * HOUR,
        bridge=bridge(),
    )
    return replace(made, **changes)


def mesh(**changes: Any) -> World:
    return world(
        claimed={"foo": claims(FOO), "bar": claims(BAR)},
        bindings=(binding(FOO, "foo"), binding(BAR, "bar")),
        keys={authority().key_id: frozenset({FOO})},
        **changes,
    )


def answer(asked: Claim, of: World | None = None) -> object:
    return decide(asked, of or mesh(), Limits(), fresh=True, now=NOW)


def test_granted() -> None:
    """The grant says everything: client auth alone, the server's namespace, the bridge's lifetime, where it comes from."""
    found = answer(claim())
    assert isinstance(found, Grant)
    assert (found.mesh, found.namespace, found.usages, found.lifetime) == (True, "foo", BRIDGE_USAGES, HOUR)
    assert found.source == "TenantBridge foo/ingress, within TenantBridgePolicy p"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bridge": None}, "NoBridge"),
        ({"request": read_request(workload_csr("foo", "httpbin"))}, "IdentityNotAllowed"),
        ({"request": read_request(workload_csr("istio-system", "other"))}, "IdentityNotAllowed"),
        ({"bridge": bridge(client=SpiffeId("elsewhere", "istio-system", "gateway"))}, "IdentityNotAllowed"),
        ({"bridge": bridge(client_uid="another")}, "NamespaceRemade"),
        ({"bridge": bridge(server_uid="another")}, "NamespaceRemade"),
        ({"bridge": bridge(ends=NOW)}, "Ended"),
        ({"bridge": bridge(client=SpiffeId("cluster.local", "foo", "httpbin"))}, "IdentityNotAllowed"),
        ({"usages": ("digital signature", "client auth", "server auth")}, "UsagesNotAllowed"),
        ({"usages": ()}, "UsagesNotAllowed"),
        ({"is_ca": True}, "UsagesNotAllowed"),
        ({"signer": BAR}, "TenantMismatch"),
        ({"signer": OTHER, "ca_key_id": "other"}, "NotAMeshSigner"),
        ({"ca_key_id": ""}, "SignerTypeNotAllowed"),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_refused(change: dict[str, object], code: str, mode: TenancyMode) -> None:
    """Whatever is not just this bridge's is refused, in audit mode too."""
    of = mesh(settings=Settings(mode=mode))
    found = answer(claim(**change), of)
    assert isinstance(found, Refuse)
    assert code in {reason.code for reason in found.reasons}


@given(
    st.sampled_from([None, *(timedelta(minutes=one) for one in (1, 30, 90))]),
    st.integers(1, 7200),
    st.integers(1, 7200),
    st.integers(60, 7200),
)
def test_lifetime(asked: timedelta | None, ca: int, ends: int, most: int) -> None:
    """A certificate outlives neither CA nor bridge, nor what both hands allow."""
    seconds = timedelta(seconds=1)
    of = bridge(lifetime=most * seconds, ends=NOW + ends * seconds)
    found = answer(claim(lifetime=asked, ca_not_after=NOW + ca * seconds, bridge=of))
    assert isinstance(found, Grant)
    assert found.lifetime == min(
        one for one in (asked, ca * seconds, ends * seconds, most * seconds) if one is not None
    )


def test_nothing_before_all_is_read() -> None:
    """As long as the mesh was not read nothing is granted, and nothing refused for good."""
    assert isinstance(answer(claim(), replace(mesh(), unsynced="Namespaces")), Unready)
    assert isinstance(answer(claim(), replace(mesh(), stale=frozenset({"Namespaces"}))), Unready)


def test_a_signer_policys_limits() -> None:
    """A SignerPolicy that gives the signer to the server limits the bridge's certificate too."""
    of = mesh(
        policies=(Policy("short", frozenset({FOO}), namespaces=frozenset({"foo"}), max_lifetime=timedelta(minutes=5)),)
    )
    found = answer(claim(), of)
    assert isinstance(found, Grant)
    assert found.lifetime == timedelta(minutes=5)
    of = mesh(
        policies=(
            Policy("servers", frozenset({FOO}), namespaces=frozenset({"foo"}), usages=frozenset({"server auth"})),
        )
    )
    refused = answer(claim(), of)
    assert isinstance(refused, Refuse)
    assert "client auth" in refused.message


def test_a_signer_that_nobody_owns() -> None:
    """A claim that is not stored yet is no ownership: the server's workloads have no certificate either."""
    of = world(claimed={"foo": claims(FOO)}, keys={authority().key_id: frozenset({FOO})})
    refused = answer(claim(), of)
    assert isinstance(refused, Refuse)
    assert "NotOwned" in {reason.code for reason in refused.reasons}


def test_other_requests_have_no_bridge() -> None:
    """A CertificateRequest or a CSR is not granted by a bridge that somebody put beside it."""
    for resource in ("CertificateRequest", "CertificateSigningRequest"):
        found = answer(claim(resource=resource, requester="x"))
        assert isinstance(found, Refuse), resource
