"""What was made, by cert-manager or by hand, only to answer a challenge: nothing of it is needed any more. Pure.

It must not be carried over: a route for /.well-known/acme-challenge/ to a Service without Pods would stand before the
answer of today.
"""

from typing import Any

from signer.convert.note import listing, mapping, text

_SOLVER_LABELS = ("acme.cert-manager.io/http01-solver", "certmanager.k8s.io/acme-http01-solver")
_SOLVER_SELECTORS = (
    *_SOLVER_LABELS,
    "acme.cert-manager.io/http-domain",
    "acme.cert-manager.io/http-token",
    "certmanager.k8s.io/domain",
    "certmanager.k8s.io/acme-http-domain",
    "certmanager.k8s.io/acme-http-token",
)
_CHALLENGES = "/.well-known/acme-challenge"
_SOLVED_BY = ("Pod", "Service", "Ingress")


def leftover(obj: dict[str, Any]) -> str:
    """Say why this object is left out; "" when it is not."""
    kind = obj.get("kind")
    if kind not in _SOLVED_BY:
        return ""
    labels = mapping(mapping(obj.get("metadata")).get("labels"))
    if any(label in labels for label in _SOLVER_LABELS):
        return "left out: cert-manager made it while a name was proven; the gateway answers by itself now"
    spec = mapping(obj.get("spec"))
    if kind == "Service" and any(label in mapping(spec.get("selector")) for label in _SOLVER_SELECTORS):
        return (
            "left out: it selects cert-manager's solver Pods, which are not needed; the gateway answers by itself now"
        )
    if kind == "Ingress" and not spec.get("backend") and _only_challenges(spec):
        return "left out: it only routes ACME challenges, and would stand before the route that is made for you now"
    return ""


def _only_challenges(spec: dict[str, Any]) -> bool:
    paths = [
        text(mapping(path).get("path"))
        for rule in listing(spec.get("rules"))
        for path in listing(mapping(mapping(rule).get("http")).get("paths"))
    ]
    return bool(paths) and all(path.startswith(_CHALLENGES) for path in paths)
