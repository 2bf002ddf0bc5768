"""Bridges on the real mesh: one shared gateway, two tenants, and what a thief in one of them writes. Synchronous."""

import base64
import json
from collections.abc import Callable
from typing import Any

import yaml
from cryptography import x509

from tests.localmesh.asking import Answer, get
from tests.localmesh.cluster import Cluster
from tests.localmesh.gateway import SELECTOR, IngressGateway
from tests.localmesh.istio_install import NAMESPACE
from tests.localmesh.mesh import Mesh

PATIENCE = 60.0


def gateway_of(namespace: str, name: str, *hosts: str) -> dict[str, Any]:
    """A Gateway of a namespace's on the shared gateway, in plain HTTP."""
    server = {"port": {"number": 80, "name": f"http-{name}", "protocol": "HTTP"}, "hosts": list(hosts)}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": SELECTOR, "servers": [server]},
    }


def route(namespace: str, name: str, host: str, to: str, gateway: str = "", **rule: Any) -> dict[str, Any]:
    """A VirtualService that leads a public host to a service."""
    http = {"route": [{"destination": {"host": to, "port": {"number": 8000}}}], **rule}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [host], "gateways": [gateway or f"{namespace}/{name}"], "http": [http]},
    }


def public(tenant: str) -> str:
    """The public host of a tenant's httpbin."""
    return f"{tenant}.example.com"


class Crossing:
    """The shared gateway of a mesh, and what is asked of it."""

    def __init__(self, mesh: Mesh, gateway: IngressGateway) -> None:
        self.mesh = mesh
        self.gateway = gateway

    @property
    def cluster(self) -> Cluster:
        return self.mesh.cluster

    def apply(self, *documents: dict[str, Any]) -> None:
        self.cluster.apply(yaml.safe_dump_all(documents))

    def delete(self, *documents: dict[str, Any]) -> None:
        self.cluster.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(documents))

    def visit(self, host: str, path: str = "/html") -> Answer:
        """What somebody in the world outside is answered."""
        return get(self.gateway.address, self.gateway.ports[80], path, host, 15)

    def until(self, what: str, answered: Callable[[Answer], bool], host: str) -> Answer:
        """Visit until the answer is as expected; returns it."""
        last: list[Answer] = []

        def ask() -> Answer | None:
            last[:] = [self.visit(host)]
            return last[0] if answered(last[0]) else None

        try:
            found: Answer = self.cluster.wait_for(ask, what, PATIENCE)
        except Exception as error:
            raise AssertionError(f"{error}; last answer: {last and last[0]}") from error
        return found

    def open(self, tenant: str) -> None:
        """Wait until a tenant's httpbin answers through the gateway."""
        found = self.until(f"httpbin.{tenant} through the gateway", lambda one: one.status == 200, public(tenant))
        assert found.text.splitlines()[-1] == f"httpbin.{tenant}"

    def serial(self, tenant: str) -> int:
        """The serial number of the gateway's certificate for a tenant."""
        name = f"mesh-signer-bridge-{tenant}.ingress"
        found = self.cluster.get("secret", name, "-n", NAMESPACE)["data"]["tls.crt"]
        return x509.load_pem_x509_certificates(base64.b64decode(found))[0].serial_number

    def shut(self, host: str) -> Answer:
        """Wait until the gateway has a route for this host and is not let in."""
        return self.until(f"{host} refused", lambda one: one.status == 503, host)

    def write_as(self, user: str, *documents: dict[str, Any]) -> str:
        """Create objects as somebody else; "" or what the API server said."""
        for one in documents:
            try:
                self.cluster.kubectl("apply", f"--as={user}", "-f", "-", input=json.dumps(one))
            except Exception as error:  # noqa: BLE001 - what it says is what is asked for
                return str(error)
        return ""
