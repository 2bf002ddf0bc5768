"""What the presenter writes on the real API server, above all mode C: a user's redirect is taken and always given back.

No gateway runs here; tests/e2e/test_http01.py has one. A death of the process is a client that ends at a request.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from signer.api.gateway import GATEWAYS
from signer.api.namespace import NAMESPACES
from signer.api.pod import PODS
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.presenter import GatewayPresenter
from signer.edge.http01.redirect import TAKEN
from signer.edge.http01.redirect_writer import FIELD_MANAGER
from signer.edge.http01.routes import CHALLENGE_UID
from signer.edge.proxies.resolve import no_resolver
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.resource import Resource
from tests.integration.edge.gateway_world import INGRESS_LABELS, install
from tests.localmesh import Cluster
from tests.unit.edge.issuance import challenge
from tests.unit.edge.objects import http, https

pytestmark = pytest.mark.integration

Json = dict[str, Any]
HOST, OTHER = "a.example.com", "b.example.com"
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
SPEC: Json = {
    "selector": INGRESS_LABELS,
    "servers": [https(HOST, OTHER, mode="MUTUAL"), http(HOST, OTHER, redirect=True)],
}


class Killed(BaseException):
    """The process is no more."""


class Mortal:
    """A client whose process ends after so many requests; the last one has reached the API server if `heard`."""

    def __init__(self, client: ApiClient, requests: int, *, heard: bool) -> None:
        self._client, self._left, self._heard = client, requests, heard

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._heard:
                raise Killed
            answer = await getattr(self._client, name)(*arguments, **options)
            if self._left < 0:
                raise Killed
            return answer

        return call


class Place:
    """A tenant's Gateway whose proxies run in an administrators' namespace, where the Challenge is."""

    def __init__(self, client: ApiClient, namespace: str, cluster: Cluster) -> None:
        self.client, self.namespace, self.cluster = client, namespace, cluster
        self.gateways = f"{namespace}-gateways"
        self.challenge = challenge(namespace=self.gateways, status={"processing": True})

    def presenter(self, client: Any = None) -> GatewayPresenter:
        """As after a start: it knows nothing."""
        return GatewayPresenter(client or self.client, gateway_namespaces=[self.gateways], resolve=no_resolver)

    async def gateway(self) -> Json:
        return await self.client.get(GATEWAYS, "shop", self.namespace)

    async def routes(self) -> list[Json]:
        listed = await self.client.list(VIRTUAL_SERVICES, self.namespace)
        return [one for one in listed if one["metadata"]["labels"][CHALLENGE_UID] == self.challenge.metadata.uid]

    def apply(self, spec: Json, *options: str) -> None:
        """As the Gateway's owner applies a manifest."""
        metadata = {"name": "shop", "namespace": self.namespace, "annotations": {ALLOW_REDIRECT_CHANGE: "true"}}
        one = {"apiVersion": GATEWAYS.api_version, "kind": "Gateway", "metadata": metadata, "spec": spec}
        self.cluster.kubectl("apply", *options, "-f", "-", input=json.dumps(one))

    async def redirecting(self) -> set[str]:
        servers = (await self.gateway())["spec"]["servers"]
        return {name for one in servers if one.get("tls", {}).get("httpsRedirect") for name in one["hosts"]}


