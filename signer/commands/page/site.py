"""Answers the page's requests: its files, and the state of the cluster to whoever has the token.

Whatever runs on this machine, and every page that a browser here has open, can send requests to a port of loopback. So:
only GET; only under a name of loopback, which a page of elsewhere that has its own name lead here (DNS rebinding) has not;
only what was asked by the page itself, as browsers tell; and the state only with a token, which stands behind the # of the
printed URL, so that no request and no Referer carries it. The head of a request is bounded by observe/listener.py, as are
connections and time. Pure but for the files, which are read once; used on the loop.
Sources: RFC 9110; https://w3c.github.io/webappsec-csp/ ; https://w3c.github.io/webappsec-fetch-metadata/
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from signer.commands.page.board import Board

TOKEN_BYTES = 32
STATE = "/state"
READ = "Mesh-Signer-Read"
"""The field that says when the cluster was read last."""

_FOLDER = Path(__file__).parent / "assets"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?", re.ASCII)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Connection": "close",
}
_PHRASES = {
    200: "OK",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}
_ONCE = frozenset({"host", "origin", "authorization", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"})


class Site:
    """The page and its state. `answer` takes a request's head and gives the whole answer; it never fails."""

    def __init__(self, token: str, board: Board) -> None:
        self._token = hashlib.sha256(token.encode()).digest()
        self._board = board
        self._files = {
            f"/{path.name}": _answer(200, path.read_bytes(), {"Content-Type": _TYPES[path.suffix]})
            for path in sorted(_FOLDER.iterdir())
            if path.suffix in _TYPES
        }
        self._files["/"] = self._files.pop("/page.html")

    def answer(self, head: bytes) -> bytes:
        """Answer one request."""
        request = _read(head)
        if request is None:
            return _refusal(400, "This is no request that could be read.")
        method, path, fields = request
        if _HOST.fullmatch(fields.get("host", "")) is None:
            return _refusal(403, "This page is for 127.0.0.1 alone.")
        if method != "GET":
            return _refusal(405, "There is only GET.", {"Allow": "GET"})
        if not _from_here(path, fields):
            return _refusal(403, "Another page asked for this.")
        if path == STATE:
            return self._state(fields)
        return self._files.get(path) or _refusal(404, "There is nothing here.")

    def _state(self, fields: Mapping[str, str]) -> bytes:
        scheme, _, given = fields.get("authorization", "").partition(" ")
        # Hashes have one length, and say nothing of what is compared.
        right = hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._token)
        if scheme != "Bearer" or not right:
            return _refusal(401, "Open the URL that mesh-signer ui printed.", {"WWW-Authenticate": "Bearer"})
        board = self._board
        board.asked()
        tag = f'"{board.tag}"'
        more = {"Content-Type": "application/json", "ETag": tag} | ({READ: board.read} if board.read else {})
        if fields.get("if-none-match") == tag:
            return _answer(304, b"", more)
        return _answer(200, board.state, more)


def _read(head: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Read method, path and fields, names in lower case (RFC 9112, 3 and 5); None for what has not that form, or says something twice."""
    line, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"} or not words[1].startswith("/"):
        return None
    fields: dict[str, str] = {}
    for one in rest:
        name, colon, value = one.partition(":")
        name = name.lower()
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) or (name in _ONCE and name in fields):
            return None
        fields[name] = value.strip(" \t")
    return words[0], words[1].partition("?")[0], fields


def _from_here(path: str, fields: Mapping[str, str]) -> bool:
    """Tell whether it was the page that asked, or a person who opened it; what tells neither is no browser."""
    origin = fields.get("origin")
    if origin is not None and origin != f"http://{fields['host']}":
        return False
    # A link to the page may stand anywhere, as in a terminal in a browser: without the token it shows nothing.
    opened = path == "/" and (fields.get("sec-fetch-mode"), fields.get("sec-fetch-dest")) == ("navigate", "document")
    return opened or fields.get("sec-fetch-site", "none") in {"same-origin", "none"}


def _refusal(status: int, text: str, more: Mapping[str, str] | None = None) -> bytes:
    return _answer(status, f"{text}\n".encode(), {"Content-Type": "text/plain; charset=utf-8", **(more or {})})


def _answer(status: int, body: bytes, more: Mapping[str, str]) -> bytes:
    length = {} if status == 304 else {"Content-Length": str(len(body))}
    fields = "".join(f"{name}: {value}\r\n" for name, value in ({**_ALWAYS, **more} | length).items())
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{fields}\r\n".encode() + body
