"""What the shared solver answers (modes D and E): every replica, from the Challenges that are presented. Pure.

Keyed by host and token: an answer is never given for another host, and nothing is told to whoever does not know the token.
`presented` stands in a Challenge's status, which only the controllers write, and only once they know it as theirs.
"""

from collections.abc import Iterable, Mapping

from signer.api.challenge import Challenge
from signer.edge.host import Host
from signer.edge.http01.routes import CHALLENGE_PATH, Answer

MAX_HOST_HEADER = 261
"""A host of 253 characters, a colon, a port, and nothing longer."""
_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
Answers = Mapping[tuple[str, str], str]


def presented(challenge: Challenge) -> bool:
    """Tell whether a Challenge is one to answer for."""
    spec = challenge.spec
    return not challenge.problem and spec.type == "HTTP-01" and not spec.wildcard and challenge.status.presented


def answers_of(challenges: Iterable[Challenge]) -> dict[tuple[str, str], str]:
    """Return the answers of those Challenges that are presented, by host and token; malformed ones are left out."""
    found: dict[tuple[str, str], str] = {}
    for one in challenges:
        spec = one.spec
        if not presented(one):
            continue
        try:
            meta = one.metadata
            answer = Answer(Host(spec.dns_name.lower()), spec.token, spec.key, (meta.namespace, meta.name, meta.uid))
        except ValueError:
            continue
        found[answer.host.name, answer.token] = answer.key
    return found


def respond(answers: Answers, method: str, host: str, path: str) -> tuple[int, str]:
    """Return status and body (text/plain) for a request; 404 for all that is not exactly a challenge's.

    `host` is the Host header, whose port is left out: Pebble sends one. `path` is as received, without a query.
    """
    if method not in ("GET", "HEAD"):
        return 405, ""
    if len(host) > MAX_HOST_HEADER or not path.startswith(CHALLENGE_PATH):
        return 404, ""
    name, _, port = host.lower().partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return 404, ""
    key = answers.get((name.removesuffix("."), path.removeprefix(CHALLENGE_PATH)))
    return (200, key) if key is not None else (404, "")


def answer_head(answers: Answers, head: bytes) -> bytes:
    """Return the whole answer to a request whose head (all up to the empty line) is this. Never fails.

    There is one request on a connection, and no body of one is read.
    Source: RFC 9112, 3 and 5; a request without exactly one Host is malformed (3.2).
    """
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    hosts = [line.partition(":")[2].strip() for line in lines[1:] if line.partition(":")[0].lower() == "host"]
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or len(hosts) != 1:
        status, text = 400, ""
    else:
        status, text = respond(answers, words[0], hosts[0], words[1])
    body = text.encode("ascii")
    fields = (
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(fields).encode("ascii") + (b"" if words[0] == "HEAD" else body)
