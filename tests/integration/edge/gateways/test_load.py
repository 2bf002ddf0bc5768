"""One tenant's largest objects and another tenant's certificate."""

import pytest

from signer.api.event import EVENTS
from signer.api.virtualservice import VIRTUAL_SERVICES
from tests.integration.edge.gateway_world import EdgeWorld, host, https

pytestmark = pytest.mark.integration


async def test_a_thousand_servers_for_every_host(here: EdgeWorld) -> None:
    """Servers for every host, times a route's thousands of hosts: it is told on the Gateway, and others have theirs as ever."""
    await here.pod(here.namespace)
    other = await here.other("other")
    await here.pod(other)
    hosts = [f"w{number}.ev.io" for number in range(13_000)]
    await here.make(VIRTUAL_SERVICES, "many", {"spec": {"gateways": ["shop", "few"], "hosts": hosts, "http": []}})
    await here.gateway(*(https("*", credential=f"c{number}") for number in range(1000)))
    await here.gateway(https(host(here, "theirs")), namespace=other)
    await here.served("shop-tls", host(here, "theirs"), namespace=other)

    async def told() -> bool:
        events = await here.client.list(EVENTS, here.namespace)
        return any("name fewer hosts" in event["message"] for event in events if event["reason"] == "TooManyHosts")

    await here.until("the Gateway's Event", told)
