"""/metrics, /livez and /readyz: one small HTTP server on the loop, so that an answer proves that the loop turns.

Serves no other path, reads no body.
"""

import time
from collections.abc import Callable, Mapping
from typing import Self

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Checks = Mapping[str, Callable[[], str]]
"""By name: gives "" when all is well, else what is not, in one line."""

METRICS_AGE = 0.25
"""Seconds for which a rendered /metrics is served again: rendering holds up the loop, and anybody may scrape."""


class HealthServer:
    """An async context manager; `port` is the real port once it is entered.

    `ready` are checks that keep us out of service, `live` those that ask for a restart. `clock` is monotonic, in
    seconds.
    """

    def __init__(
        self,
        bind: str,
        registry: CollectorRegistry,
        *,
        ready: Checks,
        live: Checks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, _, port = bind.rpartition(":")
        self._host = self._host.strip("[]") or "0.0.0.0"  # noqa: S104 - `:9402` means all addresses, as everywhere
        self.port = int(port)
        self._registry = registry
        self._ready = ready
        self._live = live
        self._clock = clock
        self._rendered = b""
        self._rendered_at = float("-inf")
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        now = self._clock()
        if now - self._rendered_at >= METRICS_AGE:
            self._rendered = generate_latest(self._registry)
            self._rendered_at = now
        return web.Response(body=self._rendered, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _livez(self, _request: web.Request) -> web.Response:
        return _answer(self._live)

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._ready)


def _answer(checks: Checks) -> web.Response:
    lines = []
    for name, check in checks.items():
        defect = check()
        lines.append(f"[-] {name}: {defect}" if defect else f"[+] {name}: ok")
    bad = any(line.startswith("[-]") for line in lines)
    return web.Response(text="\n".join(lines) + "\n", status=503 if bad else 200)
