"""What a self check saw, and its cause in words that tell what to change; which routes could stand in the way.

Pure. The looks are made elsewhere (proxies/http.py); here is only what came of them. No byte of a body ever
goes into a message: the answer may come from anywhere.
"""

from collections.abc import Collection, Iterable

from signer.api.virtualservice import HTTPMatch, HTTPRule, StringMatch, VirtualService
from signer.edge.challenges.presenter import Cause, Found
from signer.edge.host import Host
from signer.edge.http01.routes import SOLVER_SERVICE
from signer.edge.proxies.values import Seen

_NOT_BEHIND = frozenset((502, 503, 504))


def classify(host: Host, path: str, seen: Seen, shadows: Collection[str] = ()) -> Found:
    """Name the cause. `shadows`: VirtualServices (namespace/name) that take the challenge's path before our route."""
    if seen.resolved is not None and not seen.resolved:
        return _waiting(Cause.NOT_RESOLVED, host, path, f"lookup {host}: no such host")
    if seen.resolved is not None and seen.gateways and not set(seen.resolved) & set(seen.gateways):
        shown = ", ".join(seen.resolved[:3])
        message = (
            f"{host} resolves to {shown}, which is not one of the gateway's addresses ({', '.join(seen.gateways[:3])})"
        )
        if not seen.matches:
            return _waiting(Cause.WRONG_ADDRESS, host, path, message)
    if seen.error:
        if seen.through_https and seen.error in ("reset", "tls"):
            return _waiting(
                Cause.NO_CERTIFICATE, host, path, "port 443 resets the connection: the gateway has no certificate yet"
            )
        return _waiting(Cause.NOT_REACHED, host, path, f"the gateway's address gives no answer ({seen.error})")
    if seen.redirect:
        return _waiting(
            Cause.REDIRECTED_AWAY, host, path, "it redirects to where a CA does not follow: only to ports 80 and 443"
        )
    if seen.status == 200 and seen.matches and not seen.overlong:
        return Found(Cause.PASSED, "the answer is there")
    if shadows:
        names = ", ".join(sorted(shadows)[:3])
        return _waiting(
            Cause.SHADOWED, host, path, f"status {seen.status}; VirtualService {names} takes the path first"
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
        f"status {seen.status}: the gateway does not know the route yet, or another takes it",
    )


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
