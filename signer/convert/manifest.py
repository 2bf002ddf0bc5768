"""Converts a whole input, object by object: what is known is turned into today's, what is not passes unchanged. Pure.

What was made, by cert-manager or by hand, only to answer a challenge is left out: a route for
/.well-known/acme-challenge/ to a Service without Pods would stand before the answer of today.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from signer.api.ignored import remedies
from signer.api.injectable import ASKING, INJECTABLES
from signer.convert.certificate import issuer_wishes, todays_certificate
from signer.convert.certificaterequest import todays_request
from signer.convert.fields import Table, spelt
from signer.convert.ingress import todays_ingress
from signer.convert.issuer import todays_issuer
from signer.convert.metadata import METADATA, with_todays_annotations
from signer.convert.note import Note, Notes, listing, mapping, shown, text
from signer.convert.solver import Wanted

_CERT_MANAGER = (
    "certmanager.k8s.io/v1alpha1",
    "cert-manager.io/v1alpha2",
    "cert-manager.io/v1alpha3",
    "cert-manager.io/v1beta1",
)
_STATE = (
    "certmanager.k8s.io/v1alpha1",
    "acme.cert-manager.io/v1alpha2",
    "acme.cert-manager.io/v1alpha3",
    "acme.cert-manager.io/v1beta1",
    "acme.cert-manager.io/v1",
)
_INGRESS = ("extensions/v1beta1", "networking.k8s.io/v1beta1")
_ISTIO = ("networking.istio.io/v1alpha3", "networking.istio.io/v1beta1")
_ISTIO_KINDS = ("Gateway", "VirtualService", "DestinationRule", "ServiceEntry")
_NO_LONGER_SERVED = ("extensions/v1beta1", "apps/v1beta1", "apps/v1beta2", "certmanager.k8s.io/v1alpha1")
_ISSUERS = ("Issuer", "ClusterIssuer")
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
_ONLY_CHALLENGES = "left out: it only routes ACME challenges, and would stand before the route that is made for you now"
_OBJECT: Table = {"apiVersion": None, "kind": None, "metadata": None, "spec": None, "status": None}
_INJECTED_KINDS = tuple(resource.kind for resource in INJECTABLES)
_INJECTED = "the CA is written in by the CA injector: apply manifests/components/ca-injector too"
_SOLVED_BY = ("Pod", "Service", "Ingress")


@dataclass(frozen=True, slots=True)
class Converted:
    """The objects to apply, in the order of the input, and what a person must know."""

    objects: tuple[dict[str, Any], ...]
    notes: tuple[Note, ...]


def convert(objects: Iterable[dict[str, Any]]) -> Converted:
    """Convert objects as read from YAML; they are not changed. Never fails: what cannot be converted is noted."""
    notes = Notes()
    given = [_mended(obj, position, notes) for position, obj in enumerate(objects, 1)]
    wishes, unused = _wishes(given)
    found = []
    for position, obj in enumerate(given, 1):
        notes.about(obj, position)
        new = _one(obj, wishes, notes)
        if new is not None:
            found.append(new)
    for (kind, namespace, name), subject in unused.items():
        ref = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
        notes.subject = subject
        notes.add(
            "spec.acme",
            f"solvers are the issuer's now, and {shown(ref)} is not in this input; convert both together, or add them",
        )
    return Converted(tuple(found), tuple(notes.all))


def _mended(obj: dict[str, Any], position: int, notes: Notes) -> dict[str, Any]:
    """An old object of cert-manager's with the fields around its spec spelt right, each with a note.

    A misspelt one (`meteadata`) had no effect, so the object could not even be named; what is no field of any object goes.
    """
    named = {name: value for name, value in obj.items() if name in ("apiVersion", "kind")}
    if text(obj.get("apiVersion")) not in _CERT_MANAGER:
        return obj
    notes.about(obj, position)
    found: dict[str, Any] = spelt(obj, _OBJECT, "", notes)
    if "metadata" in found:
        found["metadata"] = spelt(found["metadata"], METADATA, "metadata", notes)
    return named | found


def _one(
    obj: dict[str, Any], wishes: dict[tuple[str, str, str], tuple[Wanted, ...]], notes: Notes
) -> dict[str, Any] | None:
    version, kind = text(obj.get("apiVersion")), text(obj.get("kind"))
    if why := _leftover(obj):
        notes.add("", why)
        return None
    if version in _STATE and kind in ("Order", "Challenge"):
        notes.add("", "left out: it is the state of one issuance; the Certificate makes a new one")
        return None
    if version in _CERT_MANAGER:
        if kind in _ISSUERS:
            return todays_issuer(obj, wishes.get(_issuer_key(obj), ()), notes)
        if kind == "Certificate":
            return todays_certificate(obj, notes)
        if kind == "CertificateRequest":
            return todays_request(obj, notes)
    return _of_others(obj, version, kind, notes)


def _of_others(obj: dict[str, Any], version: str, kind: str, notes: Notes) -> dict[str, Any] | None:
    """Convert what is not cert-manager's own, but may have its annotations."""
    if version in _INGRESS and kind == "Ingress":
        return _with_notes(todays_ingress(obj, notes), notes)
    if version in _ISTIO and kind in _ISTIO_KINDS:
        return _with_notes(with_todays_annotations({**obj, "apiVersion": "networking.istio.io/v1"}, notes), notes)
    if kind in ("Ingress", "Gateway"):
        return _with_notes(with_todays_annotations(obj, notes), notes)
    if kind in _INJECTED_KINDS:
        new = with_todays_annotations(obj, notes)
        for name in sorted(set(ASKING) & set(mapping(mapping(new.get("metadata")).get("annotations")))):
            notes.add(f"metadata.annotations.{name}", _INJECTED)
        return new
    if version in _NO_LONGER_SERVED:
        notes.add("apiVersion", f"{version} is no longer served for this kind; passed on unchanged")
    return obj


