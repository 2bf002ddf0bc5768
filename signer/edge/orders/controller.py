"""Orders: what a CertificateRequest of an ACME issuer becomes, worked off step by step (step.py).

Runs on the loop, in the leader. Each step is stored before the next one, so that a process that dies goes on with the same
order: nothing but the Order itself is needed. An Order that we would not have made ourselves is never worked on.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import msgspec

from issuers.acme.chain import choose_chain, not_preferred, read_chains
from issuers.acme.errors import AcmeError, Refused, RetryLater
from issuers.acme.order import Authorization as Proof
from issuers.acme.order import Order as Placed
from issuers.acme.order import OrderStatus, Wish
from issuers.acme.renewal import certificate_id, life
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.duration import parse_duration
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.order import ORDERS, Order
from signer.api.retry import retry_time
from signer.api.text import capped
from signer.edge.hosts.permit import Permit
from signer.edge.issuers.accounts import Account
from signer.edge.issuers.shares import BUSY_RECHECK, Shares
from signer.edge.issuers.term import Term
from signer.edge.orders import step as steps
from signer.edge.orders.failures import OrderFailures
from signer.edge.orders.family import OrderFamily, hosts_of_order
from signer.edge.orders.gate import OrderGate, Waits
from signer.edge.orders.history import Obtained
from signer.edge.orders.make import is_rehearsal
from signer.edge.orders.step import told
from signer.edge.orders.values import (
    NOT_PLACED,
    answer_for,
    base64_text,
    csr_of,
    ended,
    finished,
    issuer_of,
    key_of,
    last_moment,
    leftover,
    placed_at,
    proof_of,
    status_of,
    until_next_look,
    waits_since,
    wish_of,
)
from signer.edge.orders.writer import OrderWriter, insist
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key
from signer.observe.write_errors import Told, WriteErrors
from signer.tenancy.verdict import Refuse
from signer.tenancy.world import Rate

log = logging.getLogger(__name__)

# Nobody who works an order off takes more steps than this at once.
_MAX_STEPS = 12


class OrderController:
    """Works Orders off. `queue` holds their keys."""

    def __init__(
        self,
        term: Term,
        orders: Reflector[Order],
        family: OrderFamily,
        gate: OrderGate,
        queue: WorkQueue[Key],
        *,
        permit: Permit | None = None,
    ) -> None:
        self._orders = orders
        self._certificates: Reflector[Certificate] | None = None
        self._family = family
        self._accounts = term.accounts
        self._gate = gate
        self._metrics = term.metrics
        self._permit = permit
        self._anew: set[str] = (
            set()
        )  # Orders (uids) that were placed anew, since what was proven was not by their owner
        self._clock = term.clock
        self._shares = Shares()
        self._writer = OrderWriter(term.client, term.recorder)
        self._errors = WriteErrors(term.recorder)
        self._failures = OrderFailures(term, orders, gate, family, self._writer, queue)
        self.queue = queue
        orders.subscribe(self._order_changed)
        term.accounts.on_ready(self._account_ready)
        gate.on_released(self._wake_unplaced)

    def _order_changed(self, change: Change[Order]) -> None:
        if change.kind == "synced":
            return
        if change.new is None and change.old is not None:
            self._family.forget(change.old)
            self._failures.forget(change.old)
            self._anew.discard(change.old.metadata.uid)
        self.queue.add(change.key)

    def follow(self, certificates: Reflector[Certificate]) -> None:
        """Hear from now on of owners who ask for another try."""
        self._certificates = certificates
        certificates.subscribe(self._certificate_changed)

    def _certificate_changed(self, change: Change[Certificate]) -> None:
        if change.new is None or change.kind == "synced":
            return
        before = retry_time(change.old.metadata.annotations) if change.old is not None else None
        if retry_time(change.new.metadata.annotations) not in (None, before):
            self._wake_unplaced(change.key[0])

    def _asked(self, owner: CertificateRequest) -> datetime | None:
        """When the owner of the Certificate that a request is for asked for another try; None when nobody did."""
        if self._certificates is not None:
            for one in owner.metadata.owner_references:
                found = self._certificates.store.get((owner.metadata.namespace, one.name))
                if found is not None and owner.metadata.owned_by(found.metadata, CERTIFICATES):
                    return retry_time(found.metadata.annotations)
        return None

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
            await self._writer.tidy(leftover(order, self._family.challenges(order)))
            return
        ref = issuer_of(order)
        account = self._accounts.get(ref) if ref is not None else None
        owner = await self._family.owner(order)
        if account is None or ref is None or owner is None:
            return  # taken up when the account is there; one that is not ours is left alone
        wait = self._failures.pause(order)
        with self._shares.turn(ref) as mine:
            if mine and not wait:
                await self._work(order, account, owner, ref)
            else:
                self.queue.add_after(key, wait or BUSY_RECHECK)

    async def _work(self, order: Order, account: Account, owner: CertificateRequest, ref: IssuerRef) -> None:
        key = key_of(order)
        try:
            for _ in range(_MAX_STEPS):
                following = await self._take(order, account, owner)
                if following is None:
                    return
                order = following
        except AcmeError as error:
            await self._failures.judge(order, owner, ref, error)
        except Conflict as error:
            self.queue.add_backoff(key, why=error)
        except NotFound:
            return

    async def show(self, key: Key, told: Told) -> None:
        """Say in its status what keeps an Order from going on. Raises ApiError, Unreachable."""
        if (order := self._orders.store.get(key)) is not None and not finished(order):
            live = await self._writer.live(order)
            if live.metadata.uid == order.metadata.uid and not finished(live):
                await self._writer.say(live, told.message)

    def about(self, key: Key) -> list[ObjectReference]:
        """Refer to the Order of this key, while there is one."""
        found = self._orders.store.get(key)
        return [reference_to(ORDERS, found.metadata)] if found is not None else []

    async def _take(self, order: Order, account: Account, owner: CertificateRequest) -> Order | None:
        """Take one step; the Order as it is then, or None when there is nothing to do now."""
        labels, solvers = owner.metadata.labels, account.issuer.solvers
        answer = partial(answer_for, account=account)
        match steps.order_step(order, self._family.challenges(order), solvers, labels, answer):
            case steps.PlaceOrder():
                return await self._place(order, account, owner)
            case steps.ReadOrder():
                return await self._read(order, account)
            case steps.ReadAuthorizations(urls):
                return await self._read_proofs(order, account, urls)
            case steps.MakeChallenges(wanted):
                for one in wanted:
                    await self._writer.challenge(order, one, answer(one.offered.type, one.offered.token))
                if order.status.reason:
                    # What was in the way of these, or whatever was waited for before.
                    await self._writer.patch(order, {"reason": None})
                return None
            case steps.RemoveChallenges(outdated):
                await self._writer.tidy(outdated)
                return None
            case steps.AwaitChallenges():
                return await self._await(order, account)
            case steps.Finalize():
                return await self._finalize(order, account)
            case steps.FetchCertificate():
                return await self._fetch(order, account)
            case steps.Fail(reason):
                return await self._failures.end(
                    order, "errored", reason.message, RetryLater(reason.code, reason.message)
                )
            case _:
                await self._writer.tidy(leftover(order, self._family.challenges(order)))
                return None

    async def _place(self, order: Order, account: Account, owner: CertificateRequest) -> Order | None:
        live = await self._writer.live(order)
        if live.status.url or live.metadata.uid != order.metadata.uid:
            return None  # the cache was behind, and brings it
        rates: tuple[tuple[str, Rate], ...] = ()
        if self._permit is not None:
            # Asked here too: an Order can be written by whoever may write Orders, and hosts change hands.
            rehearsal = is_rehearsal(live)
            issuer = owner.spec.issuer_ref if rehearsal else live.spec.issuer_ref
            verdict = await self._permit(owner, hosts_of_order(live), issuer)
            if isinstance(verdict, Refuse):
                return await self._failures.end(order, "errored", verdict.message, None)
            rates = () if rehearsal else verdict.rates
        wish = self._wish(live, account)
        # One that is placed anew was counted: its first order brings no certificate.
        counted = order.metadata.uid in self._anew
        asked = (
            None
            if counted
            else self._gate.ask(account, order.metadata.namespace, wish, rates, asked=self._asked(owner))
        )
        if isinstance(asked, Waits):
            # What the CA said of this very wait tells more than we know.
            if to_rfc3339(asked.until) not in live.status.reason:
                self._metrics.order(issuer_of(live), "held")
                await self._writer.note(live, asked.code, asked.text)
            self.queue.add_after(key_of(order), max((asked.until - self._clock()).total_seconds(), 1.0))
            return None
        try:
            placed = await account.session.new_order(wish)
        except AcmeError:
            if asked is not None:
                self._gate.withdrawn(asked)
            raise
        status = placed_at(placed, self._clock())
        # Who asked again would have two orders: this is written however long the API server is away.
        about = reference_to(ORDERS, order.metadata)
        written = await insist(
            lambda: self._writer.patch(order, status), on_error=lambda error: self._errors.refused(about, error)
        )
        self._errors.fine(about)
        self._writer.emit(written, "Normal", "OrderCreated", f"Created the order at {account.issuer.origin}")
        self._failures.forget(order)
        if asked is not None:
            await self._gate.stored(asked)
        self._metrics.order(issuer_of(live), "placed")
        self._metrics.left(issuer_of(live), self._gate.left(account))
        return written

    def _wish(self, order: Order, account: Account) -> Wish:
        """What is ordered, with the end that the Certificate wants where the issuer's CA takes one."""
        wish = wish_of(order)
        if not account.issuer.durations or not order.spec.duration:
            return wish
        return replace(wish, not_after=self._clock() + parse_duration(order.spec.duration))

    async def _read(self, order: Order, account: Account) -> Order | None:
        try:
            placed = await account.session.order(order.status.url, wish_of(order))
        except Refused as error:
            if error.http_status == 404:
                return await self._failures.end(order, "expired", "the CA no longer knows the order", None)
            raise
        return await self._shown(order, placed)

    async def _shown(self, order: Order, placed: Placed) -> Order | None:
        """Store how the CA says that the order is, or look again later where that is no news; None then."""
        status = status_of(placed, authorizations=not order.status.authorizations)
        now = self._clock()
        if (end := ended(placed, last_moment(order, placed.expires), now)) is not None:
            return await self._failures.end(order, end.state, end.why, end.failure)
        if status["state"] != order.status.state or "authorizations" in status:
            return await self._writer.patch(order, status)
        if text := waits_since(order, placed, now):
            await self._writer.say(order, text)
        self.queue.add_after(key_of(order), until_next_look(placed.retry_after, now).total_seconds())
        return None

    async def _await(self, order: Order, account: Account) -> Order | None:
        """Nothing to do before a Challenge changes; but when the order's time is over, the CA is asked how it is."""
        last = last_moment(order)
        if last is not None and (left := (last - self._clock()).total_seconds()) > 0:
            self.queue.add_after(key_of(order), left)
            return None
        return await self._read(order, account)

    async def _read_proofs(self, order: Order, account: Account, urls: tuple[str, ...]) -> Order | None:
        wish = wish_of(order)
        found = {url: await account.session.authorization(url, wish) for url in urls}
        ref = issuer_of(order)
        shared = ref is not None and not ref.namespace
        if shared and (inherited := [one for one in found.values() if self._gate.is_inherited(one)]):
            return await self._place_anew(order, account, inherited)
        listed = [
            proof_of(found[one.url]) if one.url in found else msgspec.to_builtins(one)
            for one in order.status.authorizations
        ]
        return await self._writer.patch(order, {"authorizations": listed})

    async def _place_anew(self, order: Order, account: Account, inherited: Sequence[Proof]) -> Order | None:
        """Give up what others have proven, and order again, once: the CA then wants it proven by who has the host now."""
        names = ", ".join(capped([str(one.identifier) for one in inherited]))
        if order.metadata.uid in self._anew:
            why = f"the CA takes {names} for proven, and not by this namespace, even after that was given up"
            return await self._failures.end(order, "errored", why, RetryLater("NotProvenAnew", why))
        for one in inherited:
            await account.session.deactivate(one.url)
        self._anew.add(order.metadata.uid)
        text = f"{names}: was proven before this namespace had it, and is proven anew by another order"
        self._writer.emit(order, "Normal", "ProvenAnew", text)
        return await self._writer.patch(order, {**NOT_PLACED, "reason": text})

    async def _finalize(self, order: Order, account: Account) -> Order | None:
        wish = wish_of(order)
        placed = Placed(order.status.url, OrderStatus.READY, wish.identifiers, (), order.status.finalize_url)
        try:
            after = await account.session.finalize(placed, csr_of(order), wish)
        except Refused as error:
            if error.code != "orderNotReady":
                raise
            # Sent before, by a process that ended before it could store that; or not all is proven after all.
            return await self._read(order, account)
        return await self._shown(order, after)

    async def _fetch(self, order: Order, account: Account) -> Order | None:
        wish = wish_of(order)
        placed = await account.session.order(order.status.url, wish)
        if placed.status is not OrderStatus.VALID or placed.certificate is None:
            return await self._shown(order, placed)
        preferred = account.issuer.preferred_chain
        found = await account.session.chains(placed.certificate, all_of_them=bool(preferred))
        chains, unread = read_chains(found.pems, wish, csr_of(order), self._clock())
        chosen = choose_chain(chains, preferred or None)
        lacking = not_preferred(chains, chosen, preferred, (*found.missed, *unread))
        written = await self._writer.patch(
            order, {"certificate": base64_text(chosen.pem), "reason": told(lacking) or None}
        )
        if lacking:
            self._writer.emit(written, "Warning", "PreferredChainMissing", told(lacking))
        self._writer.emit(written, "Normal", "Complete", "Order completed successfully")
        got = Obtained(certificate_id(chosen.leaf) or "", life(chosen.leaf))
        await self._gate.obtained(account, wish, got)
        self._metrics.order(issuer_of(order), "valid")
        return written

    def _wake_unplaced(self, namespace: str = "") -> None:
        """Look again at all Orders that no CA has been asked for yet, of one namespace or of all."""
        for key, order in self._orders.store.items():
            if namespace in ("", key[0]) and not order.status.url and not finished(order):
                self.queue.add(key)
