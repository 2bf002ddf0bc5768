"""The shared solver: answers challenges over HTTP in every replica, led or not, as gateways send them here (modes D and E).

Anyone in the cluster may ask; signer/observe/listener.py bounds what all who ask may cost. Used on the loop; `run` is one
task. It knows the Challenges by a watch of its own, which keeps only those that are presented.
"""

import logging
from collections.abc import Callable
from typing import Self

from signer.api.challenge import CHALLENGES, Challenge
from signer.edge.http01.solver_answers import Answers, answer_head, answers_of, presented
from signer.kube.client import ApiClient
from signer.kube.discovery.served import Served, locate
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import Change
from signer.observe.listener import Listener

log = logging.getLogger(__name__)


class SharedSolver:
    """Listens while its block lasts (OSError when the address cannot be had); answers what `run` watches."""

    def __init__(
        self, client: ApiClient, bind: str, *, on_restart: Callable[[str], None] = lambda _resource: None
    ) -> None:
        self._answers: Answers = {}
        self._server = Listener(bind, lambda head: answer_head(self._answers, head))
        self._watch: Served[Challenge] = Served(
            "Challenges",
            client,
            locate(CHALLENGES),
            JsonCodec(Challenge, keep=lambda one: one if presented(one) else None),
            self._changed,
            on_absent=self._forget,
            on_restart=on_restart,
        )

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        log.info("challenges are answered on port %d", self._server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    async def run(self) -> None:
        """Watch Challenges until cancelled."""
        await self._watch.run()

    def _changed(self, _change: Change[Challenge]) -> None:
        # As many are presented at once as challenges/schedule.py lets (MAX_CONCURRENT): reading them all anew is nothing.
        self._answers = answers_of(self._watch.store.values())

    def _forget(self) -> None:
        self._answers = {}
