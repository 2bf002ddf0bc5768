"""The self check on the real API server: at the gateway's Pods, and then wherever the host's name leads.

The gateway and what else has an address are small HTTP servers on loopback; the Services that lead to them are real objects.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any, cast

import pytest

from issuers.acme.targets import AddressRule
from signer.api.gateway import GATEWAYS
from signer.api.namespace import NAMESPACES
from signer.api.pod import PODS
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.challenges.presenter import Cause, Found
from signer.edge.http01.presenter import GatewayPresenter
from signer.edge.http01.routes import CHALLENGE_PATH
from signer.edge.proxies.pods import SERVICES
from signer.edge.proxies.reach import Reach
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.resource import Resource
from tests.integration.edge.gateway_world import INGRESS_LABELS, install
from tests.localmesh import Cluster
from tests.unit.edge.http01.test_routes import KEY, TOKEN
from tests.unit.edge.issuance import challenge
from tests.unit.edge.objects import http, https

pytestmark = pytest.mark.integration

Json = dict[str, Any]
HOST, WWW = "a.example.com", "www.example.com"
POD, OWN, OLD, CDN = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
RIGHT = f"HTTP/1.1 200 OK\r\nContent-Length: {len(KEY)}\r\n\r\n{KEY}"
ANOTHER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
NOT_FOUND = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
TO_WWW = f"HTTP/1.1 301 Moved\r\nLocation: http://{WWW}{CHALLENGE_PATH}{TOKEN}\r\nContent-Length: 0\r\n\r\n"
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
HERE = Reach(*[AddressRule(allowed=(ip_network("127.0.0.0/8"),))] * 2)


@dataclass
class Place:
    """A gateway's namespace, in which its Pod and its Service are; all servers listen at `port` of their address."""

    client: ApiClient
    namespace: str
    port: int
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reach: Reach = HERE
    asked: list[str] = field(default_factory=list)

    async def resolve(self, name: str) -> tuple[str, ...]:
        """A DNS of the test's own."""
        return self.names.get(name, ())

    async def gateway(self, *servers: Json, **annotations: str) -> None:
        """A Gateway beside its Pods."""
        notes = {f"mesh-signer.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
        meta = {"name": "shop", "namespace": self.namespace, "annotations": notes}
        await self.client.create(
            GATEWAYS, {"metadata": meta, "spec": {"selector": INGRESS_LABELS, "servers": [*servers]}}
        )

    async def service(self, *ports: tuple[int, int], **status: Any) -> None:
        """A Service in front of the Pods."""
        listed = [{"name": f"p{port}", "port": port, "targetPort": target} for port, target in ports]
        spec = {"type": "LoadBalancer", "selector": INGRESS_LABELS, "ports": listed}
        await self.client.create(SERVICES, {"metadata": {"name": "gateway", "namespace": self.namespace}, "spec": spec})
        balancer = {"status": {"loadBalancer": {"ingress": [status]}}}
        if status:
            await self.client.patch(SERVICES, "gateway", balancer, namespace=self.namespace, subresource="status")

    async def check(self, **self_check: Any) -> Found:
        """Present a challenge, and look once."""
        solver = {"http01": {"ingress": {"class": "istio"}, **({"selfCheck": self_check} if self_check else {})}}
        one = challenge(namespace=self.namespace, spec={"solver": solver}, status={"processing": True})
        presenter = GatewayPresenter(
            self.client,
            gateway_namespaces=[self.namespace],
            resolve=self.resolve,
            reach=self.reach,
            ports={80: self.port},
        )
        assert await presenter.present(one) is None
        try:
            return await presenter.check(one)
        finally:
            await presenter.clean_up(one)

    @contextlib.asynccontextmanager
    async def serving(self, answers: Mapping[str, str]) -> AsyncIterator[None]:
        """Answer at these addresses until the block ends."""

        async def serve(address: str, answer: str) -> asyncio.Server:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    head = await reader.readuntil(b"\r\n\r\n")
                    host = head.split(b"Host: ")[1].split(b"\r\n")[0].decode()
                    self.asked.append(f"{address} {host}")
                    writer.write(answer.encode())
                    await writer.drain()
                writer.close()

            return await asyncio.start_server(handle, address, self.port)

        async with contextlib.AsyncExitStack() as started:
            for address, answer in answers.items():
                server = await serve(address, answer)
                await started.enter_async_context(server)
            yield


@pytest.fixture
async def place(cluster: Cluster, namespace: str) -> AsyncIterator[Place]:
    install(cluster)
    async with ApiClient(load_config(str(cluster.kubeconfig()))) as client:
        async with await asyncio.start_server(lambda _r, _w: None, POD, 0) as free:
            port = free.sockets[0].getsockname()[1]
        found = Place(client, f"{namespace}-gateways", port)
        await client.create(NAMESPACES, {"metadata": {"name": found.namespace}})
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "none", "namespace": found.namespace}})
        spec = {
            "containers": [{"name": "istio-proxy", "image": "none"}],
            "serviceAccountName": "none",
            "automountServiceAccountToken": False,
        }
        meta = {"name": "gateway", "namespace": found.namespace, "labels": INGRESS_LABELS}
        await client.create(PODS, {"metadata": meta, "spec": spec})
        status = {"status": {"phase": "Running", "podIP": POD, "podIPs": [{"ip": POD}]}}
        await client.patch(PODS, "gateway", status, namespace=found.namespace, subresource="status")
        yield found
        await client.delete(NAMESPACES, found.namespace)


