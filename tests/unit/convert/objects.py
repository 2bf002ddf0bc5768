"""Objects of old manifests, and what became of them."""

from typing import Any

from signer.convert.manifest import Converted, convert


def lines(found: Converted) -> list[str]:
    return [str(note) for note in found.notes]


def one(obj: dict[str, Any], *others: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    found = convert([obj, *others])
    return found.objects[0], lines(found)


def issuer(acme: Any, version: str = "cert-manager.io/v1alpha2", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "le"}
    return {"apiVersion": version, "kind": "ClusterIssuer", "metadata": metadata, "spec": {"acme": acme, **spec}}


def certificate(version: str = "cert-manager.io/v1alpha2", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "Certificate", "metadata": {"name": "c", "namespace": "n"}, "spec": spec}
