"""A DNS server that says what a test tells it to: for answers that no honest server gives. UDP only, on the test's loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import dns.flags
import dns.message
import dns.rrset
import dns.tsig

Answer = Callable[[dns.message.Message], Iterable[bytes | dns.message.Message]]


class _Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer, key: dns.tsig.Key | None) -> None:
        self._answer = answer
        self._key = key
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # datagrams
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        # Without the key a signature is not checked here: what is said of it is the test's.
        query = dns.message.from_wire(data, keyring=self._key, continue_on_error=True)
        for one in self._answer(query):
            self._transport.sendto(one if isinstance(one, bytes) else one.to_wire(), addr)


@contextlib.asynccontextmanager
async def scripted(answer: Answer, key: dns.tsig.Key | None = None) -> AsyncIterator[int]:
    """Answer by this until the block ends; yields the port on 127.0.0.1. With `key` what is signed is answered signed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(answer, key), ("127.0.0.1", 0))
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
        await asyncio.sleep(0)  # closing takes a turn of the loop


def reply(
    query: dns.message.Message, *records: str, authority: tuple[str, ...] = (), own: bool = True
) -> dns.message.Message:
    """An answer with these records ("NAME TYPE DATA"); `own`: it says that it has the zone."""
    answer = dns.message.make_response(query)
    answer.flags = dns.flags.QR | (dns.flags.AA if own else 0)
    answer.set_opcode(query.opcode())
    for section, texts in ((answer.answer, records), (answer.authority, authority)):
        for text in texts:
            name, kind, data = text.split(" ", 2)
            section.append(dns.rrset.from_text(name, 60, "IN", kind, data))
    return answer
