"""What a DNS product's failures look like from here: one table for all products, each fault at each of a change's requests."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import pytest

from issuers.acme.targets import AddressRule
from signer.edge.dns01.apis import caller
from signer.edge.dns01.apis.caller import At, Caller
from signer.edge.dns01.apis.steps import Call, Changed, Refusal, Steps, TxtValue
from tests.fakes.dns_products import PRODUCTS, SECRET, ZONE
from tests.fakes.dns_products_served import Served

HERE = AddressRule(allowed=(ip_network("127.0.0.1/32"),))
NAME = f"_acme-challenge.{ZONE}"
MOST_REQUESTS = 4


@pytest.fixture(scope="module", params=PRODUCTS, ids=lambda one: one.__name__)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with Served(request.param()) as started:
        yield started


@pytest.fixture(autouse=True)
def anew(served: Served) -> None:
    served.product.values, served.product.served = {}, []
    served.fault = lambda _: False


def at(served: Served) -> At:
    return At(HERE, served.roots, served.elsewhere)


async def change(served: Served, value: str = "v" * 43, *, add: bool = True, by: Caller | None = None) -> None:
    client, record = served.product.client(), TxtValue(ZONE, NAME, value)
    step = client.add if add else client.remove
    await (by or Caller()).take(NAME, lambda now, nonce: step(record, now, nonce), at(served))


def answering(status: int, body: bytes = b"{}", **headers: str) -> Callable[[Any], None]:
    return lambda handler: handler.say(status, body, **headers)


def cut(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    handler.connection.close()
    handler.close_connection = True


def silent(handler: Any) -> None:
    handler.connection.settimeout(30)
    handler.rfile.read(1)  # ends when the other side goes


FAULTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "401": (answering(401, SECRET.encode()), "answers 401"),
    "403": (answering(403, b'{"error": {"code": 403, "message": "no"}}'), "answers 403 (403): the credentials may not"),
    "429": (answering(429, Retry_After="45"), "answers 429: it wants fewer requests"),
    "500": (answering(500, b"<Error><Code>InternalError</Code></Error>"), "answers 500 (InternalError)"),
    "503": (answering(503, Retry_After="Mon, 30 Nov 2150 00:00:00 GMT"), "answers 503"),
    "redirect": (answering(302, Location="https://evil.example/"), "redirect (302); none is followed"),
    "cut": (cut, "cannot be asked"),
    "slow": (silent, "no answer within"),
    "huge": (answering(200, b"x" * (1 << 21)), "more than 1048576 bytes"),
    "nonsense": (answering(200, b"\xff\x00"), "cannot be read"),
}


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS)
async def test_faults(served: Served, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever request meets whichever fault: it is told in a line without a secret, and the next try does what is wanted."""
    monkeypatch.setattr(caller, "_SECONDS", 60.0)
    script, told = FAULTS[fault]
    await change(served)
    requests = len(served.product.served)
    assert 0 < requests <= MOST_REQUESTS
    for wrong in range(requests):
        served.product.values = {}
        count = itertools.count()

        def one_of(handler: Any, wrong: int = wrong, count: Iterator[int] = count) -> bool:
            if next(count) != wrong:
                return False
            script(handler)
            return True

        served.fault = one_of
        try:
            with monkeypatch.context() as hurried:
                if fault == "slow":  # also an honest answer that comes later than this is told as one that did not come
                    hurried.setattr(caller, "_SECONDS", 0.3)
                await change(served)
        except Refusal as error:
            said, wait = str(error), error.wait
        else:
            # A last answer whose words do not matter.
            assert fault == "nonsense"
            continue
        assert told in said or (fault == "nonsense" and "refuses" in said)
        assert SECRET not in said
        assert len(said) < 300
        assert wait == {"429": 45.0, "503": 600.0}.get(fault, 0.0)
        served.fault = lambda _: False
        await change(served)
        assert served.product.values[NAME] == ["v" * 43]


@pytest.mark.heavy
async def test_a_wildcard_and_its_apex_at_once(served: Served) -> None:
    """Changes of one record go one after the other, whatever the product does with two at once."""
    one = Caller()
    values = [letter * 43 for letter in "abcd"]
    await asyncio.gather(*(change(served, value, by=one) for value in values))
    assert sorted(served.product.values[NAME]) == values
    await asyncio.gather(*(change(served, value, add=False, by=one) for value in values[:3]))
    assert served.product.values[NAME] == values[3:]


async def test_addresses(served: Served) -> None:
    """A product whose name leads to an address that an Issuer may not have dialled gets no byte."""
    record = TxtValue(ZONE, NAME, "v" * 43)
    client = served.product.client()
    where = dataclasses.replace(at(served), addresses=AddressRule())
    with pytest.raises(Refusal, match="a loopback address"):
        await Caller().take(NAME, lambda now, nonce: client.add(record, now, nonce), where)
    assert served.product.served == []


async def test_somebody_who_writes_without_end(served: Served) -> None:
    """Where somebody else writes each time in between, it ends, and is told."""

    def steps(_now: datetime, _nonce: Callable[[], str]) -> Steps:
        yield Call("GET", f"{served.product.origins()[0]}/x", fine=(404, 401, 403))
        raise Changed

    with pytest.raises(Refusal, match="somebody else 4 times"):
        await Caller().take(NAME, steps, at(served))
    assert len(served.product.served) == 4


async def test_a_step_that_is_given_up(served: Served) -> None:
    """Whoever is cancelled in the middle leaves the record free for the next."""
    began = asyncio.Event()
    one = Caller()

    def steps(_now: datetime, _nonce: Callable[[], str]) -> Steps:
        began.set()
        yield Call("GET", f"{served.product.origins()[0]}/x", fine=(404, 401, 403))

    def never(handler: Any) -> bool:
        silent(handler)
        return True

    served.fault = never
    task = asyncio.create_task(one.take(NAME, steps, at(served)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    served.fault = lambda _: False
    await change(served, by=one)
    assert served.product.values[NAME] == ["v" * 43]
