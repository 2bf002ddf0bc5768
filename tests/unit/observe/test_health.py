"""/metrics, /livez and /readyz as a kubelet and a Prometheus ask for them."""

from collections.abc import Callable

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from signer.observe.health import HealthServer
from signer.observe.metrics import Metrics


async def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{server.port}{path}") as response,
    ):
        return response.status, await response.text(), response.headers["Content-Type"]


def nothing() -> str:
    return ""


def server(
    *, ready: Callable[[], str] = nothing, live: Callable[[], str] = nothing, remark: Callable[[], str] = nothing
) -> HealthServer:
    return HealthServer(
        "127.0.0.1:0",
        Metrics().registry,
        ready={"issuers": ready, "requests": lambda: ""},
        live={"watch": live},
        remarks={"requests": remark},
    )


async def test_well() -> None:
    """When all is well both answer 200, one line for each check."""
    async with server() as running:
        assert (await ask(running, "/readyz"))[:2] == (200, "[+] issuers: ok\n[+] requests: ok\n")
        assert (await ask(running, "/livez"))[:2] == (200, "[+] watch: ok\n")


async def test_not_ready() -> None:
    """A check that is not fulfilled makes it 503 and says why; being alive is another question."""
    trouble = ["not read yet"]
    async with server(ready=lambda: trouble[0]) as running:
        assert (await ask(running, "/readyz"))[:2] == (503, "[-] issuers: not read yet\n[+] requests: ok\n")
        assert (await ask(running, "/livez"))[0] == 200
        trouble[0] = ""
        assert (await ask(running, "/readyz"))[0] == 200


async def test_a_remark() -> None:
    """What is wrong though the work goes on is said, and keeps nobody out of service."""
    async with server(remark=lambda: "works, but slowly") as running:
        assert (await ask(running, "/readyz"))[:2] == (200, "[+] issuers: ok\n[+] requests: works, but slowly\n")


async def test_not_alive() -> None:
    """A process that should be started again says so on /livez."""
    async with server(live=lambda: "nothing was heard for 700 s") as running:
        assert (await ask(running, "/livez"))[:2] == (503, "[-] watch: nothing was heard for 700 s\n")


async def test_metrics() -> None:
    """/metrics is Prometheus' text format, with our own names and cert-manager's."""
    async with server() as running:
        status, text, kind = await ask(running, "/metrics")
        assert status == 200
        assert kind.startswith("text/plain; version=")
        assert "# HELP mesh_signer_requests_total" in text
        assert "# HELP certmanager_certificate_expiration_timestamp_seconds" in text
        assert "mesh_signer_build_info" in text


async def test_metrics_are_kept() -> None:
    """Within a quarter of a second the text that was rendered is served again, then it is rendered anew."""
    registry = CollectorRegistry()
    events = Counter("events", "What happened.", registry=registry)
    now = 100.0
    async with HealthServer("127.0.0.1:0", registry, ready={}, live={}, clock=lambda: now) as running:
        assert "events_total 0.0" in (await ask(running, "/metrics"))[1]
        events.inc()
        now = 100.2
        assert "events_total 0.0" in (await ask(running, "/metrics"))[1]
        now = 100.25
        assert "events_total 1.0" in (await ask(running, "/metrics"))[1]
        events.inc()
        now = 100.4
        assert "events_total 1.0" in (await ask(running, "/metrics"))[1]


@pytest.mark.parametrize(
    ("path", "method", "expected"), [("/", "GET", 404), ("/debug", "GET", 404), ("/livez", "POST", 405)]
)
async def test_nothing_else(path: str, method: str, expected: int) -> None:
    """No other path is served and nothing can be sent."""
    async with server() as running:
        assert (await ask(running, path, method))[0] == expected


async def test_ends() -> None:
    """After its end the port is free."""
    async with server() as running:
        port = running.port
    again = HealthServer(f"127.0.0.1:{port}", Metrics().registry, ready={}, live={})
    async with again:
        assert again.port == port


@pytest.mark.parametrize(
    ("bind", "host"), [("127.0.0.1:9402", "127.0.0.1"), (":9402", "0.0.0.0"), ("[::1]:9402", "::1")]
)
def test_bind(bind: str, host: str) -> None:
    """An address without a host means all of them, and IPv6 stands in brackets."""
    made = HealthServer(bind, Metrics().registry, ready={}, live={})
    assert (made._listener.host, made.port) == (host, 9402)
