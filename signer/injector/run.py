"""Puts the CA injector together: watches, queue and controller, at work only while cert-manager's cainjector is not.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from signer.injector.api_server import OwnCA
from signer.injector.asked import ApiServerCA
from signer.injector.controller import InjectionController
from signer.injector.rival import RIVAL_NAMESPACE, Rival
from signer.injector.told import Told
from signer.injector.watched import Key, Watched
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.observe.controller_queue import ControllerQueue
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics

log = logging.getLogger(__name__)

CA_INJECTOR = "cainjector"
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class InjectorOptions:
    """`namespace` is our own; `namespaces` are those from which CAs are taken, empty: all."""

    namespace: str = "cert-manager"
    namespaces: frozenset[str] = frozenset()
    kubeconfig: str | None = None


class Injector:
    """Runs the injector until cancelled. `trouble` says what keeps it from working, for people; "" when nothing does."""

    def __init__(
        self,
        client: ApiClient,
        recorder: EventRecorder,
        metrics: Metrics,
        options: InjectorOptions,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._metrics = metrics
        self._options = options
        self._clock = clock
        self._rival: Rival | None = None
        self._watched: Watched | None = None

    @property
    def trouble(self) -> str:
        """See the class."""
        if self._rival is not None and self._rival.trouble:
            return self._rival.trouble
        if self._watched is not None and self._watched.unread:
            return f"not read yet: {self._watched.unread}"
        return ""

    async def run(self) -> None:
        """Work until cancelled."""
        rival = self._rival = Rival(self._client, (RIVAL_NAMESPACE, self._options.namespace), _tell)
        try:
            await rival.look()
            while True:
                await rival.until(present=False)
                work = asyncio.create_task(self._work())
                watch = asyncio.create_task(rival.until(present=True))
                try:
                    await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
                    if work.done():
                        await work  # raises what it raised
                finally:
                    for task in (work, watch):
                        task.cancel()
                    await asyncio.wait((work, watch))
        finally:
            self._rival = None

    async def _work(self) -> None:
        queue = ControllerQueue[Key](self._metrics, CA_INJECTOR)
        watched = self._watched = Watched(self._client, self._options.namespaces, self._metrics.watch_restarted)
        watched.enqueue = queue.add
        own_ca = OwnCA(self._options.kubeconfig, lambda: watched.enqueue_users(ApiServerCA()))
        told = Told(self._recorder, self._metrics)
        controller = InjectionController(self._client, watched, own_ca, told, queue, self._clock)
        try:
            async with asyncio.TaskGroup() as tasks:
                for run in (own_ca.run, watched.sources.run, *(one.run for one in watched.objects.values())):
                    tasks.create_task(run())
                await watched.sources.synced.wait()
                tasks.create_task(queue.run(controller.reconcile, workers=_WORKERS))
        finally:
            told.clear()
            self._watched = None


def _tell(trouble: str) -> None:
    if trouble:
        log.warning("CA injector: %s", trouble)
    else:
        log.info("CA injector: at work")
