"""What the controllers write for challenges, the policies that limit it, and the definitions that both need."""

from pathlib import Path
from typing import Any

import yaml

from signer.edge.dns01.record import dns_endpoint
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.routes import (
    SOLVER_PORT,
    SOLVER_SERVICE,
    SolverService,
    http_route,
    ingress,
    own_gateway,
    reference_grant,
    virtual_service,
)
from tests.integration.external_dns import ENDPOINT_CRD
from tests.integration.test_edge_objects import module
from tests.localmesh import istio_install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT
from tests.unit.edge.http01.test_routes import answer
from tests.unit.edge.objects import http, https

FOLDER = Path(__file__).parents[2] / "manifests" / "components" / "edge"
CONTROLLERS = f"system:serviceaccount:cert-manager:{CONTROLLERS_ACCOUNT}"
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edge-admission}
rules:
- {apiGroups: [networking.istio.io], resources: [virtualservices, gateways], verbs: [create, update, patch, delete, get]}
- {apiGroups: [gateway.networking.k8s.io], resources: [httproutes, referencegrants], verbs: [create, patch, get]}
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [create, patch, get]}
- {apiGroups: [externaldns.k8s.io], resources: [dnsendpoints], verbs: [create, patch, get]}
- {apiGroups: [mesh-signer.dev], resources: [hostclaims], verbs: [create, delete, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: edge-admission}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edge-admission}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %s}, {apiGroup: rbac.authorization.k8s.io, kind: User, name: someone}]
"""
ROUTE = virtual_service(answer(), ("default", "shop"), ["istio-system"], redirect=True)
ROUTE["metadata"]["namespace"] = "default"
SOLVER = SolverService("cert-manager", SOLVER_SERVICE, SOLVER_PORT)
OWN_GATEWAY = own_gateway(answer(), "default", {"istio": "ingressgateway"})
HTTP_ROUTE = http_route(answer(), ("default", "shop"), ["http"], SOLVER)
GRANT = reference_grant(answer(), "default", SOLVER)
INGRESS = ingress(answer(), "cert-manager", "istio", SOLVER)
RECORD = dns_endpoint("_acme-challenge.a.example.com", {"u": "x" * 43}, "default")
HOST = "a.example.com"
USERS_GATEWAY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "users", "namespace": "default", "annotations": {ALLOW_REDIRECT_CHANGE: "true", "note": "x"}},
    "spec": {
        "selector": {"istio": "ingressgateway"},
        "servers": [https(HOST, "b.example.com", mode="MUTUAL"), http(HOST, "b.example.com", redirect=True)],
    },
}


def policies() -> str:
    files = [path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"]
    return yaml.safe_dump_all([one for path in files for one in yaml.safe_load_all(path.read_text())])


def definitions() -> list[dict[str, Any]]:
    """Istio's own definitions and those of the Gateway API, of what the controllers write."""
    rendered = istio_install.render({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"})
    names = ("virtualservices.networking.istio.io", "gateways.networking.istio.io")
    api = module("sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    files = [api / f"gateway.networking.k8s.io_{name}.yaml" for name in ("httproutes", "referencegrants")]
    return [
        *(one for one in rendered.objects if one["metadata"]["name"] in names),
        *(yaml.load(path.read_text(), yaml.CSafeLoader) for path in files),
        yaml.safe_load(ENDPOINT_CRD),
    ]
