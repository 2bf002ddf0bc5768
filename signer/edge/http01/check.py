"""What a self check saw, and its cause in words that tell what to change; which routes could stand in the way.

Two kinds of looks: at the gateway's Pods, all of which must have the answer; then where the host's name leads, since a CA
looks nowhere else. Pure. The looks are made elsewhere (proxies/http.py); here is only what came of them. No byte of a body ever
goes into a message: the answer may come from anywhere.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signer.api.text import shown
from signer.api.virtualservice import HTTPMatch, HTTPRule, StringMatch, VirtualService
from signer.edge.challenges.presenter import Cause, Found
from signer.edge.host import Host
from signer.edge.http01.routes import CHALLENGE_PATH, SOLVER_SERVICE
from signer.edge.proxies.values import Seen

_NOT_BEHIND = frozenset((502, 503, 504))
_REFUSED = {
    401: "a RequestAuthentication, an AuthorizationPolicy that asks another service, or a filter",
    403: "an AuthorizationPolicy, a RequestAuthentication, or a filter",
    429: "a rate limit",
}
_LED_AWAY = "it redirects to where no CA follows: to names, on ports 80 and 443 only, ten times at most"


def unresolved(host: Host, path: str) -> Found:
    """The name has no address yet."""
    return _waiting(Cause.NOT_RESOLVED, host, path, f"lookup {host}: no such host")


def classify(
    host: Host, path: str, seen: Seen, shadows: Collection[str] = (), *, gateway: str = "the gateway"
) -> Found:
    """Name the cause of what one Pod of the gateway showed.

    `shadows`: VirtualServices (namespace/name) that take the challenge's path before our route. `gateway`: the object, as
    it is named for people.
    """
    if seen.error:
        if seen.through_https and seen.error in ("reset", "tls"):
            return _waiting(
                Cause.NO_CERTIFICATE, host, path, "port 443 resets the connection: the gateway has no certificate yet"
            )
        return _waiting(Cause.NOT_REACHED, host, path, f"the gateway's address gives no answer ({seen.error})")
    if seen.redirect:
        return _waiting(Cause.REDIRECTED_AWAY, host, path, _LED_AWAY)
    if _right(seen):
        return Found(Cause.PASSED, "the answer is there")
    if shadows:
        names = ", ".join(sorted(shadows)[:3])
        return _waiting(
            Cause.SHADOWED, host, path, f"status {seen.status}; VirtualService {names} takes the path first"
        )
    if seen.status in _REFUSED:
        return _waiting(
            Cause.NOT_ADMITTED,
            host,
            path,
            f"status {seen.status}: {gateway} refuses the path, by {_REFUSED[seen.status]}; have it let {CHALLENGE_PATH} pass,"
            " or use a dns01 solver",
        )
    if seen.status == 200:
        return _waiting(
            Cause.WRONG_ANSWER, host, path, "status 200, and the answer is not the one that we put in place"
        )
    if seen.status in _NOT_BEHIND:
        return _waiting(
            Cause.NOT_ROUTED,
            host,
            path,
            f"status {seen.status}: another route takes it, or, for an Ingress or the Gateway API, the gateway does not reach"
            f" Service {SOLVER_SERVICE}",
        )
    return _waiting(
        Cause.NOT_ROUTED,
        host,
        path,
        f"status {seen.status}: {gateway} does not know the route yet, or another takes it",
    )


def not_taken(host: Host, path: str, why: str) -> Found:
    """What we put in place is refused by whoever should carry it out, in his own words."""
    return _waiting(Cause.NOT_ROUTED, host, path, why)


@dataclass(frozen=True, slots=True)
class Public:
    """One address at which a CA would look. `own`: it is the gateway's, as its Services say; `seen` None: it was not asked.

    `refused`: why it is not asked, "" where it may be.
    """

    address: str
    own: bool = False
    seen: Seen | None = None
    refused: str = ""


def classify_public(host: Host, path: str, looks: Iterable[Public], gateways: Collection[str] = ()) -> Found:
    """Say whether a CA would find the answer wherever the host's name leads; the first address where it would not is told.

    An address of the gateway's own that gives no answer here is no fault: many clusters cannot reach their own load
    balancer from inside, and the Pods behind it were asked. `gateways`: the gateway's addresses, for people.
    """
    own = ", ".join(tuple(gateways)[:3]) or "none is known"
    for look in looks:
        where = f"{host} leads to {look.address}"
        strange = "" if look.own else f", which is none of the gateway's addresses ({own})"
        seen = look.seen
        if seen is None or seen.error:
            if look.own:
                continue
            why = look.refused or (f"no answer from here: {seen.error}" if seen is not None else "it is not asked")
            return _waiting(
                Cause.WRONG_ADDRESS,
                host,
                path,
                f"{where}{strange} ({why}); a CA would ask there. Lead the name to the gateway; where that address does lead to"
                " it, from outside alone, say so with selfCheck in the issuer's solver",
            )
        if seen.redirect:
            return _waiting(Cause.REDIRECTED_AWAY, host, path, f"{where}{strange}; {_LED_AWAY}")
        if not _right(seen):
            what = "another answer" if seen.status == 200 else f"status {seen.status}"
            cause = Cause.WRONG_ANSWER if look.own else Cause.WRONG_ADDRESS
            why = "what stands there is something else, or does not pass the path on to the gateway"
            return _waiting(cause, host, path, f"{where}{strange}, and gives {what}: {why}")
    return Found(Cause.PASSED, "the answer is there")


def _right(seen: Seen) -> bool:
    return seen.status == 200 and seen.matches and not seen.overlong


def trouble_of_route(route: Mapping[str, Any]) -> str:
    """What the Gateway's implementation says against an HTTPRoute of ours, in its words; "" for nothing.

    Source: https://gateway-api.sigs.k8s.io/reference/spec/#routestatus
    """
    meta = route.get("metadata") or {}
    name = f"HTTPRoute {meta.get('namespace')}/{meta.get('name')}"
    parents = _objects((route.get("status") or {}).get("parents"))
    if not parents:
        return f"nobody has taken up {name} yet: does anything here run Gateways of this gatewayClassName?"
    for parent in parents:
        if said := _denied(parent.get("conditions"), ("Accepted", "ResolvedRefs")):
            ref = parent.get("parentRef") or {}
            listener = f", listener {shown(str(ref['sectionName']))}" if ref.get("sectionName") else ""
            return f"{name} is refused by Gateway {shown(str(ref.get('name', '')))}{listener}: {said}"
    return ""


def trouble_of_gateway(gateway: Mapping[str, Any]) -> str:
    """The same of a Gateway of the Gateway API, and of its listeners."""
    meta, status = gateway.get("metadata") or {}, gateway.get("status") or {}
    name = f"Gateway {meta.get('namespace')}/{meta.get('name')}"
    if said := _denied(status.get("conditions"), ("Accepted", "Programmed")):
        return f"{name} is not in force: {said}"
    for listener in _objects(status.get("listeners")):
        if said := _denied(listener.get("conditions"), ("Accepted", "Programmed", "ResolvedRefs")):
            return f"{name}, listener {shown(str(listener.get('name', '')))}: {said}"
    return ""


def _denied(conditions: object, kinds: tuple[str, ...]) -> str:
    """The first of these conditions that is False: its reason, and what is said to it."""
    for one in _objects(conditions):
        if one.get("type") in kinds and one.get("status") == "False":
            return f"{one['type']}=False, {shown(str(one.get('reason', '')))}: {shown(str(one.get('message', '')))}"
    return ""


def _objects(listed: object) -> list[Mapping[str, Any]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _waiting(cause: Cause, host: Host, path: str, why: str) -> Found:
    return Found(cause, f"Waiting for HTTP-01 challenge propagation: self check of http://{host}{path}: {why}")


def shadows(
    ours: VirtualService, others: Iterable[VirtualService], host: Host, path: str, proxy_namespace: str
) -> tuple[str, ...]:
    """Name the VirtualServices of this host whose routes come before ours and could take the path.

    Istio's order: those exported to "." in the proxy's own namespace, those whose exportTo names it, then all others; each
    by age. Rules that fit everything are moved to the end.
    Source: Istio, pilot/pkg/model/push_context.go (VirtualServicesForGateway), core/route/route.go.
    """
    mine = _rank(ours, proxy_namespace)
    found = []
    for other in others:
        meta = other.metadata
        if meta.uid == ours.metadata.uid or str(host) not in {one.lower() for one in other.spec.hosts}:
            continue
        if _rank(other, proxy_namespace) < mine and any(_takes(rule, path) for rule in other.spec.http):
            found.append(f"{meta.namespace}/{meta.name}")
    return tuple(sorted(found))


def _rank(one: VirtualService, proxy_namespace: str) -> tuple[int, str, str, str]:
    exported = one.spec.export_to
    if one.metadata.namespace == proxy_namespace and "." in exported:
        level = 0
    else:
        level = 1 if proxy_namespace in exported else 2
    meta = one.metadata
    return level, meta.creation_timestamp or "", meta.name, meta.namespace


def _takes(rule: HTTPRule, path: str) -> bool:
    """Tell whether a rule could take the path. One that fits everything does not: Istio moves it to the end."""
    return any(_could_match(match, path) for match in rule.match)


def _could_match(match: HTTPMatch, path: str) -> bool:
    conditions = (match.method, match.scheme, match.authority, match.headers, match.without_headers, match.query_params)
    if match.uri is None:
        return any(conditions)
    if _fits_all(match.uri):
        return any(conditions)
    return _fits(match.uri, path, ignore_case=match.ignore_uri_case)


def _fits_all(uri: StringMatch) -> bool:
    return uri.prefix == "/" or uri.regex == ".*"


def _fits(uri: StringMatch, path: str, *, ignore_case: bool) -> bool:
    if uri.regex is not None:
        # Another tenant's expression is never run: one that could be meant for anything counts as fitting.
        return True
    wanted = path.lower() if ignore_case else path
    exact, prefix = (text.lower() if ignore_case and text else text for text in (uri.exact, uri.prefix))
    return wanted == exact or (prefix is not None and wanted.startswith(prefix))
