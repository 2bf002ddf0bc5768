"""Nobody has a record written that proves another's host, wherever the CNAMEs of his own zone lead."""

import pytest

from signer.api.challenge import Challenge
from signer.api.edgepolicy import EDGE_POLICIES
from signer.authorities.registry import Registry
from signer.edge.dns01.presenter import DnsPresenter
from signer.edge.dns01.record import DNS_ENDPOINTS
from signer.kube.client import ApiClient
from signer.tenancy.verdict import Reason
from tests.integration.edge.zones import OTHER, ZONE, Servers, asked, key, names_of, rfc2136, told
from tests.integration.external_dns import ENDPOINT_CRD
from tests.integration.pebbles import spec
from tests.integration.slow_controllers import World, world
from tests.localmesh import Cluster
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.integration


async def test_names_of_others(cluster: Cluster, namespace: str, servers: Servers, zone_ca: Pebble) -> None:
    """A host that an EdgePolicy gives to somebody else is not proven by a CNAME of one's own: by no issuer's credentials.

    Nor is a name written below another's that has its addresses from a wildcard, which it would lose.
    With an Issuer of one's own the CA that it names chose the value, which may be another CA's token for that host.
    """
    cluster.apply(ENDPOINT_CRD)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/dnsendpoints.externaldns.k8s.io")
    made = list[World]()

    class Rules:
        """Those of the controllers that run."""

        async def may_write(self, challenge: Challenge, name: str) -> Reason | None:
            """As they say."""
            assert made[0].permitting is not None
            return await made[0].permitting.may_write(challenge, name)

        async def holds(self, challenge: Challenge, name: str) -> bool:
            """As they say."""
            assert made[0].permitting is not None
            return await made[0].permitting.holds(challenge, name)

    def presenting(client: ApiClient, registry: Registry) -> DnsPresenter:
        return servers.presenter(client, registry, namespace, rules=Rules())

    bank, evil = f"bank.{namespace}.{ZONE}", f"evil.{namespace}.{OTHER}"
    record = f"_acme-challenge.{bank}"
    servers.first.add(OTHER, f"_acme-challenge.{evil}", "CNAME", f"{record}.")
    async with world(cluster, namespace, presenting=presenting, hosts=True) as here:
        made.append(here)
        policy = {"hostSuffixes": [bank], "namespaces": {"names": ["bank"]}}
        await here.client.create(EDGE_POLICIES, {"metadata": {"name": namespace}, "spec": policy})
        try:
            await key(here, servers.first.secret)
            follows = {"cnameStrategy": "Follow", **rfc2136(servers.first)}
            named = await here.issuer("acme", spec(zone_ca, solvers=[{"dns01": follows}]))
            await asked(here, named, evil)
            assert f"no record is written under '{record}'" in await told(here, "no record is written")
            assert servers.first.txt(record) == set()
            assert await here.client.list(DNS_ENDPOINTS, namespace) == []
            await here.client.patch(EDGE_POLICIES, namespace, {"spec": {"namespaces": {"names": [namespace]}}})
            assert await names_of(here) == [evil]
            shop = f"shop.apps.{namespace}.{ZONE}"
            servers.first.add(ZONE, f"*.apps.{namespace}.{ZONE}", "A", "192.0.2.1")
            await here.certificate(
                "below",
                "",
                commonName=None,
                dnsNames=[f"x.{shop}"],
                secretName="below",
                issuerRef={"name": named, "kind": "ClusterIssuer"},
            )
            assert f"would take from {shop}" in await told(here, "would take")
            assert servers.first.txt(f"_acme-challenge.x.{shop}") == set()
            await here.client.patch(EDGE_POLICIES, namespace, {"spec": {"hostSuffixes": [bank, shop]}})
            await here.ready("Certificate", "below")
        finally:
            await here.client.delete(EDGE_POLICIES, namespace)
