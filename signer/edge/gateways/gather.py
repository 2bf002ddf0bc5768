"""What the objects of one namespace want, all together: opted in, read, and joined by Secret. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from signer.api.certificate import IssuerReference
from signer.api.gateway import APIGateway, Gateway, server_host
from signer.api.ingress import INGRESS_CLASS, INGRESS_SELECTOR, Ingress
from signer.api.virtualservice import VirtualService
from signer.edge.gateways.budget import Budget, Routes
from signer.edge.gateways.opt_in import asks_for_nothing, effort_of_a_look, ignored, misspelt, wanted_issuer
from signer.edge.gateways.read import api_gateway_wishes, gateway_wishes, ingress_wishes, merge
from signer.edge.gateways.routed import NOTHING, Routed
from signer.edge.gateways.wish import Passed, Source, SourceKind, Wish, Wishes
from signer.kube.encoding.codec import Withheld
from signer.tenancy.verdict import Reason

_KINDS: Mapping[type, SourceKind] = {Gateway: "Gateway", APIGateway: "APIGateway", Ingress: "Ingress"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one namespace wants: a wish for each Secret, and what was passed over, by object.

    `selectors` say which Pods serve an object; None where they always run beside it. `unsure`: an object cannot be read,
    so what was made for it earlier must not be taken away now.
    """

    wishes: tuple[Wish, ...] = ()
    passed: tuple[tuple[Source, Passed], ...] = ()
    selectors: Mapping[Source, Mapping[str, str] | None] | None = None
    unsure: bool = False

    def selectors_of(self, wish: Wish) -> tuple[Mapping[str, str] | None, ...]:
        """The selectors of a wish's objects, each once."""
        known = self.selectors or {}
        found: dict[tuple[tuple[str, str], ...] | None, Mapping[str, str] | None] = {}
        for source in wish.sources:
            one = known.get(source)
            found.setdefault(tuple(sorted(one.items())) if one is not None else None, one)
        return tuple(found.values())


def gather(
    objects: Iterable[Gateway | APIGateway | Ingress],
    routes: Iterable[VirtualService],
    annotations: Mapping[str, str],
    default: IssuerReference | None,
    known: Routes | None = None,
    others: Routed = NOTHING,
) -> Wanted:
    """Read all objects of one namespace. `annotations` are the namespace's, `routes` its VirtualServices.

    `known`, without a route yet: for a caller who reads on by `named_by`, so that all of it is one look.

    The host "*" of a Gateway is narrowed by routes of its own namespace, and by those of `others` that EdgePolicies let in: any
    other would make it claim hosts that others name.
    """
    known = known if known is not None else Routes(Budget())
    wishes: list[Wish] = []
    unread: set[str] = set()
    passed: list[tuple[Source, Passed]] = []
    selectors: dict[Source, Mapping[str, str] | None] = {}
    unsure, effort = False, effort_of_a_look()
    for route in routes:
        known.add(route)
        if isinstance(route.raw_spec, Withheld):
            meta = route.metadata
            source = Source("VirtualService", meta.namespace, meta.name, meta.uid)
            passed.append((source, Passed("", Reason("TooLarge", f"its hosts are not known: {route.problem}"))))
            unsure = True
    for obj in objects:
        meta = obj.metadata
        other = isinstance(obj, Ingress) and not isinstance(obj.raw_spec, Withheld) and obj.class_name != INGRESS_CLASS
        if meta.deletion_timestamp or other:
            continue
        source = Source(_KINDS[type(obj)], meta.namespace, meta.name, meta.uid)
        if isinstance(obj.raw_spec, Withheld):
            # Its annotations are not kept either: whether it wants something is not known, so what was made for it stays.
            passed.append((source, Passed("", Reason("TooLarge", f"no certificate is made for it: {obj.problem}"))))
            unsure = True
            continue
        issuer = wanted_issuer(meta.annotations, annotations, default)
        if (slip := misspelt(meta.annotations, effort)) is not None:
            passed.append((source, Passed("metadata.annotations", slip)))
        if issuer is None:
            passed += [
                (source, Passed("metadata.annotations", one, beside=True)) for one in asks_for_nothing(meta.annotations)
            ]
            continue
        unsure = unsure or bool(obj.problem)
        if isinstance(issuer, Reason):
            passed.append((source, Passed("metadata.annotations", issuer)))
            unsure = True
            continue
        passed += [
            (source, Passed("metadata.annotations", one, beside=True)) for one in ignored(meta.annotations, effort)
        ]
        found = _read(obj, issuer, known, others)
        wishes += found.certificates
        unread |= found.unread
        passed += [(source, one) for one in found.passed]
        selectors[source] = _selector(obj)
    joined, refused = merge(wish for wish in wishes if wish.secret_name not in unread)
    for wish, reason in refused:
        passed += [(source, Passed("", reason)) for source in wish.sources]
    return Wanted(joined, tuple(passed), selectors, unsure or bool(unread))


def named_by(obj: Gateway | APIGateway | Ingress, routes: Routes) -> tuple[Wish, ...]:
    """What an object would have if it asked for certificates: the Secrets that it names, and the hosts that it serves by them.

    For Certificates that somebody wrote for these Secrets; the issuer of these wishes is nobody's.
    """
    return _read(obj, IssuerReference(), routes).certificates


def _read(
    obj: Gateway | APIGateway | Ingress, issuer: IssuerReference, routes: Routes, others: Routed = NOTHING
) -> Wishes:
    if isinstance(obj, Gateway):
        # Only "*" asks for the routes.
        every = any(server_host(text).name == "*" for server in obj.spec.servers for text in server.hosts)
        attached = routes.attached(obj.metadata) if every else None
        return gateway_wishes(obj, issuer, attached=attached, budget=routes.budget, others=others)
    if isinstance(obj, APIGateway):
        return api_gateway_wishes(obj, issuer, budget=routes.budget, others=others)
    return ingress_wishes(obj, issuer, budget=routes.budget)


def _selector(obj: Gateway | APIGateway | Ingress) -> Mapping[str, str] | None:
    if isinstance(obj, Gateway):
        return obj.spec.selector
    return INGRESS_SELECTOR if isinstance(obj, Ingress) else None
