"""One https exchange with one CA: the only place of `issuers` that opens a connection.

The CA may be a stranger's. So: its one origin only, no redirects, no proxy, an address that the rule allows, at most
1 MiB, and 30 seconds for everything from the first connect to the last byte. `requests`, which the `acme` library uses,
has timeouts for each read only, follows redirects, and judges no address; hence http.client.

Not thread-safe: one Transport for one thread, with one connection that is kept for some seconds.
"""

import contextlib
import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from issuers.acme.errors import ForbiddenTarget, MalformedAnswer, Unreachable
from issuers.acme.targets import AddressRule, Origin, origin, same_origin

USER_AGENT = "mesh-signer (+https://mesh-signer.dev)"
MAX_BYTES = 1 << 20
SECONDS = 30.0
# For one of several addresses, so that a dead one leaves time for the next.
_CONNECT_SECONDS = 10.0
# A server closes an idle connection at some time; one that is older may close under our request.
_IDLE_SECONDS = 10.0
# As cert-manager counts what was not answered (pkg/acme/client/http.go).
NO_ANSWER = 999


class Exchange(NamedTuple):
    """One exchange that ended, well or not: `action` is what it was for, `status` NO_ANSWER when none came."""

    host: str
    action: str
    method: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Server:
    """A CA as an issuer names it.

    Attributes:
        directory: the https URL of its directory.
        addresses: which of its addresses may be dialled.
        ca_bundle: PEM of the roots to trust in place of the system's; None for the system's.
        verify: False trusts any certificate: for tests and ClusterIssuers with skipTLSVerify only.
        seconds: for one exchange.
        user_agent: who we are; RFC 8555, section 6.1, demands one.
        observe: told of each exchange, in the thread that made it; it must not raise.
    """

    directory: str
    addresses: AddressRule = field(default_factory=AddressRule)
    ca_bundle: bytes | None = None
    verify: bool = True
    seconds: float = SECONDS
    user_agent: str = USER_AGENT
    observe: Callable[["Exchange"], None] | None = None

    def ssl_context(self) -> ssl.SSLContext:
        """How its certificate is checked. Raises ForbiddenTarget for a bundle that is none."""
        try:
            bundle = None if self.ca_bundle is None else self.ca_bundle.decode("ascii")
            context = ssl.create_default_context(cadata=bundle)
        except (ValueError, ssl.SSLError):
            raise ForbiddenTarget("caBundle: not certificates in PEM") from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers` is case-insensitive."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


class Transport:
    """Exchanges with the origin of one directory."""

    def __init__(self, server: Server) -> None:
        """Raises ForbiddenTarget when the directory's URL or the CA bundle cannot be used."""
        self.origin: Origin = origin(server.directory)
        self._server = server
        self._context = server.ssl_context()
        self._connection: _Connection | None = None
        self.action = ""
        """What the next exchanges are for, for `Server.observe`."""

    def exchange(
        self, method: str, url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request and read its answer, whatever its status but a redirect. Nothing is ever sent twice.

        Raises ForbiddenTarget before anything is sent, Unreachable, or MalformedAnswer.
        """
        same_origin(url, self.origin, "the URL")
        began, status = time.monotonic(), NO_ANSWER
        try:
            answer = self._exchange(method, url, body, headers)
            status = answer.status
        finally:
            if self._server.observe is not None:
                seconds = time.monotonic() - began
                self._server.observe(Exchange(self.origin.host, self.action, method, status, seconds))
        if 300 <= answer.status < 400:
            raise MalformedAnswer(f"{self.origin} answered with a redirect ({answer.status}); none is followed")
        return answer

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.end()
            self._connection = None

    def _exchange(self, method: str, url: str, body: bytes | None, headers: dict[str, str] | None) -> Answer:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"User-Agent": self._server.user_agent, "Accept-Encoding": "identity", **(headers or {})}
        with _Watch(self._server.seconds) as watch:
            try:
                connection = self._ready(watch)
                connection.request(method, target, body, sent)
                answer = self._read(connection.getresponse())
                connection.used = time.monotonic()
            except BaseException as error:
                self.close()
                if isinstance(error, OSError | http.client.HTTPException):
                    told = f"no answer within {self._server.seconds:.0f} s" if watch.fired else _cause(error)
                    raise Unreachable(f"{self.origin}: {told}") from None
                raise
        return answer

    def _ready(self, watch: "_Watch") -> "_Connection":
        if self._connection is not None and not self._connection.reusable():
            self.close()
        if self._connection is None:
            self._connection = _Connection(self.origin, self._context, self._server.addresses)
        self._connection.watch = watch
        if self._connection.plain is not None:
            watch.attach(self._connection.plain)
        return self._connection

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise MalformedAnswer(f"{self.origin}: a compressed answer, none was asked for")
        if response.length is None and not response.chunked:
            raise MalformedAnswer(f"{self.origin}: an answer without a length could be cut off unnoticed")
        parts: list[bytes] = []
        size = 0
        while part := response.read(64 << 10):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise MalformedAnswer(f"{self.origin}: an answer of more than {MAX_BYTES} bytes")
        if response.length:
            raise http.client.IncompleteRead(b"")
        if response.will_close:
            self.close()
        return Answer(response.status, response.headers, b"".join(parts))


class _Connection(http.client.HTTPSConnection):
    """One connection, to an address that the rule allows."""

    def __init__(self, origin: Origin, context: ssl.SSLContext, rule: AddressRule) -> None:
        super().__init__(origin.host, origin.port, context=context)
        self.watch: _Watch | None = None
        # The same connection below TLS: what the watch shuts, during the handshake too.
        self.plain: socket.socket | None = None
        self.used = time.monotonic()
        self._origin = origin
        self._tls = context
        self._rule = rule

    def connect(self) -> None:
        sock = self._dial()
        try:
            self.sock = self._tls.wrap_socket(sock, server_hostname=self._origin.host)
        except BaseException as error:
            sock.close()
            # An SSLCertVerificationError is a ValueError too.
            if isinstance(error, ValueError) and not isinstance(error, OSError):
                raise Unreachable(f"{self._origin}: not a host name that TLS takes") from None
            raise

    def end(self) -> None:
        """Close it for good; close() is called by http.client too, before a last answer is read."""
        self.close()
        if self.plain is not None:
            plain, self.plain = self.plain, None
            if self.watch is not None:
                self.watch.detach()
            plain.close()

    def reusable(self) -> bool:
        """Whether the next request may go over it: not idle for long, and the server said nothing since."""
        if self.sock is None or time.monotonic() - self.used > _IDLE_SECONDS:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def _dial(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise Unreachable(f"{self._origin}: the name does not resolve") from None
        refused: dict[str, str] = {}
        failed: OSError | None = None
        for family, kind, protocol, _, address in found:
            host = str(address[0])
            # Judged here, on what is dialled next: a second resolution could give another address.
            if reason := self._rule.refusal(host):
                refused[host] = reason
                continue
            sock = socket.socket(family, kind, protocol)
            try:
                self._attach(sock)
                sock.settimeout(_CONNECT_SECONDS)
                sock.connect(address)
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failed = error
                continue
            return sock
        if failed is not None:
            raise failed
        told = ", ".join(f"{host} is {reason}" for host, reason in list(refused.items())[:5])
        raise ForbiddenTarget(f"{self._origin} is not dialled: {told or 'it has no address'}")

    def _attach(self, sock: socket.socket) -> None:
        if self.plain is not None:
            self.plain.close()
        self.plain = sock.dup()
        if self.watch is not None:
            self.watch.attach(self.plain)


class _Watch:
    """Ends an exchange that takes too long, by shutting its connection under whoever waits for it.

    Timeouts of a socket count from byte to byte, so a server could hold a thread for hours. Resolving a name is not
    covered: the resolver has its own limit.
    """

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self.detach()

    def attach(self, sock: socket.socket) -> None:
        """Watch over this connection. Raises TimeoutError when the time is over already."""
        with self._lock:
            if self.fired:
                raise TimeoutError
            self._sock = sock

    def detach(self) -> None:
        """Let go of it, before it is closed."""
        with self._lock:
            self._sock = None

    def _fire(self) -> None:
        with self._lock:
            self.fired = True
            if self._sock is not None:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)


def _cause(error: OSError | http.client.HTTPException) -> str:
    """What went wrong, without a word of the server's: http.client's messages quote what it read."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'the connection was closed'}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed before an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut off"
    if isinstance(error, http.client.HTTPException):
        return "not an answer of HTTP"
    return error.strerror or type(error).__name__
