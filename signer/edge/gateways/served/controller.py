"""Asks gateways whether they serve what was written, and tells: on the HostClaim, in an Event, in a metric.

A queue of its own: no certificate ever waits for it. A key is a namespace and the name of a Secret that it wants. Used on
the loop, in the leader; so many handshakes at once at most. What is decided is in step.py.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from signer.api.meta import find_condition, set_condition
from signer.api.secret import Secret
from signer.api.tls_secret import is_placeholder, read_leaf
from signer.edge.gateways.look import Known, Telling
from signer.edge.gateways.served.step import (
    MAX_PODS,
    SERVED,
    STATES,
    Expected,
    Found,
    State,
    due,
    hosts_on,
    judge,
    known_served,
    next_look,
    worst,
)
from signer.edge.host import Host
from signer.edge.proxies.pods import GatewayPods, Served
from signer.edge.proxies.tls import shown
from signer.edge.proxies.values import Sight
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change
from signer.tenancy.verdict import Reason

logger = logging.getLogger(__name__)

Key = tuple[str, str]
_AT_ONCE = 8


class ServedProbes:
    """Works keys off. `on_states` is given how many certificates are in which state."""

    def __init__(
        self,
        client: ApiClient,
        known: Known,
        telling: Telling,
        queue: WorkQueue[Key],
        *,
        clock: Callable[[], datetime],
        on_states: Callable[[Mapping[str, int]], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._sources = known.sources
        self._claims = known.claims
        self._secrets = known.secrets.watch
        self._telling = telling
        self._clock = clock
        self._on_states = on_states
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._expected: dict[Key, Expected] = {}
        self._of_secret: dict[Key, set[Key]] = {}
        self._first: dict[Key, tuple[frozenset[int], datetime]] = {}
        self._states: dict[Key, State] = {}
        self.queue = queue
        self._secrets.subscribe(self._secret_changed)

    def expect(self, namespace: str, expected: Iterable[Expected]) -> None:
        """Say what a namespace's gateways should serve from now on; what is not said any more is forgotten."""
        wanted = {(namespace, one.wish.secret_name): one for one in expected}
        for key in [key for key in self._expected if key[0] == namespace and key not in wanted]:
            self._forget(key)
        for key, one in wanted.items():
            if self._expected.get(key) == one:
                continue
            self._forget(key)
            self._expected[key] = one
            for target in one.targets:
                self._of_secret.setdefault((target, key[1]), set()).add(key)
            self.queue.add(key)

    def _forget(self, key: Key) -> None:
        old = self._expected.pop(key, None)
        self._first.pop(key, None)
        self._states.pop(key, None)
        for target in old.targets if old is not None else ():
            self._of_secret.get((target, key[1]), set()).discard(key)

    def _secret_changed(self, change: Change[Secret]) -> None:
        for key in self._of_secret.get(change.key, ()):
            self.queue.add(key)

    async def look(self, key: Key) -> None:
        """Ask the gateways about one certificate, if there is one and it is not known to be served."""
        expected = self._expected.get(key)
        serials = await self._serials(expected) if expected is not None else frozenset[int]()
        if expected is None or not serials:
            return
        now = self._clock()
        if self._first.get(key, (None, now))[0] != serials:
            self._first[key] = (serials, now)
        elif self._states.get(key) == "served":
            return
        since = due(self._first[key][1], now)
        if all(known_served(self._said(host), serials) for host in expected.wish.hosts):
            self._count(key, "served")
            return
        sights = await self._ask(expected)
        found = [judge(host, serials, sights, since=since) for host in {sight.host: None for sight in sights}]
        if self._expected.get(key) is not expected:
            return
        for one in found:
            await self._say(one)
        state, before = worst(found) if found else "waiting", self._states.get(key)
        self._count(key, state)
        if state not in {before, "waiting"}:
            self._tell(expected, state, found)
        if state != "served":
            self.queue.add_after(key, next_look(since))

    async def _serials(self, expected: Expected) -> frozenset[int]:
        """The serial numbers in its Secrets; none while one of them is missing or holds a placeholder."""
        found = set()
        for target in expected.targets:
            secret = self._secrets.store.get((target, expected.wish.secret_name))
            leaf = await asyncio.to_thread(read_leaf, secret) if secret is not None else None
            if leaf is None or is_placeholder(leaf):
                return frozenset()
            found.add(leaf.serial_number)
        return frozenset(found)

    async def _ask(self, expected: Expected) -> list[Sight]:
        wish = expected.wish
        asked: list[Any] = []
        for source in wish.sources:
            obj = self._sources.get(source)
            served = await GatewayPods(self._client, expected.targets).find(obj, wish.hosts[0]) if obj else None
            if obj is None or not isinstance(served, Served):
                continue
            hosts = hosts_on(obj, wish, served.ports)
            for address in served.pods[:MAX_PODS]:
                asked += [self._see(host, address, wish.key_algorithm) for host in hosts]
        return list(await asyncio.gather(*asked))

    async def _see(self, host: Host, address: Any, key_algorithm: str) -> Sight:
        async with self._gate:
            return await shown(host, address, key_algorithm)

    def _said(self, host: Host) -> Any:
        claim = self._claims.hosts.store.get(("", host.claim_name))
        return find_condition(claim.status.conditions, SERVED) if claim is not None else None

    async def _say(self, found: Found) -> None:
        """Have it on the HostClaim; what cannot be written now is written at the next look, and is only news."""
        claim = self._claims.hosts.store.get(("", found.host.claim_name))
        if claim is None or found.status == "Unknown":
            return
        conditions = set_condition(
            claim.status.conditions,
            SERVED,
            found.status,
            reason=found.reason,
            message=found.message,
            now=self._clock(),
        )
        if conditions == claim.status.conditions:
            return
        try:
            await self._claims.write_status(claim, {"conditions": msgspec.to_builtins(conditions)})
        except (Conflict, NotFound) as error:
            logger.debug("HostClaim %s: %s", claim.metadata.name, error)
            raise

    def _tell(self, expected: Expected, state: State, found: list[Found]) -> None:
        one = next(one for one in found if one.state == state)
        reason = Reason(
            "CertificateServed" if state == "served" else "CertificateNotServed", f"{one.host}: {one.message}"
        )
        self._telling.event(expected.wish.sources, "Normal" if state == "served" else "Warning", reason)

    def _count(self, key: Key, state: State) -> None:
        self._states[key] = state
        listed = list(self._states.values())
        self._on_states({one: listed.count(one) for one in STATES})
