"""Challenges: each proves one name, worked off step by step (step.py) when its turn has come (turns.py).

Runs on the loop, in the leader. What is presented is taken away again before the finalizer goes, also after a restart.
A Challenge that we would not have made ourselves is never worked on.
"""

import contextlib
import logging
from datetime import datetime

from issuers.acme.errors import AcmeError, Fatal, Refused, judge
from issuers.acme.identifiers import identifier
from issuers.acme.order import Authorization, AuthorizationStatus, ChallengeStatus, Wish
from issuers.acme.order import Challenge as Offered
from signer.api.challenge import CHALLENGES, Challenge
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.order import FINAL_STATES, Order
from signer.edge.challenges.checks import SelfChecks
from signer.edge.challenges.presenter import Presenter
from signer.edge.challenges.step import POLL_INTERVAL, Do, challenge_step
from signer.edge.challenges.turns import Turns
from signer.edge.challenges.writer import ChallengeWriter
from signer.edge.issuers.accounts import Account
from signer.edge.issuers.shares import BUSY_RECHECK, Shares
from signer.edge.issuers.term import Term
from signer.edge.orders.family import OrderFamily
from signer.edge.orders.step import genuine, told
from signer.edge.orders.values import answer_for, issuer_of
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key, Superseded
from signer.observe.write_errors import Told, WriteErrors

log = logging.getLogger(__name__)

SCHEDULE: Key = ("", "")
"""The key under which turns are given out."""
_MAX_STEPS = 12
# A route or a gateway is waited for this long between two looks (seconds); most changes are seen by the self check.
_PRESENT_RECHECK = 2.0
# With the queue's pauses these are some minutes.
_CLEAN_UP_TRIES = 9


