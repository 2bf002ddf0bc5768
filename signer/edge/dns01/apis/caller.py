"""Calls DNS products: takes the steps of a client (steps.py), one request after the other, over https.

Each answer is bounded in bytes and time, no redirect is followed, and an address is judged before it is dialled. What is
told of a failure is its status and the product's code for it: an answer may repeat what was sent.
Used on the loop. Changes of one record go one after the other: products that keep all values of a name together would
lose one of two that are written at once.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakValueDictionary

from issuers.acme import retry_after
from issuers.acme.client.transport import Answer, Server, Transport
from issuers.acme.errors import ForbiddenTarget, MalformedAnswer, Unreachable
from issuers.acme.targets import AddressRule, origin
from signer.edge.dns01.apis.steps import Call, Changed, Refusal, Reply, Steps
from signer.kube.clock import utc_now

_TRIES = 4
# Less than a step of the presenter has, so that a product that is slow is named itself.
_SECONDS = 10.0
_LONGEST_WAIT = 600.0
_CODE = re.compile(
    rb'<Code>([A-Za-z0-9.]{1,64})</Code>|"(?:code|reason|error)"\s*:\s*"?([A-Za-z0-9._-]{1,64})"?[\s,}]', re.ASCII
)
_MEANINGS = {
    401: ": it does not take the credentials",
    403: ": the credentials may not do this",
    404: ": there is no such zone, or no such account",
    429: ": it wants fewer requests",
}


@dataclass(frozen=True, slots=True)
class At:
    """Where products are called: which addresses may be dialled, by which roots, and under which other origin, for tests."""

    addresses: AddressRule
    roots: bytes | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)


class Caller:
    """Takes steps. `clock` is aware UTC."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, record: str, steps: Callable[[datetime, Callable[[], str]], Steps], at: At) -> None:
        """Take all steps, from the first again where somebody wrote in between. `record` is what they change.

        Raises Refusal.
        """
        lock = self._locks.setdefault(record, asyncio.Lock())
        async with lock:
            for _ in range(_TRIES):
                try:
                    await self._take(steps(self._clock(), secrets.token_hex), at)
                except Changed:
                    continue
                return
        raise Refusal(f"had the record changed by somebody else {_TRIES} times in between")

    async def _take(self, steps: Steps, at: At) -> None:
        open_to = dict[str, Transport]()
        try:
            call = next(steps)
            while True:
                call = steps.send(await self._send(call, at, open_to))
        except StopIteration:
            return
        finally:
            steps.close()
            for one in open_to.values():
                await one.close()

    async def _send(self, call: Call, at: At, open_to: dict[str, Transport]) -> Reply:
        try:
            where = str(origin(call.url))
            there = at.elsewhere.get(where, where)
            if where not in open_to:
                server = Server(there, addresses=at.addresses, ca_bundle=at.roots, seconds=_SECONDS)
                open_to[where] = Transport(server)
            url = there + call.url.removeprefix(where)
            answer = await open_to[where].exchange(call.method, url, body=call.body or None, headers=dict(call.headers))
        except (ForbiddenTarget, Unreachable, MalformedAnswer) as error:
            raise Refusal(f"cannot be asked: {error}") from None
        if answer.status < 300 or answer.status in call.fine:
            return Reply(answer.status, answer.body)
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> Refusal:
        found = _CODE.search(answer.body[:8192])
        code = f" ({next(filter(None, found.groups())).decode()})" if found else ""
        now = self._clock()
        at = retry_after.parse(answer.headers.get("Retry-After"), now)
        wait = min(max((at - now).total_seconds(), 0.0), _LONGEST_WAIT) if at is not None else 0.0
        return Refusal(f"answers {answer.status}{code}{_MEANINGS.get(answer.status, '')}", wait)