ELSEWHERE: list[tuple[str, dict[str, str], tuple[str, ...], Cause, tuple[str, ...]]] = [
    ("the gateway's own address", {OWN: RIGHT}, (OWN,), Cause.PASSED, ()),
    ("its own, which cannot be reached from inside", {}, (OWN,), Cause.PASSED, ()),
    ("a CDN that passes it on", {CDN: RIGHT}, (CDN,), Cause.PASSED, ()),
    ("a CDN, and the gateway", {CDN: RIGHT, OWN: RIGHT}, (CDN, OWN), Cause.PASSED, ()),
    ("still the old server", {OLD: NOT_FOUND}, (OLD,), Cause.WRONG_ADDRESS, (OLD, OWN, "status 404")),
    ("the old server's page", {OLD: ANOTHER}, (OLD,), Cause.WRONG_ADDRESS, (OLD, "another answer")),
    ("an old server that is gone", {}, (OLD,), Cause.WRONG_ADDRESS, (OLD, "refused", "selfCheck")),
    ("one address of two", {CDN: RIGHT, OLD: NOT_FOUND}, (CDN, OLD), Cause.WRONG_ADDRESS, (OLD,)),
    ("one address of two is gone", {CDN: RIGHT}, (CDN, OLD), Cause.WRONG_ADDRESS, (OLD, "refused")),
    ("an IPv6 address with nobody there", {OWN: RIGHT}, (OWN, "::1"), Cause.WRONG_ADDRESS, ("::1", "is not asked")),
    ("its own load balancer answers for another", {OWN: NOT_FOUND}, (OWN,), Cause.WRONG_ANSWER, (OWN, "status 404")),
    ("a redirect to a host that has it", {OLD: TO_WWW, CDN: RIGHT}, (OLD,), Cause.PASSED, ()),
    ("a redirect to a host that has it not", {OLD: TO_WWW, CDN: NOT_FOUND}, (OLD,), Cause.WRONG_ADDRESS, ("404",)),
    ("no record", {}, (), Cause.NOT_RESOLVED, ("no such host",)),
]


@pytest.mark.parametrize(
    ("answers", "addresses", "cause", "words"), [row[1:] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE]
)
async def test_where_the_name_leads(
    place: Place, answers: dict[str, str], addresses: tuple[str, ...], cause: Cause, words: tuple[str, ...]
) -> None:
    """The CA is told only if it will find the answer at whatever the name leads to; what is in the way is named."""
    await place.gateway(http(HOST), https(HOST))
    await place.service((80, place.port), ip=OWN)
    place.names = {HOST: addresses, WWW: (CDN,)}
    async with place.serving({POD: RIGHT, **answers}):
        found = await place.check()
    assert found.cause is cause, found.message
    for word in words:
        assert word in found.message


async def test_the_name_of_a_load_balancer(place: Place) -> None:
    """Where the load balancer has a name and no address, its addresses are the gateway's own all the same."""
    await place.gateway(http(HOST), https(HOST))
    await place.service((80, place.port), hostname="lb.example.net")
    place.names = {HOST: (OLD,)}
    async with place.serving({POD: RIGHT}):
        assert (await place.check()).cause is Cause.WRONG_ADDRESS
        place.names["lb.example.net"] = (OLD,)
        assert (await place.check()).passed


async def test_the_solvers_word(place: Place) -> None:
    """Where the public address cannot be reached from inside, the issuer says what to look at instead, or to look no further."""
    await place.gateway(http(HOST), https(HOST))
    await place.service((80, place.port), ip=OWN)
    place.names = {HOST: (OLD,)}
    async with place.serving({POD: RIGHT, CDN: RIGHT}):
        assert not (await place.check()).passed
        assert (await place.check(addresses=[CDN])).passed
        assert place.asked[-1] == f"{CDN} {HOST}"
        assert (await place.check(mode="Gateway")).passed
        found = await place.check(addresses=["127.0.0.9"])
        assert "127.0.0.9" in found.message
    assert (await place.check(mode="None")).passed
    assert not (await place.check(mode="Gateway")).passed


async def test_a_tenants_name(place: Place) -> None:
    """What a tenant's name leads to inside is not asked, though it would have the answer."""
    await place.gateway(http(HOST), https(HOST))
    await place.service((80, place.port), ip=OWN)
    place.names, place.reach = {HOST: (CDN,)}, Reach()
    async with place.serving({POD: RIGHT, CDN: RIGHT}):
        found = await place.check()
    assert "a loopback address is not asked" in found.message
    assert not any(one.startswith(CDN) for one in place.asked)


@pytest.mark.parametrize("word", [False, True], ids=["by the Service", "by the owner's word"])
async def test_a_gateway_that_names_the_containers_ports(place: Place, word: bool) -> None:
    """Servers on the container's ports are those of 80 and 443, as the Service says, or the owner where it does not."""
    servers = [https(HOST, port=place.port + 1), http(HOST, port=place.port)]
    if word:
        await place.gateway(*servers, public_ports=f"80:{place.port}")
        await place.service((8080, place.port))
    else:
        await place.gateway(*servers)
        await place.service((80, place.port), (443, place.port + 1))
    place.names = {HOST: (CDN,)}
    made: list[Json] = []

    async def note(*arguments: Any, **options: Any) -> Any:
        if arguments[0] is GATEWAYS or arguments[0] is VIRTUAL_SERVICES:
            made.append(arguments[1])
        return await place.client.create(*arguments, **options)

    noting = replace(place, client=cast("ApiClient", _Noting(place.client, note)))
    async with place.serving({POD: RIGHT, CDN: RIGHT}):
        assert (await noting.check()).passed
    assert [one["kind"] for one in made] == ["VirtualService"]
    assert made[0]["spec"]["gateways"] == [f"{place.namespace}/shop"]


class _Noting:
    """A client whose creations are noted."""

    def __init__(self, client: ApiClient, create: Any) -> None:
        self._client = client
        self.create = create

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
