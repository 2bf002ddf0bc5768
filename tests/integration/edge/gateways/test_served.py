"""Gateways are asked what they serve: a TLS server of the test's own stands for a gateway's Pod."""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from signer.api.pod import PODS
from signer.api.secret import SECRETS
from signer.edge.gateways.placeholder import new_placeholder
from signer.edge.host import Host
from signer.kube.resource import Resource
from tests.integration.edge.gateway_world import INGRESS_LABELS, EdgeWorld, edge_world, https
from tests.integration.slow_controllers import Json, condition
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration
SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
_PAUSE = 0.2


class Server:
    """Shakes hands with whoever comes, with what `serve` was given last; before that it is not there."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "served.pem"
        self._context: ssl.SSLContext | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(_PAUSE)
        self.port: int = self._listening.getsockname()[1]
        self.names: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def serve(self, certificate: bytes, key: bytes) -> None:
        self._file.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._file)
        context.sni_callback = lambda _socket, name, _context: self.names.add(name)
        self._context = context

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                plain, _ = self._listening.accept()
                with plain:
                    plain.settimeout(5)
                    if self._context is not None:
                        with self._context.wrap_socket(plain, server_side=True):
                            pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def here(cluster: Cluster, namespace: str, server: Server) -> AsyncIterator[EdgeWorld]:
    async with edge_world(cluster, namespace) as found:
        await found.pod(namespace)
        status = {"status": {"phase": "Running", "podIP": "127.0.0.1"}}
        await found.client.patch(PODS, "gateway", status, namespace=namespace, subresource="status")
        ports = [{"name": "https", "port": 443, "targetPort": server.port}]
        await found.make(SERVICES, "gateway", {"spec": {"selector": INGRESS_LABELS, "ports": ports}}, namespace)
        yield found


async def said(here: EdgeWorld, host: str, status: str) -> Json:
    """Wait for the condition on the host's claim."""

    async def ask() -> Json | None:
        found = condition(await here.claim(host) or {}, "Served")
        return found if found is not None and found["status"] == status else None

    found: Json = await here.until(f"Served {status}", ask)
    return found


def pair(secret: Json) -> tuple[bytes, bytes]:
    return base64.b64decode(secret["data"]["tls.crt"]), base64.b64decode(secret["data"]["tls.key"])


async def test_what_a_gateway_serves(here: EdgeWorld, server: Server) -> None:
    """Another certificate than the Secret's is told after a minute; the right one as soon as it is seen, asked for by name."""
    host = f"shop.{here.namespace}.example.com"
    placeholder = new_placeholder([Host(host)], here.now())
    server.serve(placeholder["tls.crt"], placeholder["tls.key"])
    await here.gateway(https(host))
    leaf = await here.served("shop-tls", host)

    async def asked() -> bool:
        return host in server.names

    await here.until("the gateway asked", asked)
    assert condition(await here.claim(host) or {}, "Served") is None
    here.ahead = timedelta(minutes=2)
    assert (await said(here, host, "False"))["reason"] == "AnotherCertificate"
    assert f"{leaf.serial_number:x}" in await here.told("CertificateNotServed")
    assert here.metrics.edge_served.labels("other")._value.get() == 1
    secret = await here.find(SECRETS, "shop-tls")
    assert secret is not None
    server.serve(*pair(secret))
    # Whoever touches the Secret has it asked at once, and not in half a minute.
    touched = {"metadata": {"annotations": {"test/touched": "1"}}}
    await here.client.patch(SECRETS, "shop-tls", touched, namespace=here.namespace)
    assert f"{leaf.serial_number:x}" in (await said(here, host, "True"))["message"]
    assert "1 Pod" in await here.told("CertificateServed")


async def test_nobody_listens(here: EdgeWorld, server: Server) -> None:
    """A Pod that takes no connection is told, and the certificate is issued all the same."""
    server.close()
    host = f"shop.{here.namespace}.example.com"
    await here.gateway(https(host))
    await here.served("shop-tls", host)
    here.ahead = timedelta(minutes=2)
    found = await said(here, host, "False")
    assert found["reason"] == "NotReached"
    assert "127.0.0.1: refused" in found["message"]
