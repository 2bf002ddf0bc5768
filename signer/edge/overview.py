"""The edge at a glance: each host that an object wants, its certificate, and what is in the way. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeVar

from signer.api.certificate import Certificate, IssuerReference, ends_by_itself, request_waits
from signer.api.challenge import Challenge
from signer.api.gateway import APIGateway, Gateway, server_host
from signer.api.httproute import HTTPRoute
from signer.api.ingress import Ingress
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.api.meta import Condition, find_condition, from_rfc3339, has_condition
from signer.api.namespace import NamespaceObject
from signer.api.notes import text_note
from signer.api.order import ORDERS, Order
from signer.api.virtualservice import VirtualService
from signer.edge.gateways.budget import STEPS, Budget, Routes
from signer.edge.gateways.gather import gather, named_by
from signer.edge.gateways.placeholder import credentials_of
from signer.edge.gateways.routed import Route, gateways_of, routed
from signer.edge.gateways.wish import Source, Wish
from signer.edge.host import Host
from signer.edge.hosts.decide import Asker, EdgeWorld, decide
from signer.kube.encoding.codec import Withheld
from signer.tenancy.verdict import Refuse
from signer.tenancy.world import LABEL_PREFIX

T = TypeVar("T")
_NOT_IN_IT = "not in the Certificate yet"
Certificates = dict[tuple[str, str], Certificate]
State = Literal["ready", "issuing", "failing", "waiting", "refused"]


@dataclass(frozen=True, slots=True)
class Row:
    """One host of one object; `host` is "" for what was passed over before a host was read.

    `served`: what the gateway showed when it was last asked: "True", "False", or "" for not known. `where`: which server, listener or
    entry of the object is for the host, and for "*" by which VirtualService.
    """

    host: str
    source: Source
    issuer: str
    state: State
    secret: str = ""
    expires: datetime | None = None
    renewal: datetime | None = None
    served: str = ""
    why: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Objects:
    """All that was read. `served` and `unproven`: conditions of HostClaims, by their names."""

    sources: tuple[Gateway | APIGateway | Ingress, ...]
    routes: tuple[VirtualService, ...]
    namespaces: Mapping[str, NamespaceObject]
    certificates: tuple[Certificate, ...]
    world: EdgeWorld
    served: Mapping[str, Condition] = field(default_factory=dict)
    unproven: Mapping[str, Condition] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    challenges: tuple[Challenge, ...] = ()
    http_routes: tuple[HTTPRoute, ...] = ()


def overview(objects: Objects, default: IssuerReference | None) -> list[Row]:
    """Return the rows, by host; the same rules say what is wanted and who may have it as in the controller."""
    made, by_hand = _by_secret(objects)
    rows: list[Row] = []
    by_namespace = _by((obj.metadata.namespace, obj) for obj in objects.sources)
    routes_of = _by((route.metadata.namespace, route) for route in objects.routes)
    every: tuple[Route, ...] = (*objects.routes, *objects.http_routes)
    routes_on = _by((where, route) for route in every for where in gateways_of(route))
    by_name = _by((one.spec.secret_name, one) for _, one in sorted(by_hand.items(), key=lambda item: item[0]))
    issuance = _Issuance(objects)
    for name, listed in by_namespace.items():
        namespace = objects.namespaces.get(name)
        if namespace is None:
            continue
        routes = routes_of.get(name, [])
        asker = Asker(name, namespace.metadata.uid, namespace.labels_under(LABEL_PREFIX))
        others = routed(routes_on.get(name, ()), asker, lambda one: _asker(objects, one), objects.world)
        known = Routes(Budget())
        wanted = gather(listed, routes, namespace.metadata.annotations, default, known, others)
        beside: dict[Source, str] = {}
        begin = len(rows)
        for source, passed in wanted.passed:
            if passed.beside:
                beside.setdefault(source, passed.reason.message)
            elif not passed.harmless:
                text = f"{passed.field}: {passed.reason.message}" if passed.field else passed.reason.message
                rows.append(Row("", source, "", "refused", why=text))
        for wish in wanted.wishes:
            key = (name, wish.secret_name)
            rows += _rows(wish, made.get(key) or by_hand.get(key), asker, issuance)
        asking = {source.uid for wish in wanted.wishes for source in wish.sources}
        for obj in listed:
            # Who asks for nothing may still serve what somebody wrote a Certificate for.
            if obj.metadata.uid not in asking and not isinstance(obj.raw_spec, Withheld):
                for wish in named_by(obj, known):
                    rows += _rows_by_hand(wish, by_name.get(wish.secret_name, ()), issuance)
        places = _Places(listed, routes)
        rows[begin:] = [
            replace(row, why=row.why or beside.get(row.source, ""), where=places.of(row)) for row in rows[begin:]
        ]
    return sorted(rows, key=lambda row: (row.host == "", row.host, row.source))


def _asker(objects: Objects, namespace: str) -> Asker | None:
    found = objects.namespaces.get(namespace)
    return Asker(namespace, found.metadata.uid, found.labels_under(LABEL_PREFIX)) if found is not None else None


def _by(named: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for name, one in named:
        found.setdefault(name, []).append(one)
    return found


def _by_secret(objects: Objects) -> tuple[Certificates, Certificates]:
    """The Certificates that we made, by the namespace that wanted them, and those of users by their own; each by Secret."""
    made: Certificates = {}
    by_hand: Certificates = {}
    for one in sorted(objects.certificates, key=lambda one: (one.metadata.namespace, one.metadata.name)):
        if one.metadata.labels.get(EDGE_LABEL) == "true":
            uid = text_note(one.metadata.annotations, SOURCE_NAMESPACE_UID)
            origin = one.metadata.labels.get(SOURCE_NAMESPACE, "")
            if origin in objects.namespaces and objects.namespaces[origin].metadata.uid == uid:
                made.setdefault((origin, one.metadata.name), one)
        elif one.spec.secret_name:
            by_hand.setdefault((one.metadata.namespace, one.spec.secret_name), one)
    return made, by_hand


class _Issuance:
    """What was read, with Orders by their names and Challenges by their Orders: each host of a cluster asks for its own."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._orders: dict[tuple[str, frozenset[str]], Order] = {}
        self._challenges: dict[str, list[Challenge]] = {}
        self._why: dict[str, tuple[dict[Host, str], str]] = {}
        for one in sorted(objects.orders, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name)):
            names = frozenset(name.lower() for name in one.spec.dns_names)
            self._orders[one.metadata.namespace, names] = one
        for challenge in objects.challenges:
            for owner in challenge.metadata.owner_references:
                self._challenges.setdefault(owner.uid, []).append(challenge)

    def deepest(self, host: Host, certificate: Certificate) -> str:
        """What the host's own Challenge says, else another of the same Order, else the Order; "" for nothing."""
        names = frozenset(name.lower() for name in certificate.spec.dns_names)
        order = self._orders.get((certificate.metadata.namespace, names))
        if order is None or order.status.state == "valid":
            return ""
        if (uid := order.metadata.uid) not in self._why:
            self._why[uid] = _words(order, self._challenges.get(uid, ()))
        own, other = self._why[uid]
        return own.get(host, other)


