"""Ingresses of extensions/v1beta1 and networking.k8s.io/v1beta1. Pure.

Source: https://kubernetes.io/docs/reference/using-api/deprecation-guide/#ingress-v122, and for paths Istio's
pilot/pkg/config/kube/ingress (a path that ends in ".*" is a prefix, "/.*" is everything).
"""

from typing import Any

from signer.convert.fields import Table, spelt
from signer.convert.metadata import todays_metadata
from signer.convert.note import Notes, listing, mapping, shown, text

API_VERSION = "networking.k8s.io/v1"
_BACKEND: Table = {"serviceName": None, "servicePort": None, "resource": None}
_SPEC: Table = {
    "backend": _BACKEND,
    "ingressClassName": None,
    "rules": [{"host": None, "http": {"paths": [{"path": None, "pathType": None, "backend": _BACKEND}]}}],
    "tls": [{"hosts": None, "secretName": None}],
}
_EVERYTHING = ("", "/", "/*", "/.*", "*", ".*")
_SUFFIXES = ("/.*", "/*")
_CLASS = "kubernetes.io/ingress.class"


def todays_ingress(obj: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return the Ingress of today."""
    spec = spelt(obj.get("spec"), _SPEC, "spec", notes)
    found: dict[str, Any] = {}
    for name, value in spec.items():
        if name == "backend":
            found["defaultBackend"] = _backend(mapping(value), "spec.backend", notes)
        elif name == "rules":
            found["rules"] = [_rule(one, f"spec.rules[{index}]", notes) for index, one in enumerate(value)]
        else:
            found[name] = value
    metadata = todays_metadata(obj.get("metadata"), notes)
    if "ingressClassName" in found and _CLASS in mapping(metadata.get("annotations")):
        notes.add(
            "spec.ingressClassName",
            f"left out: the annotation {_CLASS} says the same, and only one of the two is allowed",
        )
        del found["ingressClassName"]
    return {"apiVersion": API_VERSION, "kind": "Ingress", "metadata": metadata, "spec": found}


def _rule(rule: dict[str, Any], place: str, notes: Notes) -> dict[str, Any]:
    found = {"host": rule["host"]} if rule.get("host") else {}
    paths = [
        _path(one, f"{place}.http.paths[{index}]", notes)
        for index, one in enumerate(listing(mapping(rule.get("http")).get("paths")))
    ]
    return {**found, "http": {"paths": paths}} if paths else found


def _path(entry: dict[str, Any], place: str, notes: Notes) -> dict[str, Any]:
    path, kind = text(entry.get("path")), text(entry.get("pathType"))
    if kind not in ("Exact", "Prefix"):
        path, kind = _todays_path(path, place, notes)
    return {
        "path": path,
        "pathType": kind,
        "backend": _backend(mapping(entry.get("backend")), f"{place}.backend", notes),
    }


def _todays_path(path: str, place: str, notes: Notes) -> tuple[str, str]:
    if path in _EVERYTHING:
        return "/", "Prefix"
    for suffix in _SUFFIXES:
        if path.endswith(suffix) and path.startswith("/"):
            return path.removesuffix(suffix), "Prefix"
    if not path.startswith("/"):
        notes.add(f"{place}.path", f"{shown(path)} did not begin with /; now it does")
        path = f"/{path}"
    return path, "ImplementationSpecific"


def _backend(backend: dict[str, Any], place: str, notes: Notes) -> dict[str, Any]:
    if backend.get("resource"):
        return {"resource": backend["resource"]}
    port = backend.get("servicePort")
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port[:6])
    if isinstance(port, int) and not isinstance(port, bool):
        named: dict[str, Any] = {"number": port}
    else:
        named = {"name": text(port)}
        if not named["name"]:
            notes.add(f"{place}.servicePort", "is missing; correct it before you apply it")
    return {"service": {"name": text(backend.get("serviceName")), "port": named}}
