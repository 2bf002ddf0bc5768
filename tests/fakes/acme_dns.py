"""An acme-dns server, small: one account, whose two newest values are in the DNS. No registry of Go modules has the real one.

Answers as its README says (https://github.com/joohoi/acme-dns#api). A thread; `answers` may be set to refuse.
"""

import hmac
import json
import ssl
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.localmesh.pki import Authority


class AcmeDns:
    """A context manager. `publish` is given the values of `fulldomain` each time that they change, the newest first."""

    def __init__(self, fulldomain: str, publish: Callable[[list[str]], None]) -> None:
        self.account = {
            "username": "eabcdb41-d89f-4580-826f-3e62e9755ef2",
            "password": "pbAXVjlIOE01xbut7YnAbkhMQIkcwoHO0ek2j4Q0",
            "fulldomain": fulldomain,
            "subdomain": fulldomain.partition(".")[0],
            "allowfrom": [],
        }
        self.updates: list[str] = []
        self.status = 200
        self._publish = publish
        self._values: list[str] = []
        self._lock = threading.Lock()
        authority = Authority("acme-dns")
        self.roots = authority.certificate
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        pair = authority.server("127.0.0.1")
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(pair.key + pair.certificate)
            file.flush()
            context.load_cert_chain(file.name)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = outer._updated(self.path, dict(self.headers), json.loads(body))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                """No word on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="acme-dns")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_port}"

    def accounts(self, *hosts: str) -> str:
        """A Secret's value: this account for each of the hosts."""
        return json.dumps(dict.fromkeys(hosts, self.account))

    def _updated(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if path != "/update":
            return 404, {"error": "not_found"}
        given = (headers.get("X-Api-User", ""), headers.get("X-Api-Key", ""))
        wanted = (self.account["username"], self.account["password"])
        if not all(hmac.compare_digest(one, str(other)) for one, other in zip(given, wanted, strict=True)):
            return 401, {"error": "forbidden"}
        if (
            body.keys() != {"subdomain", "txt"}
            or body["subdomain"] != self.account["subdomain"]
            or len(body["txt"]) != 43
        ):
            return 400, {"error": "bad_txt"}
        if self.status != 200:
            return self.status, {"error": "a text of the server's"}
        with self._lock:
            self.updates.append(body["txt"])
            self._values = [body["txt"], *self._values][:2]
            self._publish(self._values)
        return 200, {"txt": body["txt"]}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
