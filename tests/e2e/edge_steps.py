"""What tests of the edge do again and again: apply, visit until a host is trusted, and see that nothing was reset."""

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import yaml

from signer.api.tls_secret import is_placeholder
from tests.localmesh.edge import Edge
from tests.localmesh.front import Visit, visit, visit_plain
from tests.localmesh.gateway import IngressGateway

PATIENCE = 60.0
CHALLENGES = "challenges.acme.cert-manager.io"


class EdgeWithDNS(Edge):
    """An edge whose controllers ask its DNS server, as those of a cluster ask a public resolver."""

    def options(self) -> tuple[str, ...]:
        """What the controllers are told of this place."""
        return tuple(one for one in super().options() if not one.startswith("--http01-check-dns"))


def apply(edge: Edge, *documents: dict[str, Any]) -> None:
    """Apply these objects, as kubectl does."""
    edge.cluster.apply(yaml.safe_dump_all(documents))


def wait_trusted(edge: Edge, host: str, status: int = 200) -> None:
    """Wait until a client that trusts the ACME server's root gets this status from a host."""

    def there() -> bool:
        return edge.visit(host).status == status

    edge.cluster.wait_for(there, f"{host} served and trusted", PATIENCE)


def serial(edge: Edge, host: str) -> int:
    """The serial number of the certificate that the gateway shows."""
    shown = edge.visit(host).certificate
    assert shown is not None
    return shown.serial_number


def names(edge: Edge, kinds: str) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of all objects of some kinds."""
    found = (one["metadata"] | {"kind": one["kind"]} for one in edge.cluster.get(kinds, "-A")["items"])
    return {(one["kind"], one["namespace"], one["name"]) for one in found}


def challenge(edge: Edge, host: str) -> dict[str, Any]:
    """The status of a host's Challenge; {} when there is none."""
    found = edge.cluster.get(CHALLENGES, "-A")["items"]
    return next((one.get("status", {}) for one in found if one["spec"]["dnsName"] == host), {})


def reason(edge: Edge, host: str) -> str:
    """What the Challenge of a host says; "" when there is none, or it says nothing."""
    return str(challenge(edge, host).get("reason", ""))


def served_condition(edge: Edge, host: str) -> dict[str, Any]:
    """The condition Served of a host's claim; {} when there is none."""
    claims = edge.cluster.get("hostclaims.mesh-signer.dev")["items"]
    found = (one.get("status", {}).get("conditions", []) for one in claims if one["metadata"]["name"] == host)
    return next((one for listed in found for one in listed if one["type"] == "Served"), {})


class Trail:
    """Visits of one host, one after the other, by both ports. From the first certificate on, none may be reset."""

    def __init__(self, gateway: IngressGateway, host: str, root: bytes) -> None:
        self.gateway = gateway
        self.host = host
        self.root = root
        self.seen: list[Visit] = []

    def visit(self, path: str = "/") -> Visit:
        """Visit once; fails when what was served before is served no more."""
        one = visit(self.gateway, self.host, self.root, path)
        if self.seen and self.seen[-1].certificate is not None:
            assert one.certificate is not None, f"visit {len(self.seen)}: {one.error}"
            plain = visit_plain(self.gateway, self.host, path)
            assert (plain.status, plain.location) == (301, f"https://{self.host}{path}"), plain.error
            assert one.trusted or not self.seen[-1].trusted, "trusted no more"
        self.seen.append(one)
        return one

    def until(self, what: str, fits: Callable[[Visit], bool], path: str = "/") -> Visit:
        """Visit until it is as it should be."""
        deadline = time.monotonic() + PATIENCE
        while not fits(one := self.visit(path)):
            assert time.monotonic() < deadline, f"{self.host}: no {what}: {one}"
            time.sleep(0.05)
        return one

    def until_placeholder(self) -> Visit:
        """Visit until there is a placeholder."""
        return self.until("placeholder", lambda one: one.certificate is not None and is_placeholder(one.certificate))

    def until_trusted(self, path: str = "/", status: int = 200) -> Visit:
        """Visit until the chain is trusted and the page is there."""
        return self.until("trusted page", lambda one: one.trusted and one.status == status, path)


@contextlib.contextmanager
def backend(edge: Edge, service: str, namespace: str, port: int, address: str, text: str) -> Iterator[None]:
    """A plain HTTP server of the test's own as the Service of this name, at a loopback address and any port."""
    body = text.encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
    thread.start()
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": service, "namespace": namespace},
        "spec": {
            "hosts": [f"{service}.{namespace}.svc.cluster.local"],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": port, "protocol": "HTTP", "name": "http"}],
            "endpoints": [{"address": address, "ports": {"http": server.server_port}}],
        },
    }
    apply(edge, entry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
