"""DNS-01 by a webhook: cert-manager's own webhook library and solver behind the real API server, under the shipped rights."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from signer.authorities.registry import Registry
from signer.edge.dns01.presenter import DnsPresenter
from signer.kube.client import ApiClient
from tests.integration.edge.zones import OTHER, ZONE, Servers, asked, issuer, key, names_of, rfc2136, tidied, told
from tests.integration.slow_controllers import Json, World, world
from tests.localmesh import Cluster
from tests.localmesh.dnswebhook import SOLVER, DnsWebhook
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.integration

CONTROLLERS = ("cert-manager", "mesh-signer-controllers")


@pytest.fixture(scope="module")
def webhook(installed: Cluster) -> Iterator[DnsWebhook]:
    """One webhook for the module."""
    with DnsWebhook(installed) as started:
        yield started


@pytest.fixture
async def under_shipped_rights(installed: Cluster, namespace: str, servers: Servers) -> AsyncIterator[World]:
    """The controllers, under the ServiceAccount and the rights that the manifests give them."""

    def presenting(client: ApiClient, registry: Registry) -> DnsPresenter:
        return servers.presenter(client, registry, namespace)

    account = installed.service_account_kubeconfig(*CONTROLLERS)
    async with world(installed, namespace, account=account, presenting=presenting) as found:
        yield found


def solver(webhook: DnsWebhook, servers: Servers, name: str = SOLVER, **fields: object) -> Json:
    config = rfc2136(servers.first)["rfc2136"]
    return {"webhook": {"groupName": webhook.group, "solverName": name, "config": config}, **fields}


async def test_wildcard_and_apex(
    under_shipped_rights: World, servers: Servers, zone_ca: Pebble, webhook: DnsWebhook
) -> None:
    """A wildcard and its apex get one certificate by a webhook, under a delegated name; without the right to ask it, that is told.

    The webhook reads its Secret in the namespace that we name; what it says of a mistake in it is told, and mended by itself.
    Afterwards nothing is left under the name.
    """
    here = under_shipped_rights
    host, target = f"hook.{here.namespace}.{ZONE}", f"_hook.{here.namespace}.{OTHER}"
    servers.first.add(ZONE, f"_acme-challenge.{host}", "CNAME", f"{target}.")
    chosen = await issuer(here, zone_ca, solver(webhook, servers, cnameStrategy="Follow"))
    await asked(here, chosen, host, f"*.{host}")
    said = await told(here, "may not be asked")
    assert f"{SOLVER}.{webhook.group}" in said
    await asyncio.to_thread(webhook.grant, *CONTROLLERS)
    assert "failed: " in await told(here, "failed: ")
    await key(here, servers.first.secret)
    assert await names_of(here) == [f"*.{host}", host]
    await tidied(here)
    assert servers.first.txt(target) == set()


async def test_no_such_solver(
    under_shipped_rights: World, servers: Servers, zone_ca: Pebble, webhook: DnsWebhook
) -> None:
    """A group or a solver that nobody serves is told as what it is, and not asked for under another name."""
    here = under_shipped_rights
    chosen = await issuer(here, zone_ca, solver(webhook, servers, "another"))
    await asked(here, chosen, f"none.{here.namespace}.{ZONE}")
    # RBAC comes first: whether it is there is not for everybody.
    assert f"another.{webhook.group}" in await told(here, "may not be asked", "is not there")
