"""The edge of a mesh: an ingress gateway, an ACME server that reaches it as a public CA would, and DNS.

    with Mesh() as mesh, Edge(mesh) as edge:
        edge.cluster.apply(yaml.safe_dump_all([edge.issuer("letsencrypt"), edge.istio_gateway("shop", "shop.example.com")]))

Every name leads to the gateway until `edge.challenges.set_addresses` says otherwise. Synchronous.
"""

import base64
from types import TracebackType
from typing import Any, Self

from tests.localmesh.build import find_program
from tests.localmesh.front import Front, Visit, curl, visit, visit_plain
from tests.localmesh.gateway import SELECTOR, IngressGateway
from tests.localmesh.mesh import Mesh
from tests.localmesh.pebble import ChallengeServer, Pebble

EDGE_PROGRAMS = ("pebble", "pebble-challtestsrv")
NETWORKING = "networking.istio.io/v1"
_NAMESPACE = "istio-system"


class Edge:
    """Everything in front of one mesh. `close` (or the end of `with`) ends what it started, but for the mesh."""

    def __init__(self, mesh: Mesh, **pebble: Any) -> None:
        """`pebble` are the options of Pebble."""
        self.mesh = mesh
        self.cluster = mesh.cluster
        self.challenges = ChallengeServer(mesh.cluster.folder, http=False)
        self.pebble = Pebble(mesh.cluster.folder, self.challenges, **pebble)
        self._gateway: IngressGateway | None = None
        self._front: Front | None = None

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
        self._gateway = self.mesh.place_gateway()
        self.challenges.start()
        self.challenges.set_default_address(self.gateway.address)
        self.pebble.start()
        self._front = Front(self.gateway, self.challenges.http_port)
        self.mesh.wait_ready(self.gateway)
        return self

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
        """A ClusterIssuer for the ACME server, as one for a public CA is written; its bundle is trusted for this CA only."""
        acme = {
            "server": self.pebble.directory,
            "email": "ops@example.com",
            "privateKeySecretRef": {"name": f"{name}-account"},
            "caBundle": _base64(self.pebble.authority.certificate),
            "solvers": [{"http01": {"ingress": {"class": "istio"}}}],
        }
        return {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": name},
            "spec": {"acme": acme},
        }

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


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
