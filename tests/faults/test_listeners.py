"""Connections that ask for nothing: thousands of them cost a process little, and honest callers do not notice."""

import contextlib
import http.client
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.conftest import Start
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.processes import free_port
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SignerProcess

HALF_OPEN = 3000
GROWTH = 20 << 20
"""Bytes by which a process may grow."""


def resident(process: SignerProcess) -> int:
    """Bytes of memory that a process holds now."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def held(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Hold connections, each with the largest head that is not yet too large, and never its end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    said = b"GET /livez HTTP/1.1\r\nX: " + b"x" * 8100
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=30)
            found.append(one)
            with contextlib.suppress(ConnectionError):
                one.sendall(said)
        yield found
    finally:
        for one in found:
            one.close()


def test_half_open_connections(start: Start, place: Place, issuer: str) -> None:
    """3,000 half-sent requests: under 20 MB more, probes are answered all the time, and requests are signed."""
    process = start()
    assert process.alive()[0]
    before = resident(process)
    with held(process.port, HALF_OPEN):
        largest = resident(process)
        for _ in range(20):
            assert process.alive()[0]
            assert process.ready()[0]
            largest = max(largest, resident(process))
            time.sleep(0.05)
        place.issue(issuer)
        with held(process.port, HALF_OPEN):
            assert process.alive()[0]
            largest = max(largest, resident(process))
    assert largest - before < GROWTH
    assert process.alive()[0]


def test_half_open_connections_to_the_solver(start: Start, breakable: LocalCluster) -> None:
    """The port that answers challenges costs as little, and whoever asks and goes is answered all the time."""
    port = free_port()
    process = start(
        "--controllers=acmeissuers,orders,challenges",
        f"--http01-solver-bind=127.0.0.1:{port}",
        kubeconfig=breakable.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT),
    )

    def asked() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/.well-known/acme-challenge/x", headers={"Host": "a.example.com"})
            return connection.getresponse().status
        finally:
            connection.close()

    assert asked() == 404
    before = largest = resident(process)
    with held(port, HALF_OPEN):
        for _ in range(20):
            assert asked() == 404
            assert process.alive()[0]
            largest = max(largest, resident(process))
    assert largest - before < GROWTH
    assert asked() == 404
