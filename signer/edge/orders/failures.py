"""What becomes of an Order when a request to its CA failed: it waits, it ends, or the next issuer is asked.

Runs on the loop, in the leader.
"""

from datetime import datetime, timedelta

from issuers.acme.errors import AcmeError, Failure, Fatal, RateLimited, Refused, RetryLater, judge
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.order import Order
from signer.edge.issuers.accounts import Account
from signer.edge.issuers.choice import ENOUGH
from signer.edge.issuers.term import Term
from signer.edge.orders.family import OrderFamily
from signer.edge.orders.gate import OrderGate
from signer.edge.orders.values import issuer_of, key_of, overdue, wish_of
from signer.edge.orders.writer import OrderWriter
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Reflector
from signer.kube.superseded import Key

PATIENCE = timedelta(minutes=5)
"""A CA that is away for so long is left for the next issuer, where there is one."""


class OrderFailures:
    """Judges failures of Orders; `queue` has those that wait."""

    def __init__(
        self,
        term: Term,
        orders: Reflector[Order],
        gate: OrderGate,
        family: OrderFamily,
        writer: OrderWriter,
        queue: WorkQueue[Key],
    ) -> None:
        self._orders = orders
        self._accounts = term.accounts
        self._gate = gate
        self._family = family
        self._writer = writer
        self._queue = queue
        self._metrics = term.metrics
        self._clock = term.clock
        self._away: dict[str, datetime] = {}  # since when the CA of an Order (uid) does not answer
        self._pauses: dict[str, datetime] = {}  # until when the CA of an Order (uid) wants to be left alone

    def forget(self, order: Order) -> None:
        """The Order is gone, or its CA has answered."""
        self._away.pop(order.metadata.uid, None)
        self._pauses.pop(order.metadata.uid, None)

    def pause(self, order: Order) -> float:
        """How many seconds the CA still wants to be left alone; what we write meanwhile brings the Order back much sooner."""
        until = self._pauses.get(order.metadata.uid)
        return max((until - self._clock()).total_seconds(), 0.0) if until is not None else 0.0

    async def judge(self, order: Order, owner: CertificateRequest, ref: IssuerRef, error: AcmeError) -> None:
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
            await self.end(order, "errored", f"Failed to continue with the order: {verdict.text}", verdict)
            return
        if overdue(order, now):
            text = f"the order has expired; the last that was heard of its CA: {verdict.text}"
            await self.end(order, "expired", text, RetryLater("expired", text))
            return
        reason = "RateLimited" if isinstance(verdict, RateLimited) else verdict.reason
        until = verdict.not_before
        if until is not None and (order.status.url or not isinstance(verdict, RateLimited)):
            # A limit of new orders is the gate's. Another issuer is not kept waiting for long.
            longest = until if order.status.url else now + PATIENCE
            self._pauses[order.metadata.uid] = min(until, longest)
        await self._writer.note(current, reason, verdict.text + (f"; again at {to_rfc3339(until)}" if until else ""))
        if isinstance(verdict, RateLimited):
            if not order.status.url:
                await self._count(order, verdict)
            self._queue.add_after(key, max((verdict.not_before - now).total_seconds(), 1.0))
        elif not await self._leave(current, owner, verdict, now):
            self._queue.add_backoff(key, (until - now).total_seconds() if until is not None else None)

    async def _leave(self, order: Order, owner: CertificateRequest, why: RetryLater, now: datetime) -> bool:
        """Give up on a CA that is away for long, where another can be asked; whether we did."""
        since = self._away.setdefault(order.metadata.uid, now)
        account = self._account(order)
        alternatives = self._family.alternatives(owner).fallbacks
        if order.status.url or account is None or not alternatives or now - since < PATIENCE:
            return False
        await self._gate.gave_up(account, wish_of(order), why.reason, ENOUGH)
        await self._writer.withdraw(order, f"{account.issuer.origin} is away: {why.text}; the next issuer is asked")
        return True

    async def end(self, order: Order, state: str, why: str, failure: Failure | None) -> Order:
        """Store that nothing comes of the Order; `failure` keeps its names from being ordered again at once."""
        written = await self._writer.end(order, state, why, self._clock())
        self._metrics.order(issuer_of(order), "failed")
        if failure is not None:
            await self._count(order, failure)
        return written

    async def _count(self, order: Order, failure: Failure) -> None:
        """Put on record what keeps these names from being ordered again at once."""
        account = self._account(order)
        if account is not None:
            proven_not = any(one.status.state == "invalid" for one in self._family.challenges(order))
            namespace = order.metadata.namespace
            await self._gate.failed(account, namespace, wish_of(order), failure, proven_not=proven_not)

    def _account(self, order: Order) -> Account | None:
        ref = issuer_of(order)
        return self._accounts.get(ref) if ref is not None else None
