"""Objects of cert-manager.io, made and changed with kubectl."""

import json
from pathlib import Path
from typing import Any

from tests.localmesh import Cluster

FOLDER = Path(__file__).parents[3] / "manifests" / "crds"
KINDS = ("ClusterIssuer", "Issuer", "Certificate", "CertificateRequest")
SHAPE = (
    "type",
    "format",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "anyOf",
    "default",
)


def create(cluster: Cluster, thing: dict[str, Any], *flags: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        cluster.kubectl("create", *flags, "-o", "json", "-f", "-", input=json.dumps(thing))
    )
    return made


def set_status(cluster: Cluster, thing: dict[str, Any], *flags: str) -> dict[str, Any]:
    text = json.dumps(thing)
    replaced: dict[str, Any] = json.loads(
        cluster.kubectl("replace", "--subresource=status", *flags, "-o", "json", "-f", "-", input=text)
    )
    return replaced


def thing(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def request(name: str, **fields: Any) -> dict[str, Any]:
    return thing("CertificateRequest", name, {"issuerRef": {"name": "i"}, "request": "aGVsbG8="} | fields)
