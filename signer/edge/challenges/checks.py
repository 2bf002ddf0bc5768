"""Self checks of Challenges: how many passed in a row, and whether one may be made now.

Kept in memory only: a restart makes them again, without harm. Runs on the loop, in the leader. The Pods that are asked may
be a tenant's, so the checks of one namespace keep a few of the workers at most.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from signer.api.challenge import Challenge
from signer.edge.challenges.presenter import Cause, Presenter
from signer.edge.challenges.step import Checks
from signer.edge.challenges.writer import ChallengeWriter
from signer.edge.issuers.shares import Shares

# What is found where the answer is not, or no longer; it is put in place again after so many in a row.
_MAY_BE_GONE = frozenset(
    (Cause.NOT_ROUTED, Cause.SHADOWED, Cause.WRONG_ANSWER, Cause.REDIRECTED_AWAY, Cause.NOT_PROPAGATED)
)
_PRESENT_AGAIN = 5


class SelfChecks:
    """Makes them, and counts."""

    def __init__(self, presenter: Presenter, writer: ChallengeWriter, *, clock: Callable[[], datetime]) -> None:
        self._presenter = presenter
        self._writer = writer
        self._clock = clock
        self._shares = Shares()
        self._checks: dict[str, Checks] = {}

    def of(self, challenge: Challenge) -> Checks:
        """What is known of a Challenge."""
        return self._checks.get(challenge.metadata.uid, Checks())

    def asked(self, challenge: Challenge) -> None:
        """The CA is asked now."""
        self._checks[challenge.metadata.uid] = replace(self.of(challenge), last=self._clock())

    def forget(self, challenge: Challenge) -> None:
        """Begin anew."""
        self._checks.pop(challenge.metadata.uid, None)

    async def look(self, challenge: Challenge) -> Challenge | None:
        """Look once, and say what was found wrong; None when it is not this namespace's turn."""
        with self._shares.namespace(challenge.metadata.namespace) as mine:
            if not mine:
                return None
            found = await self._presenter.check(challenge)
        checks = self.of(challenge)
        passes, failures = (checks.passes + 1, 0) if found.passed else (0, checks.failures + 1)
        self._checks[challenge.metadata.uid] = Checks(passes, failures, self._clock())
        if found.passed:
            return challenge
        message = found.message
        if found.cause in _MAY_BE_GONE and failures % _PRESENT_AGAIN == 0:
            # Somebody may have deleted what was presented, or the Gateway may be another by now.
            waiting = await self._presenter.present(challenge)
            message = waiting.message if waiting is not None else message
        return await self._writer.reason(challenge, message)
