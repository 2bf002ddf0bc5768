"""What the shared solver answers (modes D and E): every replica, from the Challenges that are presented. Pure.

Keyed by host and token: an answer is never given for another host, and nothing is told to whoever does not know the token.
"""

from collections.abc import Iterable, Mapping

from signer.api.challenge import Challenge
from signer.edge.challenge_routes import CHALLENGE_PATH, Answer
from signer.edge.hostname import Host

MAX_HOST_HEADER = 261
"""A host of 253 characters, a colon, a port, and nothing longer."""
Answers = Mapping[tuple[str, str], str]


def answers_of(challenges: Iterable[Challenge]) -> dict[tuple[str, str], str]:
    """Return the answers of those Challenges that are under way, by host and token; malformed ones are left out."""
    found: dict[tuple[str, str], str] = {}
    for one in challenges:
        spec = one.spec
        if one.problem or spec.type != "HTTP-01" or spec.wildcard or not one.status.processing:
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
