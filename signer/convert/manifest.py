"""Converts a whole input, object by object: what is known is turned into today's, what is not passes unchanged. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from signer.convert.certificate import issuer_wishes, todays_certificate
from signer.convert.certificaterequest import todays_request
from signer.convert.ingress import todays_ingress
from signer.convert.issuer import todays_issuer
from signer.convert.leftovers import leftover
from signer.convert.metadata import with_todays_annotations
from signer.convert.note import Note, Notes, mapping, shown, text
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


@dataclass(frozen=True, slots=True)
class Converted:
    """The objects to apply, in the order of the input, and what a person must know."""

    objects: tuple[dict[str, Any], ...]
    notes: tuple[Note, ...]


def convert(objects: Iterable[dict[str, Any]]) -> Converted:
    """Convert objects as read from YAML; they are not changed. Never fails: what cannot be converted is noted."""
    given = list(objects)
    notes = Notes()
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


def _one(
    obj: dict[str, Any], wishes: dict[tuple[str, str, str], tuple[Wanted, ...]], notes: Notes
) -> dict[str, Any] | None:
    version, kind = text(obj.get("apiVersion")), text(obj.get("kind"))
    if why := leftover(obj):
        notes.add("", why)
        return None
    if version in _STATE and kind in ("Order", "Challenge"):
        notes.add("", "left out: it is the state of one issuance, made anew by the Certificate")
        return None
    if version in _CERT_MANAGER:
        if kind in _ISSUERS:
            return todays_issuer(obj, wishes.get(_issuer_key(obj), ()), notes)
        if kind == "Certificate":
            return todays_certificate(obj, notes)
        if kind == "CertificateRequest":
            return todays_request(obj, notes)
    if version in _INGRESS and kind == "Ingress":
        return todays_ingress(obj, notes)
    if version in _ISTIO and kind in _ISTIO_KINDS:
        return with_todays_annotations({**obj, "apiVersion": "networking.istio.io/v1"}, notes)
    if kind in ("Ingress", "Gateway"):
        return with_todays_annotations(obj, notes)
    if version in _NO_LONGER_SERVED:
        notes.add("apiVersion", f"{version} is no longer served for this kind; passed on unchanged")
    return obj


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
