"""What ApiClient.exchange does: short requests over `wire`, with the client's credentials.

Concurrency: as ApiClient, one event loop, calls side by side. A connection belongs to the credentials that it was opened with:
when they are read again, a new pool takes over and the old one's connections carry nothing more.
"""

import asyncio
import re
import ssl

from yarl import URL

from signer import __version__
from signer.kube.credentials import Credentials
from signer.kube.errors import Unreachable, error_from_response
from signer.kube.http.connections import Origin, Pool, Retired
from signer.kube.objects import Response

# An object that the API server gives back; etcd holds none of more than 1.5 MB.
LARGEST_ANSWER = 4 * 1024 * 1024

_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[ -~]*")


class Exchanges:
    """Requests over connections of its own, at most `connections` of them."""

    def __init__(self, credentials: Credentials, connections: int) -> None:
        self._credentials = credentials
        self._connections = connections
        self._generation = -1
        self._pool: Pool | None = None
        self._old: list[Pool] = []
        self._closed = False
        self._host = self._prefix = ""
        self._heads: dict[tuple[str, str], str] = {}
        self._authorization: str | None = None

    def possible(self) -> bool:
        """Whether the connection is a plain one: no proxy, and no user and password in the URL."""
        config = self._credentials.config
        return config.proxy is None and "@" not in config.host

    async def close(self) -> None:
        """Close all connections."""
        pools = [*self._old, self._pool] if self._pool is not None else self._old
        self._pool, self._old, self._closed = None, [], True
        for pool in pools:
            await pool.close()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        content_type: str,
        accept: str,
        timeout: float,  # noqa: ASYNC109 - the wire's own timer
    ) -> Response:
        """Send one request; see ApiClient.exchange. Raises ApiError and Unreachable."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        last = False
        while True:
            headers: dict[str, str] = {}
            generation = await self._credentials.authorize(headers)
            # From here to the pool nothing waits, so that head, pool and credentials are of one generation.
            try:
                pool = self._pool_of(generation)
                head = self._head(method, path, headers.get("Authorization"), content_type, accept, len(body))
                answer = await pool.exchange(
                    head + body, timeout=max(0.0, deadline - loop.time()), largest=LARGEST_ANSWER
                )
            except (Unreachable, ValueError) as error:
                if isinstance(error, Retired) and not self._closed:
                    continue  # was not sent: with the new credentials
                raise Unreachable(f"{method} {path}: {error}") from error
            if answer.status < 300:
                return Response(answer.status, answer.headers, answer.body)
            if answer.status < 400:
                raise Unreachable(f"{method} {path}: unexpected redirect {answer.status}")
            if answer.status == 401 and not last and await self._credentials.reload(generation):
                last = True
                continue
            raise error_from_response(answer.status, answer.headers, answer.body)

    def _pool_of(self, generation: int) -> Pool:
        if self._pool is not None and generation == self._generation:
            return self._pool
        if self._closed:
            raise ValueError("the client is closed")
        config, tls = self._credentials.config, self._credentials.tls
        url = URL(config.host, encoded=True)
        if not url.host or not url.port:
            raise ValueError(f"{config.host} does not name a host and port")
        context = tls if isinstance(tls, ssl.SSLContext) else None
        # A trailing dot is for the resolver; no certificate has it.
        origin = Origin(url.host, url.port, context, config.server_name or url.host.rstrip("."))
        old, self._pool = self._pool, Pool(origin, self._connections)
        self._generation = generation
        self._host, self._prefix = url.host_port_subcomponent or "", url.raw_path.rstrip("/")
        self._heads.clear()
        if old is not None:
            self._old = [pool for pool in self._old if pool.open]
            self._old.append(old)
            old.retire()
        return self._pool

    def _head(
        self, method: str, path: str, authorization: str | None, content_type: str, accept: str, length: int
    ) -> bytes:
        target = self._prefix + path
        if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
            raise ValueError("the method or the path holds characters that cannot stand there")
        if authorization != self._authorization:
            self._authorization = authorization
            self._heads.clear()
        fields = self._heads.get((content_type, accept))
        if fields is None:
            fields = self._heads[content_type, accept] = self._fields(content_type, accept)
        return f"{method} {target} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n".encode("ascii")

    def _fields(self, content_type: str, accept: str) -> str:
        """The header lines that are the same for many requests."""
        fields = {
            "Host": self._host,
            "User-Agent": f"mesh-signer/{__version__}",
            "Accept-Encoding": "identity",
            "Accept": accept,
            "Content-Type": content_type,
        }
        if self._authorization is not None:
            fields["Authorization"] = self._authorization
        for name, value in fields.items():
            if not _VALUE.fullmatch(value):
                raise ValueError(f"the {name} header holds characters that cannot stand there")
        return "".join(f"{name}: {value}\r\n" for name, value in fields.items())
