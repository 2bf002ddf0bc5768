"""Links to alternative chains, and the one thread of each session."""

import asyncio
import http.client
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from issuers.acme.account import generate_key, load_key
from issuers.acme.client import Server, Session, Sessions
from issuers.acme.client.network import alternates
from issuers.acme.client.transport import Answer
from issuers.acme.errors import ForbiddenTarget
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Wish

KEY = load_key(generate_key())
WISH = Wish(identifiers(["a.example"]))


def answer(*links: str) -> Answer:
    headers = http.client.HTTPMessage()
    for link in links:
        headers["Link"] = link
    return Answer(200, headers, b"")


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ((), []),
        (('<https://ca/dir>;rel="index"',), []),
        (
            ('<https://ca/1>;rel="alternate"', "<https://ca/2>; title=x; rel=alternate"),
            ["https://ca/1", "https://ca/2"],
        ),
        (
            ('<https://ca/dir>; rel="index", </2>; rel="alternate", <https://ca/2>;rel="up alternate"',),
            ["https://ca/2"],
        ),
        (('<https://ca/1>; title="a, <b>; rel=alternate"; rel="up"',), []),
        (('<https://ca/1>; rel="alternates"', "<https://ca/1>; rel=", "https://ca/1; rel=alternate"), []),
    ],
)
def test_alternates(links: tuple[str, ...], found: list[str]) -> None:
    """Links of the one relation, in one header or several, absolute or not, each once."""
    assert list(alternates(answer(*links), "https://ca/cert")) == found


def test_a_hostile_header() -> None:
    """A header made to be slow to read is read in no time, as only its beginning is."""
    for text in ("<" * 60_000, '<a>; rel="' + "a " * 30_000, "<a>" + ";a=b" * 20_000, "<a>" + "; " * 30_000):
        assert alternates(answer(text), "https://ca/cert") == ()


async def test_a_session_for_each_thread() -> None:
    """Two threads never share a session, one thread keeps its own, and all know the account."""
    server = Server("https://ca.example/dir")
    meet = threading.Barrier(2, timeout=10)

    def which(session: Session) -> tuple[int, str | None]:
        meet.wait()
        return id(session), session.account_url

    with ThreadPoolExecutor(2) as threads:
        sessions = Sessions(server, KEY, threads)
        sessions.account_url = "https://ca.example/me"
        first = set(await asyncio.gather(sessions.call(which), sessions.call(which)))
        second = set(await asyncio.gather(sessions.call(which), sessions.call(which)))
        sessions.close()
    assert len(first) == 2
    assert first == second
    assert {url for _, url in first} == {"https://ca.example/me"}


async def test_errors_come_through() -> None:
    """What is wrong with an issuer is raised where it was called; without an account nothing is sent."""
    with ThreadPoolExecutor(1) as threads:
        sessions = Sessions(Server("http://ca.example/dir"), KEY, threads)
        with pytest.raises(ForbiddenTarget, match="only https"):
            await sessions.call(Session.directory)
        sessions.close()
        with pytest.raises(RuntimeError, match="account_url"):
            await Sessions(Server("https://ca.example/dir"), KEY, threads).call(
                Session.order, "https://ca.example/o", WISH
            )
