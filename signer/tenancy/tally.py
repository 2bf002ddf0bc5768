"""How many requests each SignerPolicy let pass or refused, until that is written to its status. No network; on the loop."""

from collections.abc import Iterable
from typing import NamedTuple


class Counts(NamedTuple):
    """Requests of one policy."""

    issued: int = 0
    refused: int = 0


class Tally:
    """What was counted and is not written yet, by the policy's name; the longest unwritten first."""

    def __init__(self) -> None:
        self._counts: dict[str, Counts] = {}

    def issued(self, policy: str) -> None:
        """A certificate was issued by this policy; "" is none."""
        if policy:
            issued, refused = self._counts.get(policy, (0, 0))
            self._counts[policy] = Counts(issued + 1, refused)

    def refused(self, policies: Iterable[str]) -> None:
        """A request for a signer that these policies give out was refused."""
        for policy in policies:
            issued, refused = self._counts.get(policy, (0, 0))
            self._counts[policy] = Counts(issued, refused + 1)

    def waiting(self) -> tuple[tuple[str, Counts], ...]:
        """Return all that is to be written."""
        return tuple(self._counts.items())

    def settle(self, policy: str, written: Counts) -> None:
        """Take off what was written; what was counted meanwhile stays."""
        issued, refused = self._counts.pop(policy, (0, 0))
        left = Counts(max(issued - written.issued, 0), max(refused - written.refused, 0))
        if any(left):
            self._counts[policy] = left
