"""HTTP: heads of requests are answered without an error, and an answer is read the same in whatever pieces it comes.

The first byte of an input chooses: a request's head, or an answer with the seed of its pieces.
"""

import http.client
import io
import random

from prometheus_client import CollectorRegistry

from signer.edge.http01.solver_answers import answer_head
from signer.kube.http.answer import Answer, AnswerReader, Malformed
from signer.observe.health import HealthServer
from signer.observe.listener import request_line

LARGEST = 4096
TOKEN = "token"
HEALTH = HealthServer("127.0.0.1:0", CollectorRegistry(), ready={"a": str}, live={})
WORDS = (
    b"GET ",
    b"HEAD ",
    b"/metrics",
    b"/livez?a=b",
    b"/.well-known/acme-challenge/token",
    b" HTTP/1.1\r\n",
    b"Host: a.example\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 404 \r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Retry-After: 1\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"\r\n\r\n",
)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    if not data:
        return
    if data[0] & 1:
        _request(data[1:])
    else:
        _answer(data[1:], random.Random(data[0]))


def _request(data: bytes) -> None:
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    found = request_line(head)
    assert found is None or " ".join(found).encode("latin-1") in head
    for answer in (HEALTH._answer(head), answer_head({("a.example", TOKEN): "key"}, head)):
        # Python's reader finds one whole answer, and no more than that.
        status, body, rest = _python(answer, "HEAD" if head.startswith(b"HEAD ") else "GET")
        assert status in {200, 400, 404, 405}
        assert not rest
        assert body != b"key" or (status == 200 and b"a.example" in head.lower() and TOKEN.encode() in head)


def _answer(data: bytes, chance: random.Random) -> None:
    whole = _feed(data, [len(data)])
    sizes: list[int] = []
    while sum(sizes) < len(data):
        sizes.append(chance.choice((1, 1, 2, 3, 7, 64, 1000)))
    pieces = _feed(data, sizes)
    assert _same(whole, pieces), (whole, pieces)
    if isinstance(whole, Answer) and whole.reusable:
        status, body, rest = _python(data, "GET")
        assert (whole.status, whole.body, rest) == (status, body, b"")


def _feed(data: bytes, sizes: list[int]) -> Answer | str | None:
    """The answer, None while it is not whole, "" for what is malformed."""
    reader, found, at = AnswerReader(LARGEST), None, 0
    for size in sizes:
        try:
            found = reader.feed(data[at : at + size])
        except Malformed as error:
            assert str(error).isprintable()
            return ""
        if found is not None and not found.reusable and found.status >= 400:
            return found  # cut: the rest is not waited for
        at += size
    return found


def _same(one: Answer | str | None, other: Answer | str | None) -> bool:
    if isinstance(one, Answer) and isinstance(other, Answer):
        return (one.status, one.body, dict(one.headers)) == (other.status, other.body, dict(other.headers))
    # Of an answer that is cut or closed, what follows is not looked at.
    return one == other or any(isinstance(found, Answer) and not found.reusable for found in (one, other))


class _File(io.BytesIO):
    def close(self) -> None:
        """Stay open: http.client closes what it has read, and what follows is looked at here."""


class _Socket:
    def __init__(self, data: bytes) -> None:
        self.file = _File(data)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self.file


def _python(data: bytes, method: str) -> tuple[int, bytes, bytes]:
    """Status, body and what follows, as http.client reads them; interim answers are passed over."""
    socket = _Socket(data)
    while True:
        response = http.client.HTTPResponse(socket, method=method)  # type: ignore[arg-type] # all that it asks for
        response.begin()
        if response.status >= 200:
            return response.status, response.read(), socket.file.read()
