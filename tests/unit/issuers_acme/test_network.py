"""Links to alternative chains, nonces, and what is not connected to."""

import asyncio
import base64
import datetime as dt
import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from issuers import private_key
from issuers.acme.account import generate_key, load_key
from issuers.acme.client import Server as At
from issuers.acme.client import Session
from issuers.acme.client.network import Network, alternates
from issuers.acme.client.transport import Answer, Transport, _Rule
from issuers.acme.errors import ForbiddenTarget, Unreachable
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Wish
from issuers.acme.targets import ANYWHERE, AddressRule, kinds
from issuers.private_key import encode_key

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
KEY = load_key(generate_key())
WISH = Wish(identifiers(["a.example"]))


def answer(*links: str) -> Answer:
    headers = CIMultiDict([("Link", link) for link in links])
    return Answer(200, CIMultiDictProxy(headers), b"")


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
            ["/2", "https://ca/2"],
        ),
        (('<https://ca/1>; title="a, <b>; rel=alternate"; rel="up"',), []),
        (('<https://ca/1>; rel="alternates"', "<https://ca/1>; rel=", "https://ca/1; rel=alternate"), []),
    ],
)
def test_alternates(links: tuple[str, ...], found: list[str]) -> None:
    """Links of the one relation, in one header or several, absolute or not."""
    assert list(alternates(answer(*links))) == found


def test_a_hostile_header() -> None:
    """A header made to be slow to read is read in no time, as only its beginning is."""
    for text in ("<" * 60_000, '<a>; rel="' + "a " * 30_000, "<a>" + ";a=b" * 20_000, "<a>" + "; " * 30_000):
        assert alternates(answer(text)) == ()


class Server:
    """Answers in the CA's place: what it was asked, and the nonces that it saw."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.nonces: list[str] = []

    async def exchange(
        self, method: str, url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        del headers
        self.asked.append(f"{method} {url}")
        number = len(self.asked)
        await asyncio.sleep(0)
        if body is not None:
            protected = json.loads(base64.urlsafe_b64decode(json.loads(body)["protected"] + "=="))
            self.nonces.append(protected["nonce"])
        nonce = base64.urlsafe_b64encode(f"nonce {number}".encode()).decode().rstrip("=")
        return Answer(200, CIMultiDictProxy(CIMultiDict({"Replay-Nonce": nonce})), b"{}")


async def test_each_nonce_once() -> None:
    """Requests at the same time share the nonces that there are, and never use one twice; none waits for another."""
    server = Server()
    network = Network(cast("Transport", server), KEY, lambda: NOW)
    for _ in range(3):
        await asyncio.gather(
            *(network.post("https://ca/order", b"", "https://ca/nonce", account="https://ca/me") for _ in range(5))
        )
    assert len(server.nonces) == len(set(server.nonces)) == 15
    # Those of the answers are used before any is asked for.
    assert server.asked.count("HEAD https://ca/nonce") == 5


class Spoiling(Server):
    """Sends this nonce with every answer but those to newNonce."""

    def __init__(self, nonce: str) -> None:
        super().__init__()
        self.nonce = nonce

    async def exchange(
        self, method: str, url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        found = await super().exchange(method, url, body=body, headers=headers)
        if method == "HEAD":
            return found
        return Answer(200, CIMultiDictProxy(CIMultiDict({"Replay-Nonce": self.nonce})), b"{}")


@given(st.sampled_from(["ab+/cd==", "", "a", "x" * 513, "abcd=", "a b"]) | st.text(max_size=20))
async def test_a_nonce_that_is_none(nonce: str) -> None:
    """What is only for the next request spoils no answer, whatever stands in it; the next one asks for another nonce."""
    server = Spoiling(nonce)
    network = Network(cast("Transport", server), KEY, lambda: NOW)
    for _ in range(2):
        found = await network.post("https://ca/order", b"", "https://ca/nonce", account="https://ca/me")
        assert found.body == b"{}"


@pytest.mark.heavy
async def test_a_slow_key_leaves_the_loop_alone() -> None:
    """An account key of RSA 4096 signs in a thread, and what it signs is the same."""
    slow = load_key(encode_key(private_key.generate_key("RSA", 4096)))
    assert slow.slow
    assert not KEY.slow
    server = Server()
    network = Network(cast("Transport", server), slow, lambda: NOW)
    found = await network.post("https://ca/order", b"", "https://ca/nonce", account="https://ca/me")
    assert found.status == 200
    assert len(server.nonces) == 1


async def test_errors_come_through() -> None:
    """What is wrong with an issuer is raised where it was called; without an account nothing is sent."""
    with pytest.raises(ForbiddenTarget, match="only https"):
        Session(At("http://ca.example/dir"), KEY, lambda: NOW)
    session = Session(At("https://ca.example/dir"), KEY, lambda: NOW)
    with pytest.raises(RuntimeError, match="account_url"):
        await session.order("https://ca.example/o", WISH)
    await session.close()
    with pytest.raises(RuntimeError, match="closed"):
        await session.directory()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_addresses_of_ours(host: str) -> None:
    """However an address of our own network is written, it is not connected to."""
    session = Session(At(f"https://{host}:1/dir"), KEY, lambda: NOW)
    with pytest.raises(ForbiddenTarget, match=r"is not connected to: .* is a loopback address"):
        await session.directory()
    await session.close()


NEIGHBOURS = {
    "public": "203.0.114.1",
    "loopback": "127.0.0.1",
    "link-local": "169.254.169.254",
    "private": "10.0.0.1",
    "in IPv6": "::ffff:10.0.0.1",
}


@pytest.mark.parametrize("rule", [AddressRule(), ANYWHERE], ids=["an Issuer's", "a ClusterIssuer's"])
@pytest.mark.parametrize("directory", NEIGHBOURS)
@pytest.mark.parametrize("other", NEIGHBOURS)
def test_what_a_directory_may_name(rule: AddressRule, directory: str, other: str) -> None:
    """Another host is dialled at public addresses, and at those of a kind that the directory's own has, if the issuer may at all."""
    judged = _Rule("ca.example", rule)
    try:
        judged.allowed("ca.example", [NEIGHBOURS[directory]])
        there = kinds(NEIGHBOURS[directory])
    except ForbiddenTarget:
        there = frozenset()
    fine = rule.refusal(NEIGHBOURS[other]) is None and kinds(NEIGHBOURS[other]) <= there
    if fine:
        assert judged.allowed("api.example", [NEIGHBOURS[other]]) == [NEIGHBOURS[other]]
    else:
        with pytest.raises(ForbiddenTarget, match=r"https://api\.example is not connected to"):
            judged.allowed("api.example", [NEIGHBOURS[other]])
    assert fine == (
        other == "public" or (rule is ANYWHERE and kinds(NEIGHBOURS[other]) == kinds(NEIGHBOURS[directory]))
    )


async def test_an_address_in_another_form() -> None:
    """A number that the system would take for an address is not a host name."""
    session = Session(At("https://2130706433:1/dir"), KEY, lambda: NOW)
    with pytest.raises((ForbiddenTarget, Unreachable)):
        await session.directory()
    await session.close()
