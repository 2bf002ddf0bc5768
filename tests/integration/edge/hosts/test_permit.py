"""Who has the hosts is asked before an Order: on the real API server, with the claims that the controllers keep."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CertificateRequest
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.namespace import NAMESPACES
from signer.edge.host import Host
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.decide import Permitted
from signer.edge.hosts.permit import Permitting
from signer.kube.errors import Conflict
from signer.tenancy.verdict import Refuse
from tests.integration.edge.gateway_world import EdgeWorld, edge_world, https, install
from tests.integration.slow_controllers import Json
from tests.localmesh import Cluster
from tests.localmesh.install import install_crds
from tests.unit.edge.objects import LE

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    install_crds(cluster)
    install(cluster)


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[EdgeWorld]:
    async with edge_world(cluster, namespace) as found:
        yield found


@pytest.fixture
async def watching(here: EdgeWorld) -> AsyncIterator[tuple[Claims, asyncio.Task[None]]]:
    claims = Claims(here.client, clock=lambda: datetime.now(UTC))
    task = asyncio.create_task(claims.run())
    yield claims, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def asking(here: EdgeWorld, watching: tuple[Claims, asyncio.Task[None]]) -> Permitting:
    return Permitting(here.client, lambda: watching[0], {here.gateways})


def request(namespace: str, certificate: Json | None = None) -> CertificateRequest:
    """A request of a namespace, as a Certificate or somebody by hand makes it."""
    meta: Json = {"name": "r", "namespace": namespace, "uid": "u"}
    if certificate is not None:
        owner = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "controller": True}
        meta["ownerReferences"] = [{**owner, **{key: certificate["metadata"][key] for key in ("name", "uid")}}]
    spec = {"request": "", "issuerRef": {"name": "le", "kind": "ClusterIssuer"}}
    return msgspec.convert({"metadata": meta, "spec": spec}, CertificateRequest)


async def test_by_hand(here: EdgeWorld, asking: Permitting) -> None:
    """A host that nobody has is taken by whoever orders it, without a Gateway; then another namespace is refused."""
    host = Host(f"a.{here.namespace}.example.com")
    other = await here.other("other")
    assert isinstance(await asking.permit(request(here.namespace), [host], LE), Permitted)
    claim = await here.claim(str(host))
    assert claim is not None
    assert claim["spec"]["namespace"] == here.namespace
    verdict = await asking.permit(request(other), [host], LE)
    assert isinstance(verdict, Refuse)
    assert verdict.reasons[0].code == "HostTaken"


async def test_for_a_gateway_elsewhere(here: EdgeWorld, asking: Permitting) -> None:
    """The Certificate that we made beside the proxy asks for the Gateway's namespace; any other one there for its own."""
    name = f"a.{here.namespace}.example.com"
    await here.policy("ours", name, namespaces=[here.namespace])
    await here.gateway(https(name))
    await here.served("shop-tls", name, namespace=here.gateways)
    made = await here.find(CERTIFICATES, "shop-tls", here.gateways)
    assert isinstance(await asking.permit(request(here.gateways, made), [Host(name)], LE), Permitted)
    assert isinstance(await asking.permit(request(here.gateways), [Host(name)], LE), Refuse)


async def test_a_forged_label(here: EdgeWorld, asking: Permitting) -> None:
    """A tenant's Certificate that says it was made for another's Gateway gets nothing by it."""
    name = f"a.{here.namespace}.example.com"
    thief = await here.other("thief")
    assert isinstance(await asking.permit(request(here.namespace), [Host(name)], LE), Permitted)
    claim = await here.claim(name)
    assert claim is not None
    forged = await here.make(
        CERTIFICATES,
        "forged",
        {"spec": {"secretName": "forged", "dnsNames": [name], "issuerRef": {"name": "le"}}},
        thief,
        labels={"mesh-signer.dev/edge": "true", "mesh-signer.dev/source-namespace": here.namespace},
        annotations={"mesh-signer.dev/source-namespace-uid": claim["spec"]["namespaceUID"]},
    )
    assert isinstance(await asking.permit(request(thief, forged), [Host(name)], LE), Refuse)


async def test_a_namespace_made_again(here: EdgeWorld, asking: Permitting) -> None:
    """Which namespace an EdgePolicy names is written down before it has a host; a later one has none until an admin says so."""
    suffix, other = f"{here.namespace}.example.org", await here.other("other")
    await here.policy("named", suffix, namespaces=[other])
    name = (await here.client.get(NAMESPACES, other))["metadata"]["uid"]

    async def verdict(host: str) -> object:
        return await asking.permit(request(other), [Host(f"{host}.{suffix}")], LE)

    async def policy() -> Json:
        found = [one for one in await here.client.list(EDGE_POLICIES) if one["spec"]["hostSuffixes"] == [suffix]]
        return found[0]

    async def permitted() -> bool:  # by the policy, as soon as the watch has told of it
        return isinstance(await verdict("a"), Permitted) and "status" in await policy()

    await here.until("the host", permitted)
    stored = await policy()
    assert stored["status"]["namespaceUIDs"] == {other: name}
    earlier = {"status": {"namespaceUIDs": {other: "an-earlier-one"}}}
    await here.client.patch(EDGE_POLICIES, stored["metadata"]["name"], earlier, subresource="status")

    async def refused() -> bool:
        found = await verdict("b")
        return isinstance(found, Refuse) and "remade: Allow" in found.message

    await here.until("a refusal", refused)
    allowed = {"spec": {"namespaces": {"names": [other], "remade": "Allow"}}}
    await here.client.patch(EDGE_POLICIES, stored["metadata"]["name"], allowed)
    await here.until("the host again", permitted)


async def test_a_policy_that_no_watch_has_told_of(
    here: EdgeWorld, asking: Permitting, watching: tuple[Claims, asyncio.Task[None]]
) -> None:
    """A host is taken for good, so EdgePolicies are read anew before: one that the watch has not told of keeps its hosts."""
    claims, task = watching
    await claims.synced()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    other = await here.other("other")
    kept, free = f"a.kept.{here.namespace}.example.com", f"a.{here.namespace}.example.com"
    await here.policy("late", f"kept.{here.namespace}.example.com", namespaces=[other])
    assert not claims.policies.keys() & {f"{here.namespace}-late"}
    verdict = await asking.permit(request(here.namespace), [Host(kept)], LE)
    assert isinstance(verdict, Refuse)
    assert verdict.reasons[0].code == "HostNotGranted"
    who = claims.asker(here.namespace)
    assert who is not None
    assert isinstance((await claims.acquire([Host(kept)], who, LE))[Host(kept)], Refuse)
    assert await here.claim(kept) is None
    assert isinstance(await asking.permit(request(here.namespace), [Host(free)], LE), Permitted)


async def test_another_namespace_by_now(here: EdgeWorld, watching: tuple[Claims, asyncio.Task[None]]) -> None:
    """A namespace that is not the one that the watch knew takes nothing: it is looked at again."""
    claims, task = watching
    await claims.synced()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    who = claims.asker(here.namespace)
    assert who is not None
    for stale in (replace(who, uid="an-earlier-one"), replace(who, labels={"mesh-signer.dev/team": "a"})):
        with pytest.raises(Conflict):
            await claims.acquire([Host(f"a.{here.namespace}.example.com")], stale, LE)
    assert await here.claim(f"a.{here.namespace}.example.com") is None
