"""Which CA a bridge's certificate is by: the one that signs for the server's workloads, however they ask for it."""

import pytest

from signer.api.issuer import IssuerRef
from signer.bridges.server import NO_SIGNER, signer_of
from signer.tenancy.verdict import Reason
from signer.tenancy.world import Claims, World
from tests.unit.csr.crafted import NOW
from tests.unit.csr.test_by_identity import BAR, DOOR, FOO, MESH, TENANTS, indexed
from tests.unit.tenancy.indexed import proxy_config

OTHER = IssuerRef("ClusterIssuer", "", "other")


@pytest.mark.parametrize(
    ("whole", "defaults", "signer"),
    [
        (FOO, {MESH}, FOO),
        (FOO, set(), FOO),
        (None, {MESH}, MESH),
        (None, set(), NO_SIGNER),
        (None, {MESH, OTHER}, NO_SIGNER),
    ],
)
def test_without_routes(whole: IssuerRef | None, defaults: set[IssuerRef], signer: IssuerRef | str) -> None:
    """What the namespace claims for all its workloads, else the one default."""
    world = World()
    world.defaults = frozenset(defaults)
    if whole is not None:
        world.claims["foo"] = Claims(whole=whole)
    found = signer_of(world, "foo", now=NOW)
    assert (found.code if isinstance(found, Reason) else found) == signer


@pytest.mark.parametrize("default", ["", "mesh"])
@pytest.mark.parametrize(
    ("namespace", "claim", "signer"),
    [
        ("foo", "", FOO),
        ("bar", "", BAR),
        ("foo", "foo", FOO),
        ("foo", "mesh", FOO),
        ("shop", "", "RouteMissing"),
        ("nowhere", "", "NamespaceNotFound"),
    ],
)
def test_by_identity(namespace: str, claim: str, signer: IssuerRef | str, default: str) -> None:
    """Where one name is asked for all, the CA is the one that identity leads to, never that of the name."""
    claims = [proxy_config(namespace, claim)] if claim else []
    world = indexed((DOOR, *TENANTS), claims, default=default).world
    found = signer_of(world, namespace, now=NOW)
    assert (found.code if isinstance(found, Reason) else found) == signer
