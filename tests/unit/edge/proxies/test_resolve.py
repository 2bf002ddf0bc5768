"""A task that asks the DNS ends when it is told to, whatever comes at that moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import dns.message
import dns.rcode
import pytest
from dns import _asyncio_backend

from signer.edge.dns01.queries import NoAnswer, Questions
from signer.edge.proxies.resolve import asking
from tests.fakes.dns_faults import reply, scripted

HOST = "shop.example.com"
Message = dns.message.Message


def honest(query: Message) -> list[Message]:
    return [reply(query, f"{HOST}. A 192.0.2.1")]


def failing(query: Message) -> list[Message]:
    answer = reply(query)
    answer.set_rcode(dns.rcode.SERVFAIL)
    return [answer]


def unreadable(_query: Message) -> list[bytes]:
    return [b"\0" * 20]


WAYS: dict[str, Callable[[int], Awaitable[object]]] = {
    "one message": lambda port: Questions().ask(dns.message.make_query(f"{HOST}.", "A"), "127.0.0.1", port),
    "addresses": lambda port: Questions([("127.0.0.1", port)]).addresses(HOST),
    "a zone": lambda port: Questions([("127.0.0.1", port)]).zone(HOST),
    "the operator's servers": lambda port: asking((("127.0.0.1", port),))(HOST),
}


@pytest.mark.parametrize("answer", [honest, failing, unreadable], ids=lambda one: one.__name__)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("limited", [False, True], ids=["cancelled", "out of time"])
async def test_told_to_end_as_the_answer_comes(
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[int], Awaitable[object]],
    answer: Callable[[Message], list[bytes | Message]],
    limited: bool,
) -> None:
    """A task that is cancelled, or whose time is over, in the very turn of the loop that brings an answer ends there.

    One that goes on would keep a process from stopping, and a leader from stepping down.
    """
    asked: list[asyncio.Task[object]] = []
    limits: list[asyncio.Timeout] = []
    protocol: Any = _asyncio_backend._DatagramProtocol  # has no types
    received = protocol.datagram_received

    def told(self: object, data: bytes, addr: object) -> None:
        received(self, data, addr)
        if not limited:
            asked[0].cancel()
        elif limits:
            limits.pop().reschedule(0)

    monkeypatch.setattr(protocol, "datagram_received", told)

    async def ask(port: int) -> str:
        try:
            async with asyncio.timeout(60) as limit:
                limits.append(limit)
                try:
                    await way(port)
                except NoAnswer as error:
                    return str(error)
                return "went on"
        except TimeoutError:
            return "out of time"

    async with scripted(answer) as port:
        asked.append(asyncio.create_task(ask(port)))
        if limited:
            assert await asked[0] == "out of time"
        else:
            with pytest.raises(asyncio.CancelledError):
                await asked[0]
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(
                others
            )  # the other of two questions: what cannot be read is passed over until its time is over
