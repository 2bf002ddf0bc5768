"""How the answer of a challenge gets to where the CA looks for it, as the controller of Challenges sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from signer.api.challenge import Challenge
from signer.tenancy.verdict import Reason


class Cause(Enum):
    """Why a self check passed or failed; the words are those of a metric."""

    PASSED = "passed"
    NOT_RESOLVED = "no_such_host"
    WRONG_ADDRESS = "wrong_address"
    NOT_REACHED = "not_reached"
    NOT_ROUTED = "not_routed"
    NOT_ADMITTED = "not_admitted"
    SHADOWED = "shadowed"
    WRONG_ANSWER = "wrong_answer"
    REDIRECTED_AWAY = "redirected_away"
    NO_CERTIFICATE = "no_certificate"
    NOT_PROPAGATED = "not_propagated"


@dataclass(frozen=True, slots=True)
class Found:
    """The cause, and one line for a Challenge's status."""

    cause: Cause
    message: str

    @property
    def passed(self) -> bool:
        """Tell whether the CA can be told."""
        return self.cause is Cause.PASSED


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be taken away, and why. `again`: it may go later; else only a person can see to it."""

    reason: Reason
    again: bool = True


class Presenter(Protocol):
    """Puts answers in place and takes them away. Every method may be called again with the same Challenge."""

    async def present(self, challenge: Challenge) -> Reason | None:
        """Put the answer in place; a reason tells what must be there first."""

    async def check(self, challenge: Challenge) -> Found:
        """Look whether the answer can be seen, once."""

    async def clean_up(self, challenge: Challenge) -> Left | None:
        """Take away whatever was put in place for it. Nothing is there is no error."""


class ByType:
    """Gives each Challenge to the presenter of its type ("HTTP-01", "DNS-01", "DNS-PERSIST-01")."""

    def __init__(self, presenters: Mapping[str, Presenter]) -> None:
        self._presenters = dict(presenters)

    async def present(self, challenge: Challenge) -> Reason | None:
        """Put the answer in place; a reason tells what must be there first."""
        return await self._presenters[challenge.spec.type].present(challenge)

    async def check(self, challenge: Challenge) -> Found:
        """Look whether the answer can be seen, once."""
        return await self._presenters[challenge.spec.type].check(challenge)

    async def clean_up(self, challenge: Challenge) -> Left | None:
        """Take away whatever was put in place for it."""
        return await self._presenters[challenge.spec.type].clean_up(challenge)
