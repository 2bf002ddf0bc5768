"""HTTP-01 through the gateway that serves the host: what answers is put in place for the time of the challenge.

carrier.py says on which object and in which of the modes of mode.py; where none can work, the Challenge says what
to change. The self check looks at the gateway's Pods, and then where a CA will: wherever the host's name leads, at port 80.
Tenants choose what names lead to, so addresses are judged where they are dialled. Used on the loop, in the leader. Nothing is remembered: what was made is found by its labels, and a redirect
that was taken by what stands in the Gateway.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from issuers.acme.targets import ANYWHERE, AddressRule
from signer.api.challenge import Challenge
from signer.api.gateway import GATEWAYS, APIGateway, Gateway
from signer.api.httproute import HTTP_ROUTES, REFERENCE_GRANTS
from signer.api.ingress import INGRESSES, Ingress
from signer.api.text import some
from signer.api.virtualservice import VIRTUAL_SERVICES, VirtualService
from signer.edge.challenges.each import EachForItself, InTheWay
from signer.edge.challenges.presenter import Cause, Found, Left
from signer.edge.host import Host, read_host
from signer.edge.http01.carrier import Chosen, PortsOf, Serving, choose, on_same_proxies, with_ports_of_their_own
from signer.edge.http01.check import (
    classify,
    not_taken,
    shadows,
    trouble_of_gateway,
    trouble_of_route,
    unresolved,
)
from signer.edge.http01.lists import GatewayLists
from signer.edge.http01.public import PublicLooks
from signer.edge.http01.redirect import users_servers
from signer.edge.http01.redirect_writer import FIELD_MANAGER, Redirects
from signer.edge.http01.routes import (
    CHALLENGE_PATH,
    CHALLENGE_UID,
    Answer,
    SolverService,
    http_route,
    ingress,
    object_name,
    own_gateway,
    reference_grant,
    virtual_service,
)
from signer.edge.issuers.http01_spec import SelfCheck, read_self_check
from signer.edge.orders.values import issuer_of
from signer.edge.proxies.http import look
from signer.edge.proxies.pods import GatewayPods, Served
from signer.edge.proxies.ports import Ports
from signer.edge.proxies.reach import Reach
from signer.edge.proxies.resolve import Resolve, asking, system_resolver
from signer.edge.proxies.values import Asked
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.resource import Resource
from signer.tenancy.verdict import Reason

_MAX_PODS = 5
_MAX_LOOKED_UP = 16
"""Gateways that serve one host under ports of their own, whose Services are read."""
_BY_ROUTE = frozenset((Cause.NOT_ROUTED, Cause.WRONG_ANSWER))
Objects = list[tuple[Resource, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a host's challenge is answered: on which object and how, the Pods that serve it, and all Istio Gateways."""

    chosen: Chosen
    served: Served
    gateways: tuple[Gateway, ...]