def _words(order: Order, challenges: Iterable[Challenge]) -> tuple[dict[Host, str], str]:
    """What an Order's Challenges say, by host; and what is said of a host whose own says nothing."""
    own: dict[Host, str] = {}
    other = ""
    for one in challenges:
        status, meta = one.status, one.metadata
        if status.state == "valid" or not status.reason or not meta.owned_by(order.metadata, ORDERS):
            continue
        of = Host(one.spec.dns_name.lower(), wildcard=one.spec.wildcard)
        said = f"Challenge {meta.namespace}/{meta.name}: {status.reason}"
        own.setdefault(of, said)
        other = other or f"waits for {of}: {said}"
    said = f"Order {order.metadata.namespace}/{order.metadata.name}: {order.status.reason}"
    return own, other or (said if order.status.reason else "")


def _rows(wish: Wish, certificate: Certificate | None, asker: Asker, issuance: _Issuance) -> Iterable[Row]:
    objects = issuance.objects
    for host in wish.hosts:
        verdict = decide(host, asker, wish.issuer, objects.world)
        state: State
        if isinstance(verdict, Refuse):
            state, why = "refused", "; ".join(reason.message for reason in verdict.reasons)
        elif certificate is None:
            state, why = "waiting", "no Certificate yet: the Events of the object say why"
        else:
            state, why = _state(host, certificate, issuance)
        yield from _rows_of(wish, host, certificate, (state, why), objects)


def _rows_by_hand(wish: Wish, named: Iterable[Certificate], issuance: _Issuance) -> Iterable[Row]:
    """The hosts of a Secret that an object names without asking for a certificate, where somebody wrote a Certificate for it.

    `named`: Certificates of that Secret's name, by namespace. It is in that of the proxies, which the object does not say: the
    object's own counts first.
    """
    own = wish.secret_namespace or wish.sources[0].namespace
    there = [one for one in named if wish.secret_namespace in ("", one.metadata.namespace)]
    found = sorted(there, key=lambda one: one.metadata.namespace != own)
    for host in wish.hosts:
        certificate = next((one for one in found if host.is_in(one.spec.dns_names)), None)
        if certificate is not None:
            written = replace(wish, issuer=certificate.spec.issuer_ref)
            yield from _rows_of(written, host, certificate, _state(host, certificate, issuance), issuance.objects)


