"""DNS-01 by the APIs of DNS products: small ones of the tests', whose records BIND has, with Pebble and the real API server.

Everything of ours is real: issuer, Secret, Challenge, the client over https, the look at the zone's servers, the taking away.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from signer.authorities.registry import Registry
from signer.edge.dns01.presenter import DnsPresenter
from signer.edge.proxies.reach import Reach
from signer.kube.client import ApiClient
from tests.fakes.dns_products import (
    ACCOUNT,
    PRODUCTS,
    SECRET,
    FakeAkamai,
    FakeAzure,
    FakeCloudDns,
    FakeCloudflare,
    FakeDigitalOcean,
    FakeRoute53,
    Product,
)
from tests.fakes.dns_products_served import Served
from tests.integration.edge.zones import HERE, ZONE, Servers, asked, issuer, names_of, tidied, told
from tests.integration.slow_controllers import Json, World, world
from tests.localmesh import Cluster
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.integration

_SOLVERS: dict[type[Product], Json] = {
    FakeCloudflare: {"cloudflare": {"apiTokenSecretRef": {"name": "dns", "key": "secret"}}},
    FakeDigitalOcean: {"digitalocean": {"tokenSecretRef": {"name": "dns", "key": "secret"}}},
    FakeRoute53: {
        "route53": {
            "accessKeyID": "AKIDEXAMPLE",
            "region": "eu-central-1",
            "secretAccessKeySecretRef": {"name": "dns", "key": "secret"},
        }
    },
    FakeCloudDns: {"cloudDNS": {"project": "p", "serviceAccountSecretRef": {"name": "dns", "key": "secret"}}},
    FakeAzure: {
        "azureDNS": {
            "clientID": "client",
            "tenantID": "tenant",
            "subscriptionID": "sub",
            "resourceGroupName": "group",
            "environment": "AzurePublicCloud",
            "clientSecretSecretRef": {"name": "dns", "key": "secret"},
        }
    },
    FakeAkamai: {
        "akamai": {
            "serviceConsumerDomain": FakeAkamai.host,
            "clientTokenSecretRef": {"name": "dns", "key": "client"},
            "clientSecretSecretRef": {"name": "dns", "key": "secret"},
            "accessTokenSecretRef": {"name": "dns", "key": "access"},
        }
    },
}


@pytest.fixture(params=PRODUCTS, ids=lambda one: one.__name__)
def served(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Served]:
    """A product whose records BIND serves."""

    class Published(request.param):  # type: ignore[misc,name-defined]  # whichever it is
        def answer(self, call: object) -> object:
            reply = super().answer(call)
            for name, listed in self.values.items():
                if servers.first.txt(name) != set(listed):
                    servers.first.remove(ZONE, name, "TXT")
                    for one in listed:
                        servers.first.add(ZONE, name, "TXT", f'"{one}"')
            return reply

    with Served(Published(zone=ZONE)) as started:
        yield started


@pytest.fixture
async def here(cluster: Cluster, namespace: str, servers: Servers, served: Served) -> AsyncIterator[World]:
    """The controllers, which find the product where it is in the tests."""
    reach = Reach(tenants=HERE.tenants, zones=HERE.zones, roots=served.roots, elsewhere=served.elsewhere)

    def presenting(client: ApiClient, registry: Registry) -> DnsPresenter:
        return servers.presenter(client, registry, namespace, reach)

    async with world(cluster, namespace, presenting=presenting) as found:
        yield found


async def test_wildcard_and_apex(here: World, served: Served, servers: Servers, zone_ca: Pebble) -> None:
    """A wildcard and its apex get one certificate by cert-manager's own fields; what others have under the name stays.

    A Secret that is missing, or that the product does not take, is told, without its value, and mended by itself.
    """
    made = next(one for one in _SOLVERS if isinstance(served.product, one))
    host = f"both.{here.namespace}.{ZONE}"
    record = f"_acme-challenge.{host}"
    if made is not FakeRoute53:  # there a plain record of the name and ours exclude each other
        served.product.values[record] = ["somebody-elses"]
        servers.first.add(ZONE, record, "TXT", '"somebody-elses"')
    await asked(here, await issuer(here, zone_ca, _SOLVERS[made]), host, f"*.{host}")
    assert "not found" in await told(here, "credentials, not found")
    wrong = "mistaken" if made is not FakeCloudDns else '{"client_email": "mistaken", "private_key": "mistaken"}'
    entries = {"client": "client", "access": "access"}
    await here.create("Secret", "dns", {"stringData": {**entries, "secret": wrong}})
    assert "mistaken" not in await told(here, "answers 401", "answers 403", "has no private key")
    right = ACCOUNT.decode() if made is FakeCloudDns else f"{SECRET}\n"
    await here.edit("Secret", "dns", {"stringData": {"secret": right}})
    assert await names_of(here) == [f"*.{host}", host]
    await tidied(here)
    assert servers.first.txt(record) == (set() if made is FakeRoute53 else {"somebody-elses"})
