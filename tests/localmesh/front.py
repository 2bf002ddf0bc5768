"""What the internet does before a gateway: the way of an ACME server's questions, and people who visit a host.

Pebble asks on a port of its own, names that port in the Host header, and follows a redirect to the port that it names.
Public CAs ask on port 80, name none, and go on at 443. `Front` stands between the two: it takes the port out of Host, and
puts the gateway's port for 443 into a redirect.

Concurrency: one thread takes connections, and each connection has a thread of its own; `visit` is synchronous.
"""

import dataclasses
import http.client
import http.server
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cryptography import x509

_TIMEOUT = 10.0


class Entrance(Protocol):
    """A gateway as the internet sees it."""

    @property
    def address(self) -> str:
        """Where it is."""

    @property
    def ports(self) -> Mapping[int, int]:
        """Where it listens for a Gateway's ports 80 and 443."""


class Front:
    """Port 80 of a gateway as Pebble sees it: on the gateway's address, at `port`."""

    def __init__(self, gateway: Entrance, port: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _TIMEOUT

            def do_GET(self) -> None:
                self.close_connection = True
                host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
                onward = http.client.HTTPConnection(gateway.address, gateway.ports[80], timeout=_TIMEOUT)
                try:
                    onward.request("GET", self.path, headers={"Host": host, "Connection": "close"})
                    answer = onward.getresponse()
                    body = answer.read()
                except (OSError, http.client.HTTPException):
                    return  # as the gateway: no answer
                finally:
                    onward.close()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() == "location":
                        self.send_header(name, with_port(value, gateway.ports[443]))
                    elif name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((gateway.address, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name=f"front of {gateway}", daemon=True).start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()


def with_port(location: str, port: int) -> str:
    """An https address that names no port, with this one; anything else as it is."""
    parts = urllib.parse.urlsplit(location)
    if parts.scheme != "https" or ":" in parts.netloc:
        return location
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))


@dataclasses.dataclass(frozen=True)
class Visit:
    """What a person sees who opens a host. `status` 0: no answer at all; `error` says why.

    `certificate` is what the gateway shows, trusted or not; None when the connection was refused or reset.
    """

    status: int
    body: str
    trusted: bool
    certificate: x509.Certificate | None
    error: str = ""
    location: str = ""


def visit(gateway: Entrance, host: str, root: bytes, path: str = "/") -> Visit:
    """GET https://host/ at a gateway; trusts `root` (PEM) only. What is not trusted is not asked anything."""
    trusting = ssl.create_default_context(cadata=root.decode())
    shown, trusted, error = None, False, ""
    for context in (trusting, _believing_all()):
        try:
            with (
                socket.create_connection((gateway.address, gateway.ports[443]), timeout=_TIMEOUT) as plain,
                context.wrap_socket(plain, server_hostname=host) as secured,
            ):
                shown = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
                if context is not trusting:
                    break
                trusted = True
                secured.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = http.client.HTTPResponse(secured, method="GET")
                answer.begin()
                return Visit(answer.status, answer.read().decode(errors="replace"), trusted=True, certificate=shown)
        except ssl.SSLCertVerificationError as problem:
            error = problem.verify_message
        except (OSError, http.client.HTTPException) as problem:
            error = error or f"{type(problem).__name__}: {problem}"
            if trusted:
                break
    return Visit(0, "", trusted=trusted, certificate=shown, error=error)


def visit_plain(gateway: Entrance, host: str, path: str = "/") -> Visit:
    """GET http://host/ at a gateway; redirects are shown, not followed."""
    connection = http.client.HTTPConnection(gateway.address, gateway.ports[80], timeout=_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return Visit(
            answer.status,
            body,
            trusted=False,
            certificate=None,
            location=answer.getheader("Location") or "",
        )
    except (OSError, http.client.HTTPException) as problem:
        return Visit(0, "", trusted=False, certificate=None, error=f"{type(problem).__name__}: {problem}")
    finally:
        connection.close()


def _believing_all() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def curl(gateway: Entrance, url: str, root: bytes) -> tuple[int, str]:
    """What the curl program says: its exit status, and its output or complaint; (-1, "") where there is none.

    The address and the ports of the gateway stand in for DNS and for 80 and 443; nothing else differs from a real visit.
    """
    program = shutil.which("curl")
    if program is None:
        return -1, ""
    host = urllib.parse.urlsplit(url).hostname
    with tempfile.TemporaryDirectory() as folder:
        trusted = Path(folder, "root.pem")
        trusted.write_bytes(root)
        command = [program, "--silent", "--show-error", "--location", "--noproxy", "*", "--max-time", "15"]
        for public, port in gateway.ports.items():
            command += ["--connect-to", f"{host}:{public}:{gateway.address}:{port}"]
        command += ["--cacert", str(trusted), "--write-out", "\n%{http_code}", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).strip()