def _rows_of(
    wish: Wish, host: Host, certificate: Certificate | None, found: tuple[State, str], objects: Objects
) -> Iterable[Row]:
    """One row for each object that wants the host."""
    state, why = found
    name, kind, _ = wish.issuer.normal()
    mine = certificate if certificate is not None and host.is_in(certificate.spec.dns_names) else None
    where = mine.metadata.namespace if mine is not None else wish.sources[0].namespace
    # Before the first issuance they are a placeholder's, which are nobody's concern.
    issued = mine is not None and (bool(mine.status.revision) or state == "ready")
    status = mine.status if mine is not None and issued else None
    shown = objects.served.get(host.claim_name) if state == "ready" else None
    for source in wish.sources:
        yield Row(
            str(host),
            source,
            name if kind == "ClusterIssuer" else f"{where}/{name}",
            state,
            f"{mine.metadata.namespace}/{mine.spec.secret_name}" if mine is not None else "",
            from_rfc3339(status.not_after) if status is not None else None,
            from_rfc3339(status.renewal_time) if status is not None else None,
            shown.status if shown is not None else "",
            why or (shown.message if shown is not None and shown.status == "False" else ""),
        )


def _state(host: Host, certificate: Certificate, issuance: _Issuance) -> tuple[State, str]:
    """How far a host of a Certificate is, and the deepest reason that any object has for it."""
    conditions = certificate.status.conditions
    dead = issuance.objects.unproven.get(host.claim_name)
    if not host.is_in(certificate.spec.dns_names):
        return ("failing", f"left out, as it cannot be proven: {dead.message}") if dead else ("waiting", _NOT_IN_IT)
    issuing = find_condition(conditions, "Issuing")
    why = issuance.deepest(host, certificate)
    ready = find_condition(conditions, "Ready")
    if ready is not None and ready.status == "True":
        return "ready", why if has_condition(conditions, "Issuing") else ""
    _, waits = request_waits(certificate)
    if not ends_by_itself(waits):
        return "waiting", why or waits
    if has_condition(conditions, "Issuing"):
        return "issuing", why or (issuing.message if issuing is not None else "")
    failed = issuing if issuing is not None and certificate.status.failed_issuance_attempts else ready
    if failed is issuing and failed is not None:
        return "failing", f"{why}; {failed.message}" if why else failed.message
    return "waiting", failed.message if failed else ""


class _Places:
    """Where the objects of one namespace serve their hosts. Each object's hosts are looked at once, and routes within one budget."""

    def __init__(self, objects: Iterable[Gateway | APIGateway | Ingress], routes: Iterable[VirtualService]) -> None:
        self._objects = {obj.metadata.uid: obj for obj in objects}
        self._routes = tuple(routes)
        self._known: dict[str, dict[str, str]] = {}
        self._attached: dict[tuple[str, str], dict[str, str]] = {}
        self._steps = STEPS

    def of(self, row: Row) -> str:
        """Say it of one row; "" where nothing of the object names the host."""
        obj = self._objects.get(row.source.uid)
        if obj is None or not row.host:
            return ""
        if (uid := row.source.uid) not in self._known:
            self._known[uid] = dict(reversed(list(_named_at(obj))))
        known = self._known[uid]
        above = row.host.removeprefix("*.").split(".")
        wider = (f"*.{'.'.join(above[index:])}" for index in range(1, len(above)))
        name = next((one for one in (row.host, *wider, "*") if one in known), "")
        if name != "*":
            return known.get(name, "")
        route = self._routes_on(obj.metadata.namespace, obj.metadata.name).get(row.host, "")
        return f"{known[name]} by VirtualService {route}" if route else known[name]

    def _routes_on(self, namespace: str, name: str) -> dict[str, str]:
        found = self._attached.setdefault((namespace, name), {})
        if not found:
            for route in self._routes:
                if self._steps > 0 and (namespace, name) in route.attached_to:
                    self._steps -= 1 + len(route.spec.hosts)
                    said = f"{route.metadata.namespace}/{route.metadata.name}"
                    found.update((one.lower(), said) for one in route.spec.hosts if one.lower() not in found)
        return found


def _named_at(obj: Gateway | APIGateway | Ingress) -> Iterable[tuple[str, str]]:
    """Each host that an object names, with its place; those that have a certificate first."""
    if isinstance(obj, Gateway):
        servers = sorted(enumerate(obj.spec.servers), key=lambda entry: not credentials_of(entry[1]))
        for index, server in servers:
            place = f"servers[{index}]" + (f" ({name})" if (name := server.name or server.port.name) else "")
            yield from ((server_host(text).name.lower(), place) for text in server.hosts)
    elif isinstance(obj, APIGateway):
        for index, one in sorted(enumerate(obj.spec.listeners), key=lambda entry: entry[1].tls is None):
            yield one.hostname.lower() or "*", f"listeners[{index}] ({one.name})"
    else:
        for index, entry in enumerate(obj.spec.tls):
            yield from ((text.lower(), f"tls[{index}]") for text in entry.hosts)
        yield from ((rule.host.lower(), f"rules[{index}]") for index, rule in enumerate(obj.spec.rules) if rule.host)
