"""A reverse proxy before Pebble that breaks answers as told: what no real CA does on demand.

It ends TLS with a certificate of its own authority and passes everything on under its own name, so that Pebble writes
the proxy's URLs. A rule is asked for each request and may answer in Pebble's place or change Pebble's answer.

Concurrency: one thread for each connection; rules are called there, one at a time. Each connection has one exchange.
"""

import contextlib
import dataclasses
import datetime as dt
import email.utils
import http.client
import http.server
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.localmesh.pebble import Pebble
from tests.localmesh.pki import Authority

PROBLEM = "application/problem+json"
_PASSED_ON = ("Content-Type", "Accept", "User-Agent", "Host")


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer, Pebble's or a made one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    # What is sent breaks off after so many bytes of the body, though its length was announced.
    cut_at: int | None = None
    # Seconds between the bytes of the body.
    drip: float = 0


Rule = Callable[[str, str], Reply | Callable[[Reply], Reply] | None]


def problem(status: int, code: str, detail: str = "a test says so", **headers: str) -> Reply:
    """An error as RFC 8555 has it; header names with _ for -."""
    body = {"type": f"urn:ietf:params:acme:error:{code}", "detail": detail, "status": status}
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, (("Content-Type", PROBLEM), *named), json.dumps(body).encode())


def http_date(at: dt.datetime) -> str:
    """Retry-After's other form."""
    return email.utils.format_datetime(at, usegmt=True)


def times(count: int, path: str, action: Reply | Callable[[Reply], Reply], method: str = "POST") -> Rule:
    """A rule for the first `count` requests whose path contains `path`."""
    left = [count]

    def rule(asked: str, at: str) -> Reply | Callable[[Reply], Reply] | None:
        if asked != method or path not in at or left[0] == 0:
            return None
        left[0] -= 1
        return action

    return rule


def edit(change: Callable[[Any], None]) -> Callable[[Reply], Reply]:
    """Change the JSON of Pebble's answer in place."""

    def apply(reply: Reply) -> Reply:
        found = json.loads(reply.body)
        change(found)
        return dataclasses.replace(reply, body=json.dumps(found).encode())

    return apply


class FaultyCA:
    """A context manager; `rule` may be set at any time, `seen` has (method, path, status) of each answer."""

    def __init__(self, pebble: Pebble) -> None:
        self.rule: Rule = lambda _method, _path: None
        self.seen: list[tuple[str, str, int]] = []
        self.authority = Authority("faulty")
        self._pebble = pebble
        self._trusting = ssl.create_default_context(cadata=pebble.authority.certificate.decode())
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        pair = self.authority.server("localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(pair.key + pair.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        self._server.context = context
        self.port: int = self._server.server_address[1]
        self.directory = f"https://localhost:{self.port}/dir"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        # A client on the loop that waits here cannot end a connection: that is done for it.
        self._server.hang_up()
        self._server.server_close()  # joins the connections' threads
        self._thread.join()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with proxy._lock:
                    action = proxy.rule(self.command, self.path)
                reply = action if isinstance(action, Reply) else proxy._ask(self, body)
                if action is not None and not isinstance(action, Reply):
                    reply = action(reply)
                proxy.seen.append((self.command, self.path, reply.status))
                proxy._send(self, reply)

            do_POST = do_GET  # noqa: N815 - the server calls these names
            do_HEAD = do_GET  # noqa: N815

        return Handler

    def _ask(self, request: http.server.BaseHTTPRequestHandler, body: bytes) -> Reply:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        far = http.client.HTTPSConnection("localhost", self._pebble.port, context=self._trusting, timeout=20)
        with contextlib.closing(far):
            far.request(request.command, request.path, body or None, headers)
            answer = far.getresponse()
            content = answer.read()
            kept = tuple((n, v) for n, v in answer.getheaders() if n not in ("Content-Length", "Connection", "Date"))
            return Reply(answer.status, kept, content)

    def _send(self, request: http.server.BaseHTTPRequestHandler, reply: Reply) -> None:
        request.send_response(reply.status)
        for name, value in reply.headers:
            request.send_header(name, value)
        if request.command != "HEAD":
            request.send_header("Content-Length", str(len(reply.body)))
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        if request.command == "HEAD":
            return
        body = reply.body if reply.cut_at is None else reply.body[: reply.cut_at]
        if not reply.drip:
            request.wfile.write(body)
            return
        for byte in body:
            if self._ended.wait(reply.drip):
                return
            request.wfile.write(bytes((byte,)))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    context: ssl.SSLContext

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def hang_up(self) -> None:
        """Shut the connections that are open, under whoever waits for them."""
        for plain in tuple(self._open):
            with contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        # Noted by whoever accepts, before its thread starts: once that has ended, `hang_up` knows of every connection.
        request.settimeout(20)
        plain = request.dup()
        self._open.add(plain)
        super().process_request((request, plain), client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a client that does not speak TLS must not stop the others.
        with self.context.wrap_socket(request[0], server_side=True) as secured:
            super().finish_request(secured, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection, in its own thread."""
        own, plain = request
        super().shutdown_request(own)
        self._open.discard(plain)
        plain.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the tests."""