class ChallengeController:
    """Works Challenges off. `queue` holds their keys, and SCHEDULE."""

    def __init__(
        self,
        term: Term,
        family: OrderFamily,
        orders: Reflector[Order],
        challenges: Reflector[Challenge],
        presenter: Presenter,
        queue: WorkQueue[Key],
    ) -> None:
        clock = term.clock
        self._family = family
        self._challenges = challenges
        self._accounts = term.accounts
        self._presenter = presenter
        self._clock = clock
        self._superseded = Superseded()
        self._writer = ChallengeWriter(term.client, term.recorder, self._superseded)
        self._turns = Turns(challenges, orders, self._writer, clock=clock, errors=WriteErrors(term.recorder))
        self._checks = SelfChecks(presenter, self._writer, clock=clock)
        self._shares = Shares()
        self._pauses: dict[str, datetime] = {}
        self.queue = queue
        challenges.subscribe(self._changed)
        orders.subscribe(self._order_changed)
        term.accounts.on_ready(self._account_ready)

    def _changed(self, change: Change[Challenge]) -> None:
        self.queue.add(SCHEDULE)
        if change.kind == "synced":
            return
        if change.new is None and change.old is not None:
            self._checks.forget(change.old)
            self._pauses.pop(change.old.metadata.uid, None)
        self.queue.add(change.key)

    def _order_changed(self, change: Change[Order]) -> None:
        if change.old is None or change.new is None or change.old.raw_status != change.new.raw_status:
            self.queue.add(SCHEDULE)

    def _account_ready(self, ref: IssuerRef) -> None:
        for key, one in self._challenges.store.items():
            if one.status.state not in FINAL_STATES and issuer_of(one) == ref:
                self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Take one Challenge as far as it can go now, or give out turns."""
        if key == SCHEDULE:
            await self._turns.give()
            return
        challenge = self._challenges.store.get(key)
        if challenge is None:
            self._superseded.forget(key)
            return
        if self._superseded.stale(key, challenge.metadata.resource_version):
            return
        ref = issuer_of(challenge)
        try:
            with contextlib.nullcontext(True) if ref is None else self._shares.turn(ref) as mine:
                if not mine:
                    self.queue.add_after(key, BUSY_RECHECK)
                    return
                for _ in range(_MAX_STEPS):
                    following = await self._take(key, challenge)
                    if following is None:
                        return
                    challenge = following
            self.queue.add(key)
        except AcmeError as error:
            await self._failed(key, challenge, error)
        except Conflict as error:
            self.queue.add_backoff(key, why=error)
        except NotFound:
            return

    async def show(self, key: Key, told: Told) -> None:
        """Say in its status what keeps a Challenge from going on. Raises ApiError, Unreachable."""
        if (challenge := self._challenges.store.get(key)) is not None and challenge.status.state not in FINAL_STATES:
            await self._writer.reason(challenge, told.message)

    def about(self, key: Key) -> list[ObjectReference]:
        """Refer to the Challenge of this key, while there is one."""
        found = self._challenges.store.get(key)
        return [reference_to(CHALLENGES, found.metadata)] if found is not None else []

    async def _take(self, key: Key, challenge: Challenge) -> Challenge | None:
        now = self._clock()
        step = challenge_step(challenge, challenge.metadata.finalizers, self._checks.of(challenge), now)
        if step.at is not None and step.at > now:
            self.queue.add_after(key, (step.at - now).total_seconds())
            return None
        match step.do:
            case Do.NOTHING | Do.AWAIT_TURN:
                return None
            case Do.CLEAN_UP:
                if not await self._cleaned_up(key, challenge):
                    return None
                return await self._writer.patch(challenge, {"presented": False, "processing": False})
            case Do.RELEASE:
                if await self._cleaned_up(key, challenge):
                    await self._writer.release(challenge)
                return None
        until = self._pauses.get(challenge.metadata.uid, now)
        if until > now:
            # The CA wants to be left alone; what we write meanwhile brings the Challenge back much sooner.
            self.queue.add_after(key, (until - now).total_seconds())
            return None
        account = await self._account(challenge)
        if account is None:
            return None
        match step.do:
            case Do.SYNC:
                return await self._sync(key, challenge, account, accepted=False)
            case Do.POLL:
                self._checks.asked(challenge)
                return await self._sync(key, challenge, account, accepted=True)
            case Do.PRESENT:
                return await self._present(key, challenge)
            case Do.SELF_CHECK:
                looked = await self._checks.look(challenge)
                if looked is None:
                    self.queue.add_after(key, BUSY_RECHECK)
                return looked
            case _:
                return await self._accept(key, challenge, account)

    async def _cleaned_up(self, key: Key, challenge: Challenge) -> bool:
        """Take away what was presented. What cannot be is tried again, and in the end left and told."""
        left = await self._presenter.clean_up(challenge)
        if left is None:
            return True
        if left.again and self.queue.failures(key) < _CLEAN_UP_TRIES:
            self._writer.emit(challenge, "Warning", left.reason.code, f"Cleaning up: {left.reason.message}")
            self.queue.add_backoff(key)
            return False
        # A name server that is gone for good must not keep a namespace from being deleted.
        self._writer.emit(challenge, "Warning", "LeftBehind", f"Not cleaned up: {left.reason.message}")
        return True

    async def _account(self, challenge: Challenge) -> Account | None:
        """Return the account to work with, once it is sure that the Challenge is one of ours."""
        ref = issuer_of(challenge)
        account = self._accounts.get(ref) if ref is not None else None
        order = self._turns.order_of(challenge)
        if account is None or order is None or issuer_of(order) != ref:
            return None
        owner = await self._family.owner(order)
        key = answer_for(challenge.spec.type, challenge.spec.token, account)
        if owner is None or not genuine(challenge, order, account.issuer.solvers, owner.metadata.labels, key):
            await self._writer.reason(
                challenge, "this Challenge is not the one that its Order asks for; it is left alone"
            )
            return None
        return account

    async def _sync(self, key: Key, challenge: Challenge, account: Account, *, accepted: bool) -> Challenge | None:
        """Ask the server how the proof is, and store it."""
        proof = await self._proof(challenge, account)
        ours = next((one for one in proof.challenges if one.url == challenge.spec.url), None)
        if proof.status is AuthorizationStatus.VALID:
            written = await self._writer.patch(
                challenge, {"state": "valid", "reason": "Successfully authorized domain"}
            )
            self._writer.emit(
                written,
                "Normal",
                "DomainVerified",
                f"Domain {challenge.spec.dns_name!r} verified with {challenge.spec.type!r} validation",
            )
            return written
        failed = ours is not None and ours.status is ChallengeStatus.INVALID
        if proof.status is not AuthorizationStatus.PENDING or failed:
            problem = ours.error if ours is not None and ours.error is not None else proof.error()
            why = told(problem.text() if problem is not None else f"the authorization is {proof.status}")
            state = "expired" if proof.status is AuthorizationStatus.EXPIRED else "invalid"
            written = await self._writer.patch(
                challenge, {"state": state, "reason": f"Error accepting authorization: {why}"}
            )
            self._writer.emit(written, "Warning", "Failed", f"Accepting challenge authorization failed: {why}")
            return written
        working = accepted or (ours is not None and ours.status is not ChallengeStatus.PENDING)
        state = "processing" if working else "pending"
        if challenge.status.state != state:
            return await self._writer.patch(challenge, {"state": state})
        at = proof.retry_after or self._clock() + POLL_INTERVAL
        self.queue.add_after(key, min(max((at - self._clock()).total_seconds(), 0.2), 30.0))
        return None

    async def _proof(self, challenge: Challenge, account: Account) -> Authorization:
        spec = challenge.spec
        name = identifier(f"*.{spec.dns_name}" if spec.wildcard else spec.dns_name)
        return await account.session.authorization(spec.authorization_url, Wish((name,)))

    async def _present(self, key: Key, challenge: Challenge) -> Challenge | None:
        waiting = await self._presenter.present(challenge)
        if waiting is not None:
            await self._writer.reason(challenge, waiting.message, code=waiting.code)
            self.queue.add_after(key, _PRESENT_RECHECK)
            return None
        self._checks.forget(challenge)
        written = await self._writer.patch(
            challenge, {"presented": True, "presentedAt": to_rfc3339(self._clock()), "reason": None}
        )
        self._writer.emit(
            written, "Normal", "Presented", f"Presented challenge using {challenge.spec.type} challenge mechanism"
        )
        return written

    async def _accept(self, key: Key, challenge: Challenge, account: Account) -> Challenge | None:
        spec = challenge.spec
        kind = spec.type.lower()
        offered = Offered(kind, spec.url, spec.token, ChallengeStatus.PENDING)
        try:
            await account.session.accept(offered)
        except Refused as error:
            if error.http_status == 429 or error.http_status >= 500:
                raise
            # Accepted before, by a process that ended before it could store that: the authorization knows.
            return await self._sync(key, challenge, account, accepted=True)
        self._checks.forget(challenge)
        return await self._writer.patch(challenge, {"state": "processing", "reason": None})

    async def _failed(self, key: Key, challenge: Challenge, error: AcmeError) -> None:
        now = self._clock()
        ref = issuer_of(challenge)
        if isinstance(error, Refused) and error.code == "accountDoesNotExist" and ref is not None:
            self._accounts.lost(ref)
            return
        verdict = judge(error, now)
        gone = isinstance(error, Refused) and error.http_status == 404
        try:
            if isinstance(verdict, Fatal) or gone:
                await self._writer.patch(challenge, {"state": "errored", "reason": told(verdict.text)})
                self._writer.emit(challenge, "Warning", "Failed", told(verdict.text))
                return
            await self._writer.reason(challenge, told(verdict.text))
        except (Conflict, NotFound):
            return
        until = verdict.not_before
        if until is not None:
            self._pauses[challenge.metadata.uid] = until
            self.queue.add_after(key, max((until - now).total_seconds(), 1.0))
        else:
            self.queue.add_backoff(key)
