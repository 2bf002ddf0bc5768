"""HTTP-01 through the Istio gateway that serves the host: a VirtualService that answers, for the time of the challenge.

Modes A and B of solver_mode.py; where neither can work, the Challenge says what to change. Which Gateways count: those of
the Challenge's own namespace; for a Challenge in one of the gateways' namespaces, where administrators write, any. So a
tenant's Certificate puts no route into somebody else's Gateway.
Used on the loop, in the leader. Nothing is remembered: what was made is found by its labels.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from signer.api.challenge import Challenge
from signer.api.gateway import GATEWAYS, Gateway
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.challenge_routes import CHALLENGE_UID, Answer, own_gateway, virtual_service
from signer.edge.hostname import Host, read_host
from signer.edge.placement import selects
from signer.edge.probing import GatewayAddress, Resolve, look, system_resolver
from signer.edge.selfcheck import Cause, Found, classify
from signer.edge.solver_mode import Mode, mode_for_gateway
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, NotFound
from signer.kube.resource import Resource
from signer.tenancy.verdict import Reason, Refuse

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
FIELD_MANAGER = "mesh-signer-acme"
# Many challenges begin together: they share one list of the Gateways (seconds).
_FRESH = 1.0
_MAX_PODS = 5
_PUBLIC = (80, 443)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a host's challenge is answered: the Gateway, how, and the Pods that serve it."""

    gateway: Gateway
    mode: Mode
    namespaces: tuple[str, ...]
    pods: tuple[GatewayAddress, ...]
    public: tuple[str, ...]


class GatewayPresenter:
    """Presents challenges on Istio Gateways. `gateway_namespaces` are those where administrators run gateways."""

    def __init__(
        self,
        client: ApiClient,
        *,
        gateway_namespaces: Collection[str] = ("istio-system",),
        resolve: Resolve = system_resolver,
    ) -> None:
        self._client = client
        self._gateway_namespaces = frozenset(gateway_namespaces)
        self._resolve = resolve
        self._gateways: tuple[float, tuple[Gateway, ...]] = (float("-inf"), ())

    async def present(self, challenge: Challenge) -> Reason | None:
        """Put the answer in place; a reason tells what must be there first."""
        host = _host(challenge)
        if isinstance(host, Reason):
            return host
        place = await self._place(host, challenge)
        if isinstance(place, Reason):
            return place
        meta, spec = challenge.metadata, challenge.spec
        try:
            answer = Answer(host, spec.token, spec.key, (meta.namespace, meta.name, meta.uid))
        except ValueError as error:
            return Reason("MalformedChallenge", str(error))
        namespace, name = place.mode.gateway
        if place.mode.letter == "A":
            route = virtual_service(answer, (namespace, name), place.namespaces)
        else:
            await self._apply(GATEWAYS, own_gateway(answer, namespace, place.gateway.spec.selector))
            # What the user's port 80 did for this host, if anything, is to redirect: all else keeps doing that.
            route = virtual_service(answer, (namespace, answer.object_name), place.namespaces, redirect=True)
        await self._apply(VIRTUAL_SERVICES, route)
        return None

    async def check(self, challenge: Challenge) -> Found:
        """Ask every Pod of the gateway (five at most) for the answer, once; the first that fails is told."""
        host = _host(challenge)
        if isinstance(host, Reason):
            return Found(Cause.NOT_ROUTED, host.message)
        place = await self._place(host, challenge)
        if isinstance(place, Reason):
            return Found(Cause.NOT_ROUTED, place.message)
        path = f"/.well-known/acme-challenge/{challenge.spec.token}"
        resolved = await self._resolve(str(host))
        found = Found(Cause.NOT_REACHED, f"no Pod of the gateway of {host} has an address yet")
        for pod in place.pods[:_MAX_PODS]:
            seen = await look(host, path, challenge.spec.key, pod, resolved, place.public)
            found = classify(host, path, seen)
            if not found.passed:
                return found
        return found

    async def clean_up(self, challenge: Challenge) -> None:
        """Take away whatever was put in place for it, wherever that is."""
        uid = challenge.metadata.uid
        for resource in (VIRTUAL_SERVICES, GATEWAYS):
            try:
                found = await self._client.list(resource, label_selector=f"{CHALLENGE_UID}={uid}")
            except NotFound:
                continue  # Istio's CRDs are gone, and so is what was made
            for one in found:
                meta = one["metadata"]
                try:
                    await self._client.delete(resource, meta["name"], meta["namespace"], uid=meta["uid"])
                except NotFound:
                    continue

    async def _apply(self, resource: Resource, body: dict[str, Any]) -> None:
        try:
            await self._client.create(resource, body)
        except AlreadyExists:
            meta = body["metadata"]
            await self._client.patch(
                resource,
                meta["name"],
                body,
                namespace=meta["namespace"],
                kind="apply",
                field_manager=FIELD_MANAGER,
                force=True,
            )

    async def _place(self, host: Host, challenge: Challenge) -> _Place | Reason:
        """Find the Gateway that serves the host, how it is to be used, and its Pods."""
        namespace = challenge.metadata.namespace
        everywhere = namespace in self._gateway_namespaces
        gateways = await self._all_gateways()
        if isinstance(gateways, Reason):
            return gateways
        near = [one for one in gateways if everywhere or one.metadata.namespace == namespace]
        # The Challenge's own namespace first, then by age: the same answer each time.
        near.sort(key=lambda one: (one.metadata.namespace != namespace, _age(one)))
        refused: Reason | None = None
        for gateway in near:
            if gateway.problem or not _serves(gateway, host):
                continue
            others = [one for one in gateways if one is not gateway and one.spec.selector == gateway.spec.selector]
            mode = mode_for_gateway(host, gateway, others)
            if isinstance(mode, Refuse):
                refused = refused or mode.reasons[0]
                continue
            if mode.letter == "C":
                refused = refused or Reason(
                    "RedirectInTheWay",
                    f"Gateway {mode.gateway[0]}/{mode.gateway[1]} redirects {host} to https, where no certificate can be"
                    " proven without a client certificate; remove httpsRedirect, or use a dns01 solver",
                )
                continue
            pods = await self._pods(gateway, host)
            return pods if isinstance(pods, Reason) else _Place(gateway, mode, *pods)
        if refused is not None:
            return refused
        where = "any namespace" if everywhere else f"namespace {namespace}"
        return Reason("NoGateway", f"no Gateway in {where} serves {host}; the challenge waits for one")

    async def _all_gateways(self) -> tuple[Gateway, ...] | Reason:
        at, known = self._gateways
        if time.monotonic() - at < _FRESH:
            return known
        try:
            found = await self._client.list(GATEWAYS)
        except NotFound:
            return Reason("NoGateway", "there are no Gateways of Istio in this cluster (networking.istio.io/v1)")
        read = tuple(
            msgspec.convert(one, Gateway) for one in found if CHALLENGE_UID not in one["metadata"].get("labels", {})
        )
        self._gateways = (time.monotonic(), read)
        return read

    async def _pods(
        self, gateway: Gateway, host: Host
    ) -> tuple[tuple[str, ...], tuple[GatewayAddress, ...], tuple[str, ...]] | Reason:
        """The namespaces, Pods and public addresses of a Gateway's proxies: beside it, or where administrators run them."""
        selector = gateway.spec.selector
        namespaces = sorted({gateway.metadata.namespace, *self._gateway_namespaces})
        text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        pods: list[GatewayAddress] = []
        public: list[str] = []
        places: list[str] = []
        for namespace in namespaces if selector else ():
            found = await self._client.list(PODS, namespace, label_selector=text)
            running = [one for one in found if _running(one)]
            if not running:
                continue
            places.append(namespace)
            services = await self._client.list(SERVICES, namespace)
            for pod in running:
                ports, addresses = _published(pod, services)
                pods.append(GatewayAddress(pod["status"]["podIP"], ports))
                public += [pod["status"]["podIP"], *addresses]
        if not places:
            meta = gateway.metadata
            return Reason(
                "NoGatewayPod",
                f"no Pod serves Gateway {meta.namespace}/{meta.name} ({text or 'it has no selector'}); {host} waits for one",
            )
        return tuple(places), tuple(pods), tuple(dict.fromkeys(public))


