"""/metrics, /livez and /readyz: served on the loop, so that an answer proves that the loop turns.

Serves no other path, reads no body; listener.py bounds what all who ask may cost.
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from signer.observe.listener import Listener, answer, request_line

Checks = Mapping[str, Callable[[], str]]
"""By name: gives "" when all is well, else what is not, in one line."""

_TEXT = "text/plain; charset=utf-8"
METRICS_AGE = 0.25
"""Seconds for which a rendered /metrics is served again: rendering holds up the loop, and anybody may scrape."""


class HealthServer:
    """An async context manager; `port` is the real port once it is entered.

    `ready` are checks that keep us out of service, `live` those that ask for a restart; `remarks`, by the name of a check, say
    what is wrong though the work goes on. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        bind: str,
        registry: CollectorRegistry,
        *,
        ready: Checks,
        live: Checks,
        remarks: Checks = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = Listener(bind, self._answer)
        self.port = self._listener.port
        self._registry = registry
        self._clock = clock
        self._rendered = b""
        self._rendered_at = float("-inf")
        self._paths: Mapping[str, Callable[[], tuple[str, str, bytes]]] = {
            "/metrics": self._metrics,
            "/livez": lambda: _checked(live, {}),
            "/readyz": lambda: _checked(ready, remarks),
        }

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        self.port = self._listener.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.__aexit__()

    def _answer(self, head: bytes) -> bytes:
        asked = request_line(head)
        if asked is None:
            return answer("400 Bad Request", _TEXT, b"")
        method, target = asked
        tell = self._paths.get(target.partition("?")[0])
        if tell is None:
            return answer("404 Not Found", _TEXT, b"")
        if method not in ("GET", "HEAD"):
            return answer("405 Method Not Allowed", _TEXT, b"", fields=("Allow: GET, HEAD",))
        status, kind, body = tell()
        return answer(status, kind, body, bodiless=method == "HEAD")

    def _metrics(self) -> tuple[str, str, bytes]:
        now = self._clock()
        if now - self._rendered_at >= METRICS_AGE:
            self._rendered = generate_latest(self._registry)
            self._rendered_at = now
        return "200 OK", CONTENT_TYPE_LATEST, self._rendered


def _checked(checks: Checks, remarks: Checks) -> tuple[str, str, bytes]:
    lines = []
    for name, check in checks.items():
        defect = check()
        remark = remarks[name]() if name in remarks else ""
        lines.append(f"[-] {name}: {defect}" if defect else f"[+] {name}: {remark or 'ok'}")
    bad = any(line.startswith("[-]") for line in lines)
    return "503 Service Unavailable" if bad else "200 OK", _TEXT, ("\n".join(lines) + "\n").encode()