class GatewayPresenter:
    """Presents challenges on Gateways and Ingresses. `gateway_namespaces` are those where administrators run gateways.

    `solver` is the Service of the shared solver, which Ingresses and Gateways of the Gateway API need; None: there is none.
    `reach`: which of the addresses that a host's name leads to are asked. `ports`: for hosts that are not at 80 and 443.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        gateway_namespaces: Collection[str] = ("istio-system",),
        resolve: Resolve = system_resolver,
        solver: SolverService | None = None,
        reach: Reach | None = None,
        ports: Mapping[int, int] | None = None,
    ) -> None:
        self._reach = reach or Reach()
        self._ports = dict(ports or {})
        self._client = client
        self._gateway_namespaces = frozenset(gateway_namespaces)
        self._resolve = resolve
        self._solver = solver
        self._lists = GatewayLists(client)
        self._read: tuple[tuple[list[dict[str, Any]], ...], Serving] = (([], [], []), Serving())
        self._pods = GatewayPods(client, gateway_namespaces)
        self._redirects = Redirects(client, self._lists)

    async def present(self, challenge: Challenge) -> Reason | None:
        """Put the answer in place; a reason tells what must be there first."""
        host = _host(challenge)
        if isinstance(host, Reason):
            return host
        meta, spec = challenge.metadata, challenge.spec
        place = await self._place(host, challenge)
        if isinstance(place, Reason):
            # The user may have changed his mind since we took a redirect.
            await self._redirects.give_back(meta.uid)
            return place
        try:
            answer = Answer(host, spec.token, spec.key, (meta.namespace, meta.name, meta.uid))
        except ValueError as error:
            return Reason("MalformedChallenge", str(error))
        objects = _objects(answer, place, self._solver)
        if isinstance(objects, Reason):
            return objects
        for resource, body in objects:
            await self._apply(resource, body)
        if place.chosen.mode.letter == "C":
            # After the route that redirects in its place: not one request of the user's is answered in the clear.
            return await self._redirects.take(place.chosen.mode.gateway, meta.uid, host)
        return None

    async def check(self, challenge: Challenge) -> Found:
        """Ask every Pod of the gateway (five at most), then wherever the name leads; the first that fails is told."""
        host = _host(challenge)
        if isinstance(host, Reason):
            return Found(Cause.NOT_ROUTED, host.message)
        place = await self._place(host, challenge)
        if isinstance(place, Reason):
            return Found(Cause.NOT_ROUTED, place.message)
        mode = place.chosen.mode
        if mode.letter == "C":
            # Whoever applied the Gateway anew meanwhile has put the redirect back.
            kept = await self._redirects.take(mode.gateway, challenge.metadata.uid, host)
            if kept is not None:
                return Found(Cause.NOT_ROUTED, kept.message)
        return await self._look(host, challenge, place)

    async def _look(self, host: Host, challenge: Challenge, place: _Place) -> Found:
        """Look as the issuer's solver says."""
        settings = _settings(challenge)
        if isinstance(settings, Reason):
            return Found(Cause.NOT_ROUTED, settings.message)
        if settings.mode == "None":
            return Found(Cause.PASSED, "nothing was looked at, as the issuer's solver says")
        asked = Asked(host, f"{CHALLENGE_PATH}{challenge.spec.token}", challenge.spec.key)
        resolve = asking(settings.nameservers) if settings.nameservers else self._resolve
        resolved = await resolve(str(host))
        if resolved is not None and not resolved:
            return unresolved(host, asked.path)
        found = await self._at_pods(asked, challenge, place)
        if not found.passed or settings.mode == "Gateway":
            return found
        rule = self._reach.of(issuer_of(challenge))
        looks = PublicLooks(asked, resolve, self._ports, rule)
        if settings.addresses:
            # Whoever may write the issuer has named them; which he may name was judged then.
            return await looks.at(settings.addresses, place.served, ANYWHERE)
        return await looks.at(resolved or (), place.served, rule)

    async def _at_pods(self, asked: Asked, challenge: Challenge, place: _Place) -> Found:
        host, path = asked.host, asked.path
        found = Found(Cause.NOT_REACHED, f"no Pod of the gateway of {host} has an address yet")
        for pod in place.served.pods[:_MAX_PODS]:
            seen = await look(asked, pod)
            found = classify(host, path, seen, gateway=_named(place.chosen.carrier))
            if found.cause in _BY_ROUTE and (why := await self._refused_route(challenge, place)):
                return not_taken(host, path, why)
            if found.cause in _BY_ROUTE:
                others = await self._shadows(challenge, host, path, place)
                found = classify(host, path, seen, others, gateway=_named(place.chosen.carrier))
            if not found.passed:
                return found
        return found

    async def _refused_route(self, challenge: Challenge, place: _Place) -> str:
        """What whoever runs the Gateway API's Gateway says against our route, or the Gateway; "" for nothing."""
        carrier = place.chosen.carrier
        if not isinstance(carrier, APIGateway):
            return ""
        meta = challenge.metadata
        found = await self._client.list(HTTP_ROUTES, carrier.metadata.namespace, f"{CHALLENGE_UID}={meta.uid}")
        told = (trouble_of_route(one) for one in found if one["metadata"]["name"] == object_name(meta.uid))
        return next(filter(None, told), "") or await self._refused_gateway(carrier)

    async def _refused_gateway(self, carrier: APIGateway) -> str:
        meta = carrier.metadata
        listed = (one for one in await self._lists.api_gateways() if one["metadata"]["uid"] == meta.uid)
        return next((trouble_of_gateway(one) for one in listed), "")

    async def clean_up(self, challenge: Challenge) -> Left | None:
        """Take away whatever was put in place for it, wherever that is; what was taken is given back first.

        What was refused is told where it is the Challenge's own affair: whoever names its uid elsewhere keeps it from nothing.
        """
        meta = challenge.metadata
        found = await self._redirects.give_back(meta.uid)
        found += await self._take_away(lambda uid: uid == meta.uid)
        everywhere = meta.namespace in self._gateway_namespaces
        ours = [one for one in found if everywhere or one.ref.namespace in (meta.namespace, self._own_namespace)]
        return Left(Reason("LeftBehind", some(map(str, ours), 2))) if ours else None

    async def tidy(self, living: frozenset[str]) -> list[InTheWay]:
        """The same for all Challenges but these (by uid): those whose finalizer somebody else took away.

        Returns what could not be taken away: the others are gone.
        """
        found = await self._redirects.give_back_all_but(living)
        return [*found, *await self._take_away(lambda uid: uid not in living)]

    async def _take_away(self, these: Callable[[str], bool]) -> list[InTheWay]:
        """Delete what was made for some Challenges. Anybody may set our labels: what has another name is none of ours."""
        each = EachForItself()
        for resource, one in await self._lists.ours(self._own_namespace):
            uid = _challenge_of(one)
            if uid and one["metadata"]["name"] == object_name(uid) and these(uid):
                with each.one(resource, one["metadata"]):
                    await self._delete(resource, one)
        return each.done()

    @property
    def _own_namespace(self) -> str | None:
        return self._solver.namespace if self._solver is not None else None

    async def _delete(self, resource: Resource, one: dict[str, Any]) -> None:
        meta = one["metadata"]
        try:
            await self._client.delete(resource, meta["name"], meta["namespace"], uid=meta["uid"])
        except (NotFound, Conflict):
            return  # gone, or another of the same name since

    async def _apply(self, resource: Resource, body: dict[str, Any]) -> None:
        meta = body["metadata"]
        try:
            await self._client.create(resource, body)
        except AlreadyExists:
            await self._client.patch(
                resource,
                meta["name"],
                body,
                namespace=meta["namespace"],
                kind="apply",
                field_manager=FIELD_MANAGER,
                force=True,
            )
        finally:
            self._lists.wrote(resource)

    async def _place(self, host: Host, challenge: Challenge) -> _Place | Reason:
        """Find the object that serves the host, how it is to be used, and its Pods."""
        serving = await self._serving()
        namespace = challenge.metadata.namespace
        ports = await self._ports_of(host, namespace, serving)
        if isinstance(ports, Reason):
            return ports
        everywhere = self._gateway_namespaces
        chosen = choose(host, namespace, serving, gateway_namespaces=everywhere, ports=ports)
        if (isinstance(chosen, Reason) and chosen.code != "NoGateway") or (
            isinstance(chosen, Chosen) and chosen.mode.letter == "C"
        ):
            # Which Gateways have a route for the host may leave a better way.
            routes = [msgspec.convert(one, VirtualService) for one in await self._lists.routes() if not _ours(one)]
            chosen = choose(host, namespace, serving, gateway_namespaces=everywhere, routes=routes, ports=ports)
        if isinstance(chosen, Reason):
            return chosen
        served = await self._pods.find(chosen.carrier, host)
        if isinstance(served, Served):
            return _Place(chosen, served, serving.gateways)
        said = await self._refused_gateway(chosen.carrier) if isinstance(chosen.carrier, APIGateway) else ""
        return Reason(served.code, f"{served.message}; {said}") if said else served

    async def _ports_of(self, host: Host, namespace: str, serving: Serving) -> PortsOf | Reason:
        """Read where the world's ports lead, for the Gateways that may carry the challenge under numbers of their own."""
        known: dict[str, Ports] = {}
        special = with_ports_of_their_own(host, namespace, serving, gateway_namespaces=self._gateway_namespaces)
        for one in special[:_MAX_LOOKED_UP]:
            served = await self._pods.find(one, host)
            if isinstance(served, Served):
                known[one.metadata.uid] = served.ports
            elif served.code == "InvalidAnnotation":
                return served
        return lambda one: known.get(one.metadata.uid, Ports())

    async def _serving(self) -> Serving:
        """Read what is listed, once for all challenges that share the lists."""
        lists = (await self._lists.gateways(), await self._lists.api_gateways(), await self._lists.ingresses())
        known, serving = self._read
        if not all(one is other for one, other in zip(lists, known, strict=True)):
            gateways, api_gateways, ingresses = lists
            serving = Serving(
                tuple(_as_written(one) for one in gateways if not _ours(one)),
                tuple(msgspec.convert(one, APIGateway) for one in api_gateways),
                tuple(msgspec.convert(one, Ingress) for one in ingresses if not _ours(one)),
            )
            self._read = (lists, serving)
        return serving

    async def _shadows(self, challenge: Challenge, host: Host, path: str, place: _Place) -> tuple[str, ...]:
        """Name the VirtualServices on the same proxies that take the path before ours."""
        carrier = place.chosen.carrier
        if not isinstance(carrier, Gateway):
            return ()
        near = {(one.metadata.namespace, one.metadata.name) for one in on_same_proxies(carrier, place.gateways)}
        ours: VirtualService | None = None
        others: list[VirtualService] = []
        for one in await self._lists.routes():
            route = msgspec.convert(one, VirtualService)
            if route.metadata.labels.get(CHALLENGE_UID) == challenge.metadata.uid:
                ours = route
            elif near.intersection(route.attached_to):
                others.append(route)
        if ours is None:
            return ()
        return shadows(ours, others, host, path, place.served.namespaces[0])