@pytest.fixture
async def place(cluster: Cluster, namespace: str) -> AsyncIterator[Place]:
    install(cluster)
    async with ApiClient(load_config(str(cluster.kubeconfig()))) as client:
        found = Place(client, namespace, cluster)
        await client.create(NAMESPACES, {"metadata": {"name": found.gateways}})
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "none", "namespace": found.gateways}})
        spec = {
            "containers": [{"name": "istio-proxy", "image": "none"}],
            "serviceAccountName": "none",
            "automountServiceAccountToken": False,
        }
        metadata = {"name": "gateway", "namespace": found.gateways, "labels": INGRESS_LABELS}
        await client.create(PODS, {"metadata": metadata, "spec": spec})
        # Nobody listens at that port there: what is looked at here is what is written.
        status = {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
        await client.patch(PODS, "gateway", status, namespace=found.gateways, subresource="status")
        found.apply(SPEC)
        yield found
        await client.delete(GATEWAYS, "shop", namespace)
        await client.delete(NAMESPACES, found.gateways)


async def test_taken_and_given_back(place: Place) -> None:
    """While the challenge lasts the host's redirect is a route's, the other host keeps its own; then all is as it was."""
    before = await place.gateway()
    presenter = place.presenter()
    assert await presenter.present(place.challenge) is None
    assert await place.redirecting() == {OTHER}
    (route,) = await place.routes()
    assert [("redirect" in rule, "directResponse" in rule) for rule in route["spec"]["http"]] == [
        (False, True),
        (True, False),
    ]
    await presenter.clean_up(place.challenge)
    after = await place.gateway()
    assert (after["spec"], after["metadata"]["annotations"]) == (before["spec"], before["metadata"]["annotations"])
    assert await place.routes() == []


@pytest.mark.parametrize("heard", [False, True], ids=["before", "after"])
async def test_killed_at_each_request(place: Place, heard: bool) -> None:
    """Wherever the process dies, the next one finishes: never is a redirect off without the route in its place."""
    before = await place.gateway()

    async def until_it_lives(step: Callable[[GatewayPresenter], Awaitable[object]]) -> int:
        for requests in range(40):
            try:
                await step(place.presenter(Mortal(place.client, requests, heard=heard)))
            except Killed:
                if HOST not in await place.redirecting():
                    assert await place.routes()
            else:
                return requests
        raise AssertionError("it never came to its end")

    async def killed_while_presenting(requests: int) -> bool:
        with contextlib.suppress(Killed):
            await place.presenter(Mortal(place.client, requests, heard=heard)).present(place.challenge)
            return False
        await place.presenter().clean_up(place.challenge)
        after = await place.gateway()
        assert (after["spec"], after["metadata"]["annotations"]) == (before["spec"], before["metadata"]["annotations"])
        assert await place.routes() == []
        return True

    for requests in range(40):
        if not await killed_while_presenting(requests):
            break
    assert requests > 5
    assert await until_it_lives(lambda one: one.present(place.challenge)) > 0
    assert await place.redirecting() == {OTHER}
    assert await until_it_lives(lambda one: one.clean_up(place.challenge)) > 0
    after = await place.gateway()
    assert (after["spec"], after["metadata"]["annotations"]) == (before["spec"], before["metadata"]["annotations"])
    assert await place.routes() == []


class Meddling:
    """A client before whose first writes to a Gateway its owner edits it."""

    def __init__(self, client: ApiClient, edits: list[Callable[[], None]]) -> None:
        self._client, self._edits = client, edits

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name != "patch":
            return found

        async def patch(resource: Resource, *arguments: Any, **options: Any) -> Any:
            if resource == GATEWAYS and self._edits:
                self._edits.pop(0)()
            return await found(resource, *arguments, **options)

        return patch


async def test_edited_at_the_same_time(place: Place) -> None:
    """Two edits of the owner between our reads and writes are both there afterwards, and so is the redirect."""
    first, second = https("new.example.com", credential="new"), http("d.example.com", port=8080)
    specs = [{**SPEC, "servers": [*SPEC["servers"], *more]} for more in ((first,), (first, second))]
    client = Meddling(place.client, [lambda spec=spec: place.apply(spec) for spec in specs])  # type: ignore[misc] # bound now
    presenter = place.presenter(client)
    assert await presenter.present(place.challenge) is None
    assert await place.redirecting() == {OTHER}
    await presenter.clean_up(place.challenge)
    assert (await place.gateway())["spec"] == specs[1]


async def test_edited_meanwhile(place: Place) -> None:
    """Who applies the Gateway while its redirect is taken keeps what he wrote; the challenge takes the redirect again."""
    presenter = place.presenter()
    assert await presenter.present(place.challenge) is None
    spec = {**SPEC, "servers": [*SPEC["servers"], https("new.example.com", credential="new")]}
    place.apply(spec)
    assert await place.redirecting() == {HOST, OTHER}
    await place.presenter().check(place.challenge)
    assert await place.redirecting() == {OTHER}
    await presenter.clean_up(place.challenge)
    assert (await place.gateway())["spec"] == spec


async def test_consent_is_withdrawn(place: Place) -> None:
    """Without the annotation the redirect comes back at once, and the Challenge says what to change."""
    presenter = place.presenter()
    assert await presenter.present(place.challenge) is None
    place.cluster.kubectl(
        "annotate", "gateways.networking.istio.io", "shop", "-n", place.namespace, f"{ALLOW_REDIRECT_CHANGE}-"
    )
    reason = await place.presenter().present(place.challenge)
    assert reason is not None
    assert (reason.code, ALLOW_REDIRECT_CHANGE in reason.message) == ("MutualTLS", True)
    assert (await place.gateway())["spec"] == SPEC
    await presenter.clean_up(place.challenge)
    assert await place.routes() == []


async def test_the_challenge_is_gone(place: Place) -> None:
    """What a Challenge left whose finalizer somebody took away is tidied at the next start; what is alive stays."""
    presenter = place.presenter()
    assert await presenter.present(place.challenge) is None
    await place.presenter().tidy(frozenset({place.challenge.metadata.uid}))
    assert await place.redirecting() == {OTHER}
    await place.presenter().tidy(frozenset())
    assert (await place.gateway())["spec"] == SPEC
    assert await place.routes() == []


async def test_server_side_apply(place: Place) -> None:
    """Afterwards its owner's server-side apply is not a conflict with us: we own no field of his Gateway."""
    place.apply(SPEC, "--server-side", "--force-conflicts", "--field-manager=owner")
    presenter = place.presenter()
    assert await presenter.present(place.challenge) is None
    assert (await place.gateway())["metadata"]["annotations"][TAKEN]
    await presenter.clean_up(place.challenge)
    managers = {one["manager"] for one in (await place.gateway())["metadata"].get("managedFields", [])}
    assert FIELD_MANAGER not in managers
    place.apply({**SPEC, "servers": SPEC["servers"][:1]}, "--server-side", "--field-manager=owner")
