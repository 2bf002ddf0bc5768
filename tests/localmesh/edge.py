"""The edge of a mesh: an ingress gateway, an ACME server that reaches it as a public CA would, and DNS.

    mesh = Mesh()
    edge = Edge(mesh, controllers=CONTROLLERS)
    with mesh, edge:
        edge.cluster.apply(yaml.safe_dump_all([edge.issuer("letsencrypt"), edge.istio_gateway("shop", "shop.example.com")]))

Every name leads to the gateway until `edge.challenges.set_addresses` says otherwise.

What controllers find: a Pod that runs (podIP: the gateway's address), and its Service, whose public address is the same.
Nothing forwards for Services, so what would be dialled at the Service's port is dialled at the Pod's address and the
targetPort, as istiod resolves it; the DNS server is `edge.challenges.dns`, on a port of its own. Synchronous.
"""

import base64
import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import yaml

from tests.localmesh.build import find_program
from tests.localmesh.front import Front, Visit, curl, visit, visit_plain
from tests.localmesh.gateway import SELECTOR, IngressGateway
from tests.localmesh.mesh import Mesh
from tests.localmesh.pebble import ChallengeServer, Pebble
from tests.localmesh.processes import free_port
from tests.localmesh.workload import PORT

EDGE_PROGRAMS = ("pebble", "pebble-challtestsrv")
NETWORKING = "networking.istio.io/v1"
CONTROLLERS = "issuers,certificates,certificaterequests,acmeissuers,orders,challenges,gateways"
_NAMESPACE = "istio-system"
_CONTROLLERS = {"name": "mesh-signer", "component": "controllers"}


