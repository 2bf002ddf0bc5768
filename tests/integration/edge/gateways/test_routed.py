"""Routes of other namespaces on a Gateway's "*": followed as they come and go, on the real API server."""

import pytest

from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.gateway import API_GATEWAYS
from signer.api.httproute import HTTP_ROUTES
from signer.api.namespace import NAMESPACES
from signer.api.virtualservice import VIRTUAL_SERVICES
from tests.integration.edge.gateway_world import EdgeWorld, host, https

pytestmark = pytest.mark.integration
SECRET = "shop-tls"


async def test_http_routes_come_and_go(here: EdgeWorld) -> None:
    """A listener of the Gateway API without a hostname has the hosts of its own namespace's HTTPRoutes, and of others' by a policy."""
    a, b = host(here, "a"), host(here, "b")
    apps = await here.other("apps")
    listener = {
        "name": "tls",
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": SECRET}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    notes = {"cert-manager.io/cluster-issuer": here.issuer_name}
    spec = {"gatewayClassName": "istio", "listeners": [listener]}
    await here.make(API_GATEWAYS, "star", {"spec": spec}, annotations=notes)
    assert "routesFrom" in await here.told("NoHost", "star")

    async def route(name: str, where: str) -> None:
        parent = {"name": "star", "namespace": here.namespace}
        await here.make(HTTP_ROUTES, "r", {"spec": {"hostnames": [name], "parentRefs": [parent]}}, where)

    await route(a, here.namespace)
    await here.served(SECRET, a)
    await route(b, apps)
    suffix = f"{here.namespace}.example.com"
    await here.policy("p", suffix, namespaces=[here.namespace], routesFrom={"names": [apps]})
    await here.served(SECRET, a, b)
    await here.client.delete(HTTP_ROUTES, "r", here.namespace)
    await here.served(SECRET, b)


async def test_routes_come_and_go(here: EdgeWorld) -> None:
    """What a route of another namespace names is in the certificate while an EdgePolicy lets it in, and no longer."""
    a, b = host(here, "a"), host(here, "b")
    apps = await here.other("apps")
    await here.pod(here.namespace)
    await here.gateway(https("*"), name="star")
    assert "routesFrom" in await here.told("NoHost", "star")

    async def route(name: str, *hosts: str) -> None:
        spec = {
            "hosts": list(hosts),
            "gateways": [f"{here.namespace}/star"],
            "http": [{"directResponse": {"status": 200}}],
        }
        await here.make(VIRTUAL_SERVICES, name, {"spec": spec}, apps)

    await route("a", a, "x.example.org")
    labels = {"matchLabels": {"mesh-signer.dev/tenant": apps}}
    policy = await here.policy("p", f"{here.namespace}.example.com", namespaces=[here.namespace], routesFrom=labels)
    await here.client.patch(NAMESPACES, apps, {"metadata": {"labels": labels["matchLabels"]}})
    await here.served(SECRET, a)
    await route("b", b)
    await here.served(SECRET, a, b)
    await here.client.delete(VIRTUAL_SERVICES, "a", apps)
    await here.served(SECRET, b)
    assert await here.claim("x.example.org") is None
    await here.client.patch(EDGE_POLICIES, policy, {"spec": {"routesFrom": {"matchLabels": None, "names": [apps]}}})
    await route("c", a)
    await here.served(SECRET, a, b)