def _with_notes(obj: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Tell which annotations nothing is done for."""
    annotations = mapping(mapping(obj.get("metadata")).get("annotations"))
    asked = bool({"cert-manager.io/cluster-issuer", "cert-manager.io/issuer"} & annotations.keys())
    for name, remedy in remedies(annotations, asked=asked):
        notes.add(f"metadata.annotations[{name}]", f"not carried out: {remedy}")
    return obj


def _leftover(obj: dict[str, Any]) -> str:
    """Say why this object is left out; "" when it is not."""
    kind = obj.get("kind")
    if kind == "VirtualService" and text(obj.get("apiVersion")).startswith("networking.istio.io/"):
        spec = mapping(obj.get("spec"))
        routes = [mapping(route) for route in listing(spec.get("http"))]
        others = spec.get("tls") or spec.get("tcp")
        return _ONLY_CHALLENGES if routes and not others and all(map(_route_of_challenges, routes)) else ""
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
        return _ONLY_CHALLENGES
    return ""


def _route_of_challenges(route: dict[str, Any]) -> bool:
    """Tell whether a rule of a VirtualService takes challenges and nothing else: by each of its matches."""
    matches = [mapping(match) for match in listing(route.get("match"))]
    paths = [text(value) for match in matches for value in mapping(match.get("uri")).values()]
    return bool(matches) and len(paths) == len(matches) and all(_CHALLENGES in path[:40] for path in paths)


def _only_challenges(spec: dict[str, Any]) -> bool:
    paths = [
        text(mapping(path).get("path"))
        for rule in listing(spec.get("rules"))
        for path in listing(mapping(mapping(rule).get("http")).get("paths"))
    ]
    return bool(paths) and all(path.startswith(_CHALLENGES) for path in paths)


def _issuer_key(obj: dict[str, Any]) -> tuple[str, str, str]:
    metadata = mapping(obj.get("metadata"))
    kind = text(obj.get("kind"))
    return kind, text(metadata.get("namespace")) if kind == "Issuer" else "", text(metadata.get("name"))


def _wishes(
    given: list[dict[str, Any]],
) -> tuple[dict[tuple[str, str, str], tuple[Wanted, ...]], dict[tuple[str, str, str], str]]:
    """Gather what the Certificates say of their proof, by issuer; and the issuers of it that are not in the input."""
    found: dict[tuple[str, str, str], tuple[Wanted, ...]] = {}
    who: dict[tuple[str, str, str], str] = {}
    named = Notes()
    for position, obj in enumerate(given, 1):
        if obj.get("apiVersion") in _CERT_MANAGER and obj.get("kind") == "Certificate":
            ref, wanted = issuer_wishes(obj)
            if wanted:
                named.about(obj, position)
                found[ref] = found.get(ref, ()) + wanted
                who.setdefault(ref, named.subject)
    there = {
        _issuer_key(obj) for obj in given if obj.get("apiVersion") in _CERT_MANAGER and obj.get("kind") in _ISSUERS
    }
    return found, {ref: subject for ref, subject in who.items() if ref not in there}
