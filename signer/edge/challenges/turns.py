"""Gives Challenges their turns (schedule.py): `processing` is stored before anything is done for one.

Runs on the loop, in the leader. What no Order of ours asks for takes no place, whatever its status says: anyone who may
write Challenges could fill them all, or keep another's name from being proven.
"""

from collections.abc import Callable
from datetime import datetime

from signer.api.challenge import CHALLENGES, FINALIZER, Challenge
from signer.api.event import reference_to
from signer.api.order import ORDERS, Order
from signer.edge.challenges.schedule import scheduled
from signer.edge.challenges.writer import ChallengeWriter
from signer.edge.orders.step import challenge_name
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.kube.reflector import Reflector
from signer.observe.write_errors import WriteErrors


class Turns:
    """Knows which Order a Challenge is of, and which Challenges are next."""

    def __init__(
        self,
        challenges: Reflector[Challenge],
        orders: Reflector[Order],
        writer: ChallengeWriter,
        *,
        clock: Callable[[], datetime],
        errors: WriteErrors,
    ) -> None:
        self._errors = errors
        self._challenges = challenges
        self._orders = orders
        self._writer = writer
        self._clock = clock

    async def give(self) -> None:
        """Store `processing` in those whose turn has come.

        Raises ApiError, Unreachable, once all the others have theirs.
        """
        failed: ApiError | Unreachable | None = None
        asked = [one for one in self._challenges.store.values() if _leaves(one) or self._asked_for(one)]
        for key in scheduled(asked, self._clock()):
            challenge = self._challenges.store.get(key)
            if challenge is None or self._writer.stale(challenge):
                continue
            try:
                await self._writer.patch(challenge, {"processing": True}, guarded=True)
            except NotFound:
                continue
            except Conflict as error:
                # It changed, and the watch brings it back here; only one that never gets its turn by that is news.
                self._errors.refused(reference_to(CHALLENGES, challenge.metadata), error)
                continue
            except (ApiError, Unreachable) as error:
                self._errors.refused(reference_to(CHALLENGES, challenge.metadata), error)
                failed = failed or error
                continue
            self._errors.fine(reference_to(CHALLENGES, challenge.metadata))
            self._writer.emit(challenge, "Normal", "Started", "Challenge scheduled for processing")
        if failed is not None:
            raise failed

    def order_of(self, challenge: Challenge) -> Order | None:
        """The Order that owns it by uid; anyone may write an owner, so that alone makes it none of ours."""
        meta = challenge.metadata
        for owner in meta.owner_references:
            order = self._orders.store.get((meta.namespace, owner.name)) if owner.kind == ORDERS.kind else None
            if order is not None and meta.owned_by(order.metadata, ORDERS):
                return order
        return None

    def _asked_for(self, challenge: Challenge) -> bool:
        order = self.order_of(challenge)
        return order is not None and any(
            challenge_name(order, one) == challenge.metadata.name and one.identifier == challenge.spec.dns_name
            for one in order.status.authorizations
        )


def _leaves(challenge: Challenge) -> bool:
    """Tell whether it will be gone soon, and has its place until what was presented is taken away."""
    return bool(challenge.metadata.deletion_timestamp) and FINALIZER in challenge.metadata.finalizers