def _challenge_of(one: dict[str, Any]) -> str:
    """The uid of the Challenge that an object was made for, "" where it does not say: others may set the label too."""
    return str((one["metadata"].get("labels") or {}).get(CHALLENGE_UID, ""))


def _objects(answer: Answer, place: _Place, solver: SolverService | None) -> Objects | Reason:
    """What is to be applied, in this order."""
    mode, carrier = place.chosen.mode, place.chosen.carrier
    namespace = mode.gateway[0]
    if isinstance(carrier, Gateway):
        if mode.letter == "B":
            gateway = own_gateway(answer, namespace, carrier.spec.selector)
            on = (namespace, answer.object_name)
            route = virtual_service(answer, on, place.served.namespaces, redirect=mode.redirect, http_port=None)
            return [(GATEWAYS, gateway), (VIRTUAL_SERVICES, route)]
        route = virtual_service(
            answer, mode.gateway, place.served.namespaces, redirect=mode.letter == "C", hosts=mode.hosts
        )
        return [(VIRTUAL_SERVICES, route)]
    if solver is None:
        message = f"{answer.host} is served by no Istio Gateway, and the shared solver is off (--http01-solver-bind)"
        return Reason("SolverOff", message)
    if isinstance(carrier, Ingress):
        return [(INGRESSES, ingress(answer, solver.namespace, mode.ingress_class, solver))]
    routes: Objects = [(HTTP_ROUTES, http_route(answer, mode.gateway, mode.sections, solver))]
    if solver.namespace == namespace:
        return routes
    return [(REFERENCE_GRANTS, reference_grant(answer, namespace, solver)), *routes]