def _host(challenge: Challenge) -> Host | Reason:
    if challenge.spec.type != "HTTP-01":
        return Reason("SolverNotSupported", f"{challenge.spec.type} is not supported by this version of mesh-signer")
    host = read_host(challenge.spec.dns_name)
    return Reason("MalformedChallenge", host) if isinstance(host, str) else host


def _serves(gateway: Gateway, host: Host) -> bool:
    for server in gateway.spec.servers:
        for text in server.hosts:
            name = text.rpartition("/")[2].lower()
            if name in ("*", host.name) or (name.startswith("*.") and host.name.endswith(name[1:])):
                return True
    return False


def _age(gateway: Gateway) -> tuple[str, str, str]:
    meta = gateway.metadata
    return meta.creation_timestamp or "", meta.namespace, meta.name


def _running(pod: dict[str, Any]) -> bool:
    status = pod.get("status") or {}
    return (
        bool(status.get("podIP")) and status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
    )


def _published(pod: dict[str, Any], services: list[dict[str, Any]]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Where a Pod listens for the public ports, by its Services; and the addresses of those."""
    ports: dict[int, int] = {}
    addresses: list[str] = []
    named = {
        one.get("name"): one.get("containerPort")
        for container in pod.get("spec", {}).get("containers") or ()
        for one in container.get("ports") or ()
    }
    for service in services:
        spec = service.get("spec") or {}
        if not spec.get("selector") or not selects(spec["selector"], pod["metadata"].get("labels") or {}):
            continue
        for one in spec.get("ports") or ():
            target = one.get("targetPort", one.get("port"))
            number = named.get(target) if isinstance(target, str) else target
            if one.get("port") in _PUBLIC and isinstance(number, int):
                ports.setdefault(one["port"], number)
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        addresses += [one["ip"] for one in balancer.get("ingress") or () if one.get("ip")]
        addresses += [*(spec.get("externalIPs") or ()), *(one for one in (spec.get("clusterIP"),) if one)]
    return ports, tuple(addresses)
