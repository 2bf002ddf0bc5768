"""DNS-01 by acme-dns: its values in BIND, which Pebble asks, and the real API server. The acme-dns server itself is a small one of the tests'."""

import dataclasses
from collections.abc import Iterator

import msgspec
import pytest

from signer.api.challenge import CHALLENGES, Challenge
from signer.authorities.registry import Registry
from signer.edge.dns01.presenter import DnsPresenter
from signer.edge.proxies.reach import Reach
from signer.kube.client import ApiClient
from tests.fakes.acme_dns import AcmeDns
from tests.integration.edge.zones import HERE, OTHER, ZONE, Servers, asked, issuer, names_of, tidied, told
from tests.integration.slow_controllers import Json, World, world
from tests.localmesh import Cluster
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.integration


@pytest.fixture
def server(servers: Servers, namespace: str) -> Iterator[AcmeDns]:
    """An acme-dns server with an account whose name is in OTHER."""
    name = f"{namespace}.{OTHER}"

    def publish(values: list[str]) -> None:
        servers.first.remove(OTHER, name, "TXT")
        for value in values:
            servers.first.add(OTHER, name, "TXT", f'"{value}"')

    with AcmeDns(name, publish) as started:
        yield started


def presenter(servers: Servers, server: AcmeDns, client: ApiClient, registry: Registry, namespace: str) -> DnsPresenter:
    """One that trusts this server."""
    return servers.presenter(client, registry, namespace, dataclasses.replace(HERE, roots=server.roots))


def solver(server: AcmeDns, **fields: object) -> Json:
    return {"acmeDNS": {"host": server.url, "accountSecretRef": {"name": "accounts", "key": "acmedns.json"}, **fields}}


async def accounts(here: World, text: str) -> None:
    await here.create("Secret", "accounts", {"stringData": {"acmedns.json": text}})


async def test_wildcard_and_apex(
    cluster: Cluster, namespace: str, servers: Servers, zone_ca: Pebble, server: AcmeDns
) -> None:
    """A wildcard and its apex get one certificate by one account, each value sent once; what hinders is told before, and waited for."""
    async with world(
        cluster, namespace, presenting=lambda client, registry: presenter(servers, server, client, registry, namespace)
    ) as here:
        host = f"both.{namespace}.{ZONE}"
        await asked(here, await issuer(here, zone_ca, solver(server)), host, f"*.{host}")
        await told(here, "the acme-dns account, not found")
        await accounts(here, server.accounts("another.example"))
        await told(here, f"has no account for {host}")
        await here.edit("Secret", "accounts", {"stringData": {"acmedns.json": server.accounts(host)}})
        said = await told(here, "by a CNAME")
        assert f"_acme-challenge.{host} has no CNAME: lead it to {server.account['fulldomain']}" in said
        server.status = 500
        servers.first.add(ZONE, f"_acme-challenge.{host}", "CNAME", f"{server.account['fulldomain']}.")
        said = await told(here, "answers 500")
        assert str(server.account["password"]) not in said
        assert "a text of the server's" not in said
        server.status = 200
        assert await names_of(here) == [f"*.{host}", host]
        await tidied(here)
        assert len(server.updates) == len(set(server.updates)) == 2


async def test_a_wrong_password(
    cluster: Cluster, namespace: str, servers: Servers, zone_ca: Pebble, server: AcmeDns
) -> None:
    """An account that the server does not take is told, without its password."""
    async with world(
        cluster, namespace, presenting=lambda client, registry: presenter(servers, server, client, registry, namespace)
    ) as here:
        host = f"wrong.{namespace}.{ZONE}"
        servers.first.add(ZONE, f"_acme-challenge.{host}", "CNAME", f"{server.account['fulldomain']}.")
        await accounts(here, server.accounts(host).replace(str(server.account["password"]), "mistaken"))
        await asked(here, await issuer(here, zone_ca, solver(server)), host)
        assert "mistaken" not in await told(here, "answers 401: it does not take the account's username and password")


async def test_what_a_tenant_may_not_reach(zoned: World, servers: Servers, server: AcmeDns) -> None:
    """An Issuer's acme-dns server gets no byte on this machine, nor of the cluster's network; a ClusterIssuer's may stand anywhere."""
    registry = Registry(zoned.client, cluster_resource_namespace=zoned.namespace, clock=zoned.now)
    reach = Reach(tenants=Reach().tenants, zones=HERE.zones, roots=server.roots)
    one = servers.presenter(zoned.client, registry, zoned.namespace, reach)
    host = f"tenant.{zoned.namespace}.{ZONE}"
    servers.first.add(ZONE, f"_acme-challenge.{host}", "CNAME", f"{server.account['fulldomain']}.")
    await accounts(zoned, server.accounts(host))
    for number, kind in enumerate(("Issuer", "ClusterIssuer")):
        raw = {"type": "DNS-01", "dnsName": host, "key": "x" * 43, "issuerRef": {"name": "own", "kind": kind}}
        raw |= {"url": "https://ca.test/1", "authorizationURL": "https://ca.test/2", "token": "t" * 43}
        raw |= {"solver": {"dns01": solver(server)}}
        meta = {"name": f"challenge-{number}", "namespace": zoned.namespace}
        made = await zoned.client.create(CHALLENGES, {"metadata": meta, "spec": raw})
        reason = await one.present(msgspec.convert(made, Challenge))
        if kind == "Issuer":
            assert reason is not None
            assert "a loopback address" in reason.message
            assert server.updates == []
        else:
            assert reason is None
            assert server.updates == ["x" * 43]
            # Once more, as after a restart: the other value that the server keeps must not be pushed out.
            assert await one.present(msgspec.convert(made, Challenge)) is None
            assert server.updates == ["x" * 43]