class Edge:
    """Everything in front of one mesh. `close` (or the end of `with`) ends what it started, but for the mesh."""

    def __init__(self, mesh: Mesh, *, controllers: str = "", **pebble: Any) -> None:
        """`controllers`: those that mesh-signer runs, with what they need to know of this place; `pebble`: its options."""
        self.mesh = mesh
        self.cluster = mesh.cluster
        self.challenges = ChallengeServer(mesh.cluster.folder, http=False)
        self.pebble = Pebble(mesh.cluster.folder, self.challenges, **pebble)
        self.solver_port = free_port()
        if controllers:
            mesh.replace_controllers(controllers, *mesh.options.controllers_options, *self.options())
        self._gateway: IngressGateway | None = None
        self._front: Front | None = None

    def options(self) -> tuple[str, ...]:
        """What the controllers are told of this place: its DNS server is on a port of its own, which no resolver asks.

        It is the only one for all names, and names no zones: records of DNS-01 are looked for there alone.
        """
        return (
            "--http01-check-dns=false",
            f"--recursive-nameservers={self.challenges.dns}",
            "--dns01-recursive-nameservers-only=true",
            f"--http01-solver-bind=127.0.0.1:{self.solver_port}",
        )

    def solver(self) -> dict[str, Any]:
        """The controllers' process as an endpoint of the Service that leads to their shared solver, in place of a Pod."""
        labels = {f"app.kubernetes.io/{key}": value for key, value in _CONTROLLERS.items()}
        return {
            "apiVersion": NETWORKING,
            "kind": "WorkloadEntry",
            "metadata": {"name": "mesh-signer-controllers", "namespace": "cert-manager"},
            "spec": {"address": "127.0.0.1", "labels": labels, "ports": {"http01-solver": self.solver_port}},
        }

    @property
    def gateway(self) -> IngressGateway:
        """The gateway that all names lead to."""
        assert self._gateway is not None, "start comes first"
        return self._gateway

    @property
    def root(self) -> bytes:
        """The root of the ACME server's certificates, PEM; a browser's trust store, so to say."""
        return self.pebble.root()

    def start(self) -> Self:
        """Bring it all up; returns when the gateway is ready."""
        for program in EDGE_PROGRAMS:
            find_program(program)
        self.cluster.apply(yaml.safe_dump(self.solver()))
        self._gateway = self.mesh.place_gateway()
        self.challenges.start()
        self.challenges.set_default_address(self.gateway.address)
        self.pebble.start()
        self._front = Front(self.gateway, self.challenges.http_port)
        self.mesh.wait_ready(self.gateway)
        return self

    @contextlib.contextmanager
    def front_of(self, gateway: IngressGateway) -> Iterator[None]:
        """Let the ACME server reach another gateway too, when DNS leads a name to it."""
        front = Front(gateway, self.challenges.http_port)
        try:
            yield
        finally:
            front.close()

    def close(self) -> None:
        """End it; may be called twice."""
        if self._front is not None:
            self._front.close()
            self._front = None
        self.pebble.kill()
        self.challenges.kill()
        if self._gateway in self.mesh.workloads:
            self.gateway.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def visit(self, host: str, path: str = "/") -> Visit:
        """GET https://host/, trusting the ACME server's root only."""
        return visit(self.gateway, host, self.root, path)

    def visit_plain(self, host: str, path: str = "/") -> Visit:
        """GET http://host/ without following a redirect."""
        return visit_plain(self.gateway, host, path)

    def curl(self, url: str) -> tuple[int, str]:
        """The same by the curl program, which follows redirects: exit status and output; (-1, "") without curl."""
        return curl(self.gateway, url, self.root)

    def issuer(self, name: str) -> dict[str, Any]:
        """A ClusterIssuer for the ACME server."""
        return acme_issuer(name, self.pebble)

    @staticmethod
    def istio_gateway(
        name: str, *hosts: str, namespace: str = _NAMESPACE, issuer: str = "", secret: str = "", redirect: bool = True
    ) -> dict[str, Any]:
        """A Gateway as people write it: https with a credentialName, and port 80, which redirects."""
        plain: dict[str, Any] = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts)}
        if redirect:
            plain["tls"] = {"httpsRedirect": True}
        secured = {
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": list(hosts),
            "tls": {"mode": "SIMPLE", "credentialName": secret or name},
        }
        return {
            "apiVersion": NETWORKING,
            "kind": "Gateway",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {"cert-manager.io/cluster-issuer": issuer} if issuer else {},
            },
            "spec": {"selector": SELECTOR, "servers": [secured, plain]},
        }

    @staticmethod
    def page(name: str, host: str, text: str, namespace: str = _NAMESPACE) -> dict[str, Any]:
        """A VirtualService of the host's people on the Gateway of that name; it takes every path."""
        answer = {"status": 200, "body": {"string": text}}
        return {
            "apiVersion": NETWORKING,
            "kind": "VirtualService",
            "metadata": {"name": f"page-{host.partition('.')[0]}", "namespace": namespace},
            "spec": {
                "hosts": [host],
                "gateways": [name],
                "http": [{"match": [{"uri": {"prefix": "/"}}], "directResponse": answer}],
            },
        }

    @staticmethod
    def route(name: str, host: str, service: str, namespace: str, own: str = "") -> dict[str, Any]:
        """A VirtualService on the Gateway of that name that leads a host to a workload, named as in httpbin.foo.

        `own` is part of its name, where several are on one Gateway.
        """
        destination = {"host": f"{service}.svc.cluster.local", "port": {"number": PORT}}
        return {
            "apiVersion": NETWORKING,
            "kind": "VirtualService",
            "metadata": {"name": f"route-{own or name}", "namespace": namespace},
            "spec": {"hosts": [host], "gateways": [name], "http": [{"route": [{"destination": destination}]}]},
        }


def acme_issuer(name: str, pebble: Pebble) -> dict[str, Any]:
    """A ClusterIssuer for an ACME server, as one for a public CA is written; its bundle is trusted for this CA only."""
    acme = {
        "server": pebble.directory,
        "email": "ops@example.com",
        "privateKeySecretRef": {"name": f"{name}-account"},
        "caBundle": base64.b64encode(pebble.authority.certificate).decode(),
        "solvers": [{"http01": {"ingress": {"class": "istio"}}}],
    }
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": name},
        "spec": {"acme": acme},
    }
