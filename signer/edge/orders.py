"""Orders: what a CertificateRequest of an ACME issuer becomes, worked off step by step (lifecycle.order_step).

Runs on the loop, in the leader; the conversation with the server is in threads. Each step is stored before the next one,
so that a process that dies goes on with the same order: nothing but the Order itself is needed. An Order that we would
not have made ourselves is never worked on.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from issuers.acme import limits
from issuers.acme.chain import choose_chain, read_chain
from issuers.acme.client import Session
from issuers.acme.errors import AcmeError, Fatal, RateLimited, Refused, judge
from issuers.acme.identifiers import set_key
from issuers.acme.order import Order as Placed
from issuers.acme.order import OrderStatus
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.order import Order
from signer.edge import lifecycle as steps
from signer.edge.accounts import Account, Accounts
from signer.edge.order_family import OrderFamily
from signer.edge.order_values import (
    answer_for,
    base64_text,
    csr_of,
    finished,
    issuer_of,
    key_of,
    proof_of,
    status_of,
    wish_of,
)
from signer.edge.order_writer import OrderWriter
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key
from signer.observe.events import EventRecorder

log = logging.getLogger(__name__)

_POLL = timedelta(seconds=1)
_LONGEST = timedelta(minutes=5)
# Nobody who works an order off takes more steps than this at once.
_MAX_STEPS = 12


class OrderController:
    """Works Orders off. `queue` holds their keys."""

    def __init__(
        self,
        client: ApiClient,
        recorder: EventRecorder,
        orders: Reflector[Order],
        challenges: Reflector[Challenge],
        accounts: Accounts,
        queue: WorkQueue[Key],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._orders = orders
        self._accounts = accounts
        self._clock = clock
        self._writer = OrderWriter(client, recorder)
        self.family = OrderFamily(client, challenges, queue.add)
        self.queue = queue
        orders.subscribe(self._order_changed)
        accounts.on_ready(self._account_ready)

    def _order_changed(self, change: Change[Order]) -> None:
        if change.kind == "synced":
            return
        if change.new is None and change.old is not None:
            self.family.forget(change.old)
        self.queue.add(change.key)

    def _account_ready(self, ref: IssuerRef) -> None:
        for key, order in self._orders.store.items():
            if not finished(order) and issuer_of(order) == ref:
                self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Take one Order as far as it can go now."""
        order = self._orders.store.get(key)
        if order is None:
            self._writer.forget(key)
            return
        if self._writer.stale(order) or order.metadata.deletion_timestamp:
            return
        if finished(order):
            await self._writer.tidy(self.family.challenges(order))
            return
        ref = issuer_of(order)
        account = self._accounts.get(ref) if ref is not None else None
        owner = await self.family.owner(order)
        if account is None or ref is None or owner is None:
            return  # taken up when the account is there; one that is not ours is left alone
        try:
            for _ in range(_MAX_STEPS):
                following = await self._take(order, account, owner.metadata.labels)
                if following is None:
                    return
                order = following
        except AcmeError as error:
            await self._failed(order, ref, error)
        except Conflict:
            self.queue.add_backoff(key)
        except NotFound:
            return

    async def _take(self, order: Order, account: Account, labels: Mapping[str, str]) -> Order | None:
        """Take one step; the Order as it is then, or None when there is nothing to do now."""
        match steps.order_step(order, self.family.challenges(order), account.issuer.solvers, labels):
            case steps.PlaceOrder():
                return await self._place(order, account)
            case steps.ReadOrder():
                return await self._read(order, account)
            case steps.ReadAuthorizations(urls):
                return await self._read_proofs(order, account, urls)
            case steps.MakeChallenges(wanted):
                for one in wanted:
                    key = answer_for(one.offered.type, one.offered.token, account)
                    await self._writer.challenge(order, one, key)
                return None
            case steps.AwaitChallenges():
                return None
            case steps.Finalize():
                return await self._finalize(order, account)
            case steps.FetchCertificate():
                return await self._fetch(order, account)
            case steps.Fail(reason):
                return await self._end(order, "errored", reason.message)
            case _:
                await self._writer.tidy(self.family.challenges(order))
                return None

    async def _place(self, order: Order, account: Account) -> Order | None:
        live = await self._writer.live(order)
        if live.status.url or live.metadata.uid != order.metadata.uid:
            return None  # the cache was behind, and brings it
        wish, now = wish_of(live), self._clock()
        asking = limits.Asking(
            f"{account.issuer.server} {account.sessions.account_url}",
            order.metadata.namespace,
            set_key(wish.identifiers),
            tuple(one.value for one in wish.identifiers),
            renewal=bool(wish.replaces),
        )
        asked = limits.ask(self._accounts.bounds, self._accounts.spent, asking, now)
        if isinstance(asked, limits.Held):
            text = f"held back, to stay within the CA's limits ({asked.limit} {asked.subject}), until {to_rfc3339(asked.until)}"
            await self._writer.note(live, "LimitReached", text)
            self.queue.add_after(key_of(order), (asked.until - now).total_seconds())
            return None
        self._accounts.spent = asked.state
        try:
            placed = await account.sessions.call(Session.new_order, wish)
        except AcmeError:
            self._accounts.spent = limits.give_back(self._accounts.bounds, self._accounts.spent, asking, now)
            raise
        written = await self._writer.patch(order, status_of(placed, authorizations=True) | {"reason": None})
        self._writer.emit(written, "Normal", "OrderCreated", f"Created the order at {account.issuer.origin}")
        return written

    async def _read(self, order: Order, account: Account) -> Order | None:
        try:
            placed = await account.sessions.call(Session.order, order.status.url, wish_of(order))
        except Refused as error:
            if error.http_status == 404:
                return await self._end(order, "expired", "the CA no longer knows the order")
            raise
        status = status_of(placed, authorizations=not order.status.authorizations)
        now = self._clock()
        if placed.status is OrderStatus.INVALID:
            return await self._end(order, "invalid", placed.error.text() if placed.error else "the CA gives no reason")
        if placed.status is OrderStatus.PENDING and placed.expires is not None and placed.expires <= now:
            return await self._end(order, "expired", "the order has expired")
        if status["state"] != order.status.state or "authorizations" in status:
            return await self._writer.patch(order, status)
        self._again(order, placed.retry_after)
        return None

    def _again(self, order: Order, at: datetime | None) -> None:
        now = self._clock()
        wait = min(max((at or now + _POLL) - now, timedelta(milliseconds=200)), _LONGEST)
        self.queue.add_after(key_of(order), wait.total_seconds())

    async def _read_proofs(self, order: Order, account: Account, urls: tuple[str, ...]) -> Order:
        wish = wish_of(order)
        found = {url: await account.sessions.call(Session.authorization, url, wish) for url in urls}
        listed = [
            proof_of(found[one.url]) if one.url in found else msgspec.to_builtins(one)
            for one in order.status.authorizations
        ]
        return await self._writer.patch(order, {"authorizations": listed})

    async def _finalize(self, order: Order, account: Account) -> Order | None:
        wish = wish_of(order)
        placed = Placed(order.status.url, OrderStatus.READY, wish.identifiers, (), order.status.finalize_url)
        try:
            after = await account.sessions.call(Session.finalize, placed, csr_of(order), wish)
        except Refused as error:
            if error.code != "orderNotReady":
                raise
            # Sent before, by a process that ended before it could store that; or not all is proven after all.
            return await self._read(order, account)
        return await self._writer.patch(order, status_of(after))

    async def _fetch(self, order: Order, account: Account) -> Order | None:
        wish = wish_of(order)
        placed = await account.sessions.call(Session.order, order.status.url, wish)
        if placed.certificate is None:
            self._again(order, placed.retry_after)
            return None
        preferred = account.issuer.preferred_chain
        pems = await account.sessions.call(Session.chains, placed.certificate, all_of_them=bool(preferred))
        csr, now = csr_of(order), self._clock()
        chosen = choose_chain([read_chain(pem, wish, csr, now) for pem in pems], preferred or None)
        written = await self._writer.patch(order, {"certificate": base64_text(chosen.pem), "reason": None})
        self._writer.emit(written, "Normal", "Complete", "Order completed successfully")
        return written

    async def _failed(self, order: Order, ref: IssuerRef, error: AcmeError) -> None:
        """What a refusal or a failure of one request means for the Order."""
        now = self._clock()
        key = key_of(order)
        current = self._orders.store.get(key) or order
        if isinstance(error, Refused) and error.code == "accountDoesNotExist":
            self._accounts.lost(ref)
            await self._writer.note(current, "AccountUnknown", str(error))
            return
        verdict = judge(error, now)
        if isinstance(verdict, Fatal):
            await self._end(order, "errored", f"Failed to go on with the order: {verdict.text}")
            return
        reason = "RateLimited" if isinstance(verdict, RateLimited) else verdict.reason
        until = verdict.not_before
        await self._writer.note(current, reason, verdict.text + (f"; again at {to_rfc3339(until)}" if until else ""))
        if isinstance(verdict, RateLimited):
            self.queue.add_after(key, max((verdict.not_before - now).total_seconds(), 1.0))
        else:
            self.queue.add_backoff(key, (until - now).total_seconds() if until is not None else None)

    async def _end(self, order: Order, state: str, why: str) -> Order:
        written = await self._writer.end(order, state, why, self._clock())
        names = [name.lower() for name in order.spec.dns_names]
        ref = issuer_of(order)
        account = self._accounts.get(ref) if ref is not None else None
        if account is not None and any(one.status.state == "invalid" for one in self.family.challenges(order)):
            self._accounts.spent = limits.count_failures(
                self._accounts.bounds,
                self._accounts.spent,
                f"{account.issuer.server} {account.sessions.account_url}",
                order.metadata.namespace,
                names,
                self._clock(),
            )
        return written
