"""DNS products (dns_products.py) behind https on loopback, one server for all, with faults that are scripted.

A product's origin is led to `https://localhost:PORT/ORIGIN` by `elsewhere`; a thread answers. `fault` is asked before each
answer, and may give another one, or cut the connection.
"""

import ssl
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from signer.edge.dns01.apis.steps import Call
from tests.fakes.dns_products import Product
from tests.localmesh.pki import Authority

Fault = Callable[[BaseHTTPRequestHandler], bool]
"""Answers in place of the product, and tells whether it did."""


class Served:
    """A context manager: one product."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.fault: Fault = lambda _: False
        authority = Authority("dns-products")
        self.roots = authority.certificate
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        pair = authority.server("127.0.0.1")
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(pair.key + pair.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if outer.fault(self):
                    return
                number, _, path = self.path[1:].partition("/")
                origin = outer.product.origins()[int(number)]
                call = Call(self.command, f"{origin}/{path}", dict(self.headers), body)
                with lock:
                    reply = outer.product.answer(call)
                self.say(reply.status, reply.body)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names are the base's

            def say(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """No word on stderr."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that went away is none of our faults."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="dns-products")

    @property
    def elsewhere(self) -> dict[str, str]:
        """Where the product's origins are here."""
        here = f"https://127.0.0.1:{self._server.server_port}"
        return {origin: f"{here}/{number}" for number, origin in enumerate(self.product.origins())}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
