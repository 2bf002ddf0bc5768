"""A CA that a stranger chose, and what it may not make the ACME client do."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from issuers.acme.client import Server, Session
from issuers.acme.errors import (
    ForbiddenTarget,
    MalformedAnswer,
    Unreachable,
)
from issuers.acme.targets import AddressRule
from issuers.private_key import generate_key
from tests.fakes.acme_faults import FaultyCA, Reply, edit, times
from tests.integration.acme.driving import KEY, LOOPBACK, Driver, Start, Talk, join, utc_now, wish
from tests.localmesh.pebble import ChallengeServer

pytestmark = pytest.mark.integration


async def test_addresses(start: Start, talk: Talk) -> None:
    """Without a word of the issuer's own, no address of our network is dialled: nothing reaches the server."""
    ca = start()
    quiet = ca.log.read_text().count("GET /dir")
    with pytest.raises(ForbiddenTarget, match=r"127\.0\.0\.1 is a loopback address"):
        await talk(ca, addresses=AddressRule()).directory()
    assert ca.log.read_text().count("GET /dir") == quiet


@pytest.mark.parametrize("url", ["http://localhost:1/dir", "https://user@localhost/dir", "https://localhost/dir#x"])
async def test_directory_urls(url: str) -> None:
    """Only https, and nothing in the URL that is not for the server."""
    with pytest.raises(ForbiddenTarget):
        Session(Server(url, LOOPBACK), KEY, utc_now)


async def test_trust(start: Start, talk: Talk) -> None:
    """The CA's TLS is trusted by the bundle only: not without, not by another's, and always with skipTLSVerify."""
    ca, other = start(), start()
    with pytest.raises(Unreachable, match="not trusted"):
        await talk(ca, ca_bundle=None).directory()
    with pytest.raises(Unreachable, match="not trusted"):
        await talk(ca, ca_bundle=other.authority.certificate).directory()
    with pytest.raises(ForbiddenTarget, match="caBundle"):
        talk(ca, ca_bundle=b"nothing")
    assert (await talk(ca, ca_bundle=None, verify=False).directory()).new_order


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("newOrder", "https://a@localhost:1/order"),
        ("newNonce", "http://localhost/nonce"),
    ],
)
async def test_urls_of_the_directory(start: Start, talk: Talk, field: str, value: str) -> None:
    """A directory that sends us elsewhere is not followed anywhere."""
    with FaultyCA(start()) as ca:
        ca.rule = times(1, "/dir", edit(lambda found: found.update({field: value})), "GET")
        with pytest.raises(ForbiddenTarget, match=field):
            await talk(ca).directory()


async def test_a_directory_apart(start: Start, talk: Talk) -> None:
    """A directory on one host and all else on another: an order is made there and had again, also after a restart."""
    pebble = start()
    there = await talk(pebble).directory()
    named = {"newNonce": there.new_nonce, "newAccount": there.new_account, "newOrder": there.new_order}
    with FaultyCA(pebble) as ca:
        ca.rule = times(9, "/dir", edit(lambda found: found.update(named)), "GET")
        both = ca.authority.certificate + pebble.authority.certificate
        session = talk(ca, ca_bundle=both)
        await join(session)
        made = await session.new_order(wish("apart.example.com"))
        after = talk(ca, ca_bundle=both)
        after.account_url = session.account_url
        assert (await after.order(made.url, wish("apart.example.com"))).authorizations == made.authorizations
        assert after.account_url is not None
        assert await after.leads_here(after.account_url)
        assert not await after.leads_here("https://localhost:1/account")
        for url in (made.url, made.finalize, *made.authorizations, after.account_url):
            assert url.startswith(f"{there.new_order.rpartition('/')[0]}/")
        assert {path for _, path, _ in ca.seen} == {"/dir"}


@pytest.mark.parametrize("status", [301, 307])
async def test_redirects(start: Start, talk: Talk, status: int) -> None:
    """A redirect is not followed, not even to the same origin."""
    with FaultyCA(start()) as ca:
        ca.rule = times(1, "/dir", Reply(status, (("Location", ca.directory),)), "GET")
        with pytest.raises(MalformedAnswer, match="redirect"):
            await talk(ca).directory()
        assert len(ca.seen) == 1


@pytest.mark.parametrize(
    ("path", "change", "match"),
    [
        ("order-plz", lambda o: o["identifiers"].append({"type": "dns", "value": "bank.example"}), "identifiers"),
        ("order-plz", lambda o: o.update(identifiers=[]), "identifiers"),
        ("order-plz", lambda o: o.update(finalize="https://localhost:1/"), "finalize: it leads to"),
        ("order-plz", lambda o: o.update(authorizations=["https://10.0.0.1/"]), "authorizations: it leads to"),
        ("authZ", lambda a: a["identifier"].update(value="bank.example"), "identifier"),
        ("authZ", lambda a: a.update(status="perhaps"), "status"),
    ],
)
async def test_hostile_answers(
    start: Start, talk: Talk, path: str, change: Callable[[dict[str, object]], None], match: str
) -> None:
    """What a CA answers is taken only for the names that were ordered, with URLs of its own and tokens that are some."""
    with FaultyCA(start()) as ca:
        session = talk(ca)
        await join(session)
        ca.rule = times(1, path, edit(change))
        asked = wish("hostile.example.com")

        async def both() -> None:
            await session.authorization((await session.new_order(asked)).authorizations[0], asked)

        with pytest.raises((MalformedAnswer, ForbiddenTarget), match=match):
            await both()


async def test_too_large(start: Start, talk: Talk) -> None:
    """An answer of more than 1 MiB is not read to its end."""
    with FaultyCA(start()) as ca:
        ca.rule = times(1, "/dir", Reply(200, (), b" " * ((1 << 20) + 1)), "GET")
        with pytest.raises(MalformedAnswer, match="more than 1048576 bytes"):
            await talk(ca).directory()


async def test_another_certificate(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """A certificate for another key or other names is not taken, whoever signed it."""
    session = talk(start())
    await join(session)
    driver = Driver(session, KEY, answers, wish("mine.example.com"))
    await driver.chains()
    driver.leaf_key = generate_key("ECDSA")
    with pytest.raises(MalformedAnswer, match="a different key"):
        await driver.chains()


@pytest.mark.parametrize("says", [b"", b"\x16", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_server_that_is_none(says: bytes) -> None:
    """Who takes the connection and says nothing, or no TLS, holds nobody longer than an exchange may last."""
    ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.sendall(says)
            ended.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:
        served = thread.submit(serve, listening)
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/dir"
        session = Session(Server(url, LOOPBACK, seconds=0.5), KEY, utc_now)
        started = time.monotonic()
        with pytest.raises(Unreachable):
            await session.directory()
        assert time.monotonic() - started < 10
        await session.close()
        ended.set()
        served.result(5)
