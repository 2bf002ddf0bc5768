"""One shared gateway for all tenants, on a real mesh: by bridges alone, as long as both hands hold, and for nobody else."""

from collections.abc import Iterator

import pytest

from tests.e2e.crossings import Crossing, bridge, gateway_of, policy, public, route
from tests.localmesh.istio_install import NAMESPACE
from tests.localmesh.mesh import Mesh
from tests.localmesh.workload import Workload

pytestmark = pytest.mark.e2e

TENANTS = ("foo", "bar")


@pytest.fixture(scope="module")
def crossing(mesh: Mesh, task: dict[str, Workload]) -> Iterator[Crossing]:  # noqa: ARG001 - the tenants' workloads
    """The shared gateway with both tenants' public hosts on it, and no bridge."""
    gateway = mesh.place_gateway()
    found = Crossing(mesh, gateway)
    written = [
        gateway_of(NAMESPACE, "public", *map(public, TENANTS)),
        *(
            route(NAMESPACE, tenant, public(tenant), f"httpbin.{tenant}.svc.cluster.local", f"{NAMESPACE}/public")
            for tenant in TENANTS
        ),
    ]
    try:
        mesh.wait_ready(gateway)
        found.apply(*written)
        yield found
    finally:
        found.delete(*(bridge(tenant) for tenant in TENANTS), policy(*TENANTS), *written)
        mesh.remove(gateway)


class TestSharedGateway:
    def test_closed_before(self, crossing: Crossing) -> None:
        """Without a bridge no tenant takes the gateway's certificate."""
        for tenant in TENANTS:
            crossing.shut(public(tenant))

    def test_open(self, crossing: Crossing, task: dict[str, Workload]) -> None:
        """With both hands each tenant's workload answers on its public host, and one tenant still can't reach the other."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        for source, target in (("foo", "bar"), ("bar", "foo")):
            assert task[f"curl.{source}"].ask(f"httpbin.{target}").refused_by_tls

    def test_one_end(self, crossing: Crossing) -> None:
        """The server's tenant ends its bridge: its host is shut, and the other tenant's stays open."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        crossing.delete(bridge("foo"))
        crossing.shut(public("foo"))
        assert crossing.visit(public("bar")).status == 200

    def test_the_admins_end(self, crossing: Crossing) -> None:
        """An admin takes the policy away, and every host is shut."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        crossing.delete(policy(*TENANTS))
        for tenant in TENANTS:
            crossing.shut(public(tenant))
