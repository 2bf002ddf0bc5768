"""What tenants write against the admission policies of bridges, and what the API server says to it. Synchronous."""

import contextlib
import json
from typing import Any

from tests.localmesh import LocalCluster, LocalMeshError, kubeconfig
from tests.localmesh.api import Api, Refused
from tests.localmesh.signer import CONTROLLERS_ACCOUNT

FOO = "httpbin.foo.svc.cluster.local"
CREDENTIAL = "mesh-signer-bridge-foo.ingress"
CONTROLLERS = f"system:serviceaccount:cert-manager:{CONTROLLERS_ACCOUNT}"
NETWORKING = "networking.istio.io/v1"


def refusal(cluster: LocalCluster, user: str, one: dict[str, Any]) -> str:
    """What the API server says against an object; "" for nothing."""
    try:
        cluster.kubectl("create", "--dry-run=server", f"--as={user}", "-f", "-", input=json.dumps(one))
    except LocalMeshError as error:
        return str(error)
    return ""


def named(kind: str, spec: dict[str, Any], namespace: str = "bar", name: str = "mine", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": NETWORKING,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **more},
        "spec": spec,
    }


def virtual_service(host: str = "", namespace: str = "bar", **changes: Any) -> dict[str, Any]:
    rule = {"route": [{"destination": {"host": host}}]}
    spec = {"hosts": ["a.example.com"], "gateways": ["mine"], "http": [rule], **changes}
    return named("VirtualService", {key: value for key, value in spec.items() if value is not None}, namespace)


def destination_rule(credential: str = "", namespace: str = "bar", **tls: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"host": "elsewhere.example.com"}
    if credential or tls:
        spec["trafficPolicy"] = {"tls": {"mode": "MUTUAL", "credentialName": credential, **tls}}
    return named("DestinationRule", spec, namespace)


def gateway(**tls: Any) -> dict[str, Any]:
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["a.example.com"],
        "tls": {"mode": "SIMPLE", **tls},
    }
    return named("Gateway", {"selector": {"istio": "ingressgateway"}, "servers": [server]})


def service_entry(*hosts: str) -> dict[str, Any]:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    return named("ServiceEntry", {"hosts": list(hosts), "ports": [port], "resolution": "DNS"})


def external_name(name: str) -> dict[str, Any]:
    return named("Service", {"type": "ExternalName", "externalName": name}) | {"apiVersion": "v1"}


def refused(cluster: LocalCluster, user: str, path: str, *objects: dict[str, Any]) -> list[str]:
    """What the API server says against each, "" for nothing: by plain requests, as there are many."""
    found = []
    with contextlib.closing(Api(kubeconfig.read(cluster.kubeconfig()))) as api:
        for one in objects:
            try:
                api.call("POST", f"{path}?dryRun=All", one, user=user)
                found.append("")
            except Refused as error:
                found.append(error.message)
    return found
