"""The queue of one controller, as people see it: what it handles is counted, and what failed is counted and told on its objects.

Runs on the loop, like the WorkQueue that it is.
"""

import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from signer.api.event import ObjectReference
from signer.kube.errors import ApiError, Stopped, Unreachable
from signer.kube.queue import WorkQueue
from signer.kube.reach import loudness
from signer.observe.metrics import Metrics
from signer.observe.write_errors import Told, WriteErrors

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


def namespace_of(key: tuple[str, str]) -> str:
    """The flow of an object's key, (namespace, name): controllers serve namespaces in turn."""
    return key[0]


class ControllerQueue(WorkQueue[K]):
    """A WorkQueue whose calls and errors are in the metrics under the controller's name. `flow` and `cap` as there.

    With `tells`, an error is also told on the objects that it stopped.
    """

    def __init__(
        self, metrics: Metrics, controller: str, *, flow: Callable[[K], Hashable] | None = None, cap: float = 300.0
    ) -> None:
        super().__init__(cap=cap, on_error=self.failed, flow=flow)
        self._controller = controller
        self._calls, self._errors = metrics.sync_calls, metrics.sync_errors
        self._telling: _Telling[K] | None = None
        self._why: dict[K, Exception] = {}

    def tells(
        self,
        errors: WriteErrors,
        about: Callable[[K], Iterable[ObjectReference]],
        show: Callable[[K, Told], Awaitable[None]] | None = None,
    ) -> None:
        """Have what stops a key told by `errors` on the objects that `about` names, and by `show` in their status."""
        self._telling = _Telling(errors, about, show)

    async def run(self, handler: Callable[[K], Awaitable[None]], workers: int = 1) -> None:
        """As WorkQueue.run."""

        async def handle(key: K) -> None:
            self._calls.labels(self._controller).inc()
            try:
                await handler(key)
            except (ApiError, Stopped, Unreachable) as error:
                self._why.pop(key, None)
                await self._stopped(key, error)
                raise
            if (why := self._why.pop(key, None)) is not None:
                await self._stopped(key, why)
            elif self._telling is not None:
                self._telling.errors.fine((self._controller, key))

        await super().run(handle, workers)

    def add_backoff(self, key: K, retry_after: float | None = None, *, why: Exception | None = None) -> None:
        """As WorkQueue.add_backoff."""
        if why is not None and self._telling is not None:
            self._why[key] = why
        super().add_backoff(key, retry_after)

    async def _stopped(self, key: K, error: Exception) -> None:
        telling = self._telling
        if telling is None:
            return
        told = telling.errors.failed((self._controller, key), error, lambda: telling.about(key))
        if told is not None and telling.show is not None:
            # That write may be refused as the other one was; then the Event tells alone.
            with contextlib.suppress(ApiError, Unreachable):
                await telling.show(key, told)

    def failed(self, key: K, error: Exception) -> None:
        """Count and tell that a key was not handled."""
        self._errors.labels(self._controller).inc()
        named = "/".join(key) if isinstance(key, tuple) else str(key)
        fields = {"object": f"{self._controller} {named}", "namespace": key[0] if isinstance(key, tuple) else ""}
        if isinstance(error, ApiError | Stopped | Unreachable):
            log.log(loudness(error), "%s: %s: %s", self._controller, named, error, extra=fields)
        else:
            # The text of an unforeseen exception may quote what it choked on: only its kind and place are told.
            where = traceback.extract_tb(error.__traceback__)[-1:]
            log.error("%s: %s: unforeseen %s at %s", self._controller, named, type(error).__name__, where)


@dataclass(frozen=True, slots=True)
class _Telling(Generic[K]):
    errors: WriteErrors
    about: Callable[[K], Iterable[ObjectReference]]
    show: Callable[[K, Told], Awaitable[None]] | None
