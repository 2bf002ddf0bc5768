"""How the answer of a challenge gets to where the CA looks for it, as the controller of Challenges sees it."""

from typing import Protocol

from signer.api.challenge import Challenge
from signer.edge.selfcheck import Found
from signer.tenancy.verdict import Reason


class Presenter(Protocol):
    """Puts answers in place and takes them away. Every method may be called again with the same Challenge."""

    async def present(self, challenge: Challenge) -> Reason | None:
        """Put the answer in place; a reason tells what must be there first."""

    async def check(self, challenge: Challenge) -> Found:
        """Look whether the answer can be seen, once."""

    async def clean_up(self, challenge: Challenge) -> None:
        """Take away whatever was put in place for it. Nothing is there is no error."""
