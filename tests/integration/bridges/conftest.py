"""Fixtures of the tests of bridges: a cluster of its own with Istio's definitions, two tenants, and our processes at work."""

import secrets
from collections.abc import Iterator

import pytest

from tests.integration.bridges.admission import CONTROLLERS, CREDENTIAL, FOO, destination_rule, refusal, virtual_service
from tests.integration.bridges.tenancies import Crossing, gateway_definitions, istio_definitions
from tests.integration.hot_path import Place
from tests.integration.tenants import Tenants, define_proxy_configs
from tests.localmesh import LocalCluster
from tests.localmesh.bridges import FILES, OPTION
from tests.localmesh.install import install, wait_established
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess


@pytest.fixture(scope="package")
def bridged() -> Iterator[LocalCluster]:
    """A cluster with our base, the component of bridges and Istio's and the Gateway API's definitions; no process of ours."""
    with LocalCluster() as cluster:
        install(cluster, more=list(FILES))
        define_proxy_configs(cluster)
        names = (*istio_definitions(cluster), *gateway_definitions(cluster))
        wait_established(cluster, *names)
        yield cluster


@pytest.fixture(scope="module")
def at_work(bridged: LocalCluster) -> Iterator[SignerProcess]:
    """Both processes under the ServiceAccounts and the rights that we ship; gives the controllers."""
    options = ("--controllers=issuers,policies", OPTION)
    with (
        SignerProcess(bridged, "--controllers=csr", tenancy="enforce"),
        SignerProcess(bridged, *options, account=CONTROLLERS_ACCOUNT, tenancy="enforce") as controllers,
    ):
        yield controllers


@pytest.fixture
def crossing(bridged: LocalCluster, at_work: SignerProcess) -> Iterator[Crossing]:
    """Two tenants of their own with their CAs, and what a test asks of a bridge between them."""
    place = Place.of(bridged)
    tenants = Tenants(place, token=secrets.token_hex(3))
    found = Crossing(tenants, at_work)
    try:
        found.start()
        yield found
    finally:
        found.remove()
        place.forget()
        tenants.remove()
        place.api.close()


@pytest.fixture(scope="package")
def tenants(bridged: LocalCluster) -> Iterator[LocalCluster]:
    """Namespaces foo and bar, each with an admin of everything in it; the policies are in force."""
    for name in ("foo", "bar"):
        bridged.create_namespace(name)
        bridged.kubectl(
            "create", "rolebinding", "admin", "-n", name, "--clusterrole=cluster-admin", f"--user={name}-admin"
        )

    def in_force() -> bool:
        routes = "lacks the verb route" in refusal(bridged, "bar-admin", virtual_service(FOO))
        names = "lacks the verb credential" in refusal(bridged, "bar-admin", destination_rule(credential=CREDENTIAL))
        return routes and names and "bridges only" in refusal(bridged, CONTROLLERS, destination_rule())

    bridged.wait_for(in_force, "the policies of bridges", 60)
    yield bridged
    for name in ("foo", "bar"):
        bridged.delete_namespace(name)
