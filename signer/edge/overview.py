"""The edge at a glance: each host that an object wants, its certificate, and what is in the way. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from signer.api.certificate import Certificate, IssuerReference
from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import Ingress
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.api.meta import Condition, find_condition, from_rfc3339, has_condition
from signer.api.namespace import NamespaceObject
from signer.api.virtualservice import VirtualService
from signer.edge.gateways.gather import gather
from signer.edge.gateways.wish import Source, Wish
from signer.edge.host import Host
from signer.edge.hosts.decide import Asker, EdgeWorld, decide
from signer.tenancy.verdict import Refuse
from signer.tenancy.world import LABEL_PREFIX

State = Literal["ready", "issuing", "failing", "waiting", "refused"]


@dataclass(frozen=True, slots=True)
class Row:
    """One host of one object; `host` is "" for what was passed over before a host was read.

    `served`: what the gateway showed when it was last asked: "True", "False", or "" for not known.
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


@dataclass(frozen=True, slots=True)
class Objects:
    """All that was read. `served`: the condition Served of HostClaims, by their names."""

    sources: tuple[Gateway | APIGateway | Ingress, ...]
    routes: tuple[VirtualService, ...]
    namespaces: Mapping[str, NamespaceObject]
    certificates: tuple[Certificate, ...]
    world: EdgeWorld
    served: Mapping[str, Condition] = field(default_factory=dict)


def overview(objects: Objects, default: IssuerReference | None) -> list[Row]:
    """Return the rows, by host; the same rules say what is wanted and who may have it as in the controller."""
    made: dict[tuple[str, str], Certificate] = {}
    by_hand: dict[tuple[str, str], Certificate] = {}
    for one in sorted(objects.certificates, key=lambda one: (one.metadata.namespace, one.metadata.name)):
        if one.metadata.labels.get(EDGE_LABEL) == "true":
            uid = one.metadata.annotations.get(SOURCE_NAMESPACE_UID, "")
            origin = one.metadata.labels.get(SOURCE_NAMESPACE, "")
            if origin in objects.namespaces and objects.namespaces[origin].metadata.uid == uid:
                made.setdefault((origin, one.metadata.name), one)
        elif one.spec.secret_name:
            by_hand.setdefault((one.metadata.namespace, one.spec.secret_name), one)
    rows: list[Row] = []
    by_namespace: dict[str, list[Gateway | APIGateway | Ingress]] = {}
    for obj in objects.sources:
        by_namespace.setdefault(obj.metadata.namespace, []).append(obj)
    for name, listed in by_namespace.items():
        namespace = objects.namespaces.get(name)
        if namespace is None:
            continue
        routes = [route for route in objects.routes if route.metadata.namespace == name]
        wanted = gather(listed, routes, namespace.metadata.annotations, default)
        for source, passed in wanted.passed:
            if not passed.harmless:
                text = f"{passed.field}: {passed.reason.message}" if passed.field else passed.reason.message
                rows.append(Row("", source, "", "refused", why=text))
        asker = Asker(name, namespace.metadata.uid, namespace.labels_under(LABEL_PREFIX))
        for wish in wanted.wishes:
            key = (name, wish.secret_name)
            rows += _rows(wish, made.get(key) or by_hand.get(key), asker, objects)
    return sorted(rows, key=lambda row: (row.host == "", row.host, row.source))


def _rows(wish: Wish, certificate: Certificate | None, asker: Asker, objects: Objects) -> Iterable[Row]:
    name, kind, _ = wish.issuer.normal()
    issuer = name if kind == "ClusterIssuer" else f"{wish.sources[0].namespace}/{name}"
    for host in wish.hosts:
        state, why = _state(host, wish, certificate, asker, objects.world)
        mine = certificate if certificate is not None and host.is_in(certificate.spec.dns_names) else None
        status = mine.status if mine is not None else None
        shown = objects.served.get(host.claim_name) if state == "ready" else None
        for source in wish.sources:
            yield Row(
                str(host),
                source,
                issuer,
                state,
                f"{mine.metadata.namespace}/{mine.spec.secret_name}" if mine is not None else "",
                from_rfc3339(status.not_after) if status is not None else None,
                from_rfc3339(status.renewal_time) if status is not None else None,
                shown.status if shown is not None else "",
                why or (shown.message if shown is not None and shown.status == "False" else ""),
            )


def _state(
    host: Host, wish: Wish, certificate: Certificate | None, asker: Asker, world: EdgeWorld
) -> tuple[State, str]:
    verdict = decide(host, asker, wish.issuer, world)
    if isinstance(verdict, Refuse):
        return "refused", "; ".join(reason.message for reason in verdict.reasons)
    if certificate is None:
        return "waiting", "no Certificate yet: the Events of the object say why"
    if not host.is_in(certificate.spec.dns_names):
        return "waiting", "not in the Certificate yet"
    ready = find_condition(certificate.status.conditions, "Ready")
    if ready is not None and ready.status == "True":
        return "ready", ""
    issuing = find_condition(certificate.status.conditions, "Issuing")
    if has_condition(certificate.status.conditions, "Issuing"):
        return "issuing", issuing.message if issuing is not None else ""
    failed = issuing if issuing is not None and certificate.status.failed_issuance_attempts else ready
    return ("failing" if failed is issuing and failed is not None else "waiting"), failed.message if failed else ""