def _host(challenge: Challenge) -> Host | Reason:
    if challenge.spec.type != "HTTP-01":
        return Reason("SolverNotSupported", f"{challenge.spec.type} is not supported by this version of mesh-signer")
    host = read_host(challenge.spec.dns_name)
    return Reason("MalformedChallenge", host) if isinstance(host, str) else host


def _settings(challenge: Challenge) -> SelfCheck | Reason:
    """What the Challenge's solver, which is its issuer's, says of the self check."""
    ref = issuer_of(challenge)
    rule = ANYWHERE if ref is not None and ref.kind == "ClusterIssuer" else AddressRule()
    found = read_self_check(challenge.spec.solver.get("http01"), "spec.solver.http01", rule=rule)
    return Reason("InvalidConfiguration", "; ".join(found)) if isinstance(found, tuple) else found


def _named(carrier: Gateway | APIGateway | Ingress) -> str:
    kind = "Ingress" if isinstance(carrier, Ingress) else "Gateway"
    return f"{kind} {carrier.metadata.namespace}/{carrier.metadata.name}"


def _ours(one: dict[str, Any]) -> bool:
    return CHALLENGE_UID in (one["metadata"].get("labels") or {})


def _as_written(one: dict[str, Any]) -> Gateway:
    """A Gateway as its user has it, whatever we have taken from it."""
    spec = one.get("spec")
    if isinstance(spec, dict) and "servers" in spec:
        spec = {**spec, "servers": users_servers(one)}
    return msgspec.convert({**one, "spec": spec}, Gateway)
