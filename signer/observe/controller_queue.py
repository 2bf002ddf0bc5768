"""The queue of one controller, as people see it: what it handles is counted, and what failed is counted and told.

Runs on the loop, like the WorkQueue that it is.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from signer.kube.errors import ApiError, Unreachable
from signer.kube.queue import WorkQueue
from signer.observe.metrics import Metrics

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


def namespace_of(key: tuple[str, str]) -> str:
    """The flow of an object's key, (namespace, name): controllers serve namespaces in turn."""
    return key[0]


class ControllerQueue(WorkQueue[K]):
    """A WorkQueue whose calls and errors are in the metrics under the controller's name. `flow` as there."""

    def __init__(self, metrics: Metrics, controller: str, *, flow: Callable[[K], Hashable] | None = None) -> None:
        super().__init__(on_error=self.failed, flow=flow)
        self._controller = controller
        self._calls, self._errors = metrics.sync_calls, metrics.sync_errors

    async def run(self, handler: Callable[[K], Awaitable[None]], workers: int = 1) -> None:
        """As WorkQueue.run."""

        async def handle(key: K) -> None:
            self._calls.labels(self._controller).inc()
            await handler(key)

        await super().run(handle, workers)

    def failed(self, key: K, error: Exception) -> None:
        """Count and tell that a key was not handled."""
        self._errors.labels(self._controller).inc()
        named = "/".join(key) if isinstance(key, tuple) else str(key)
        if isinstance(error, ApiError | Unreachable):
            log.warning("%s: %s: %s", self._controller, named, error)
        else:
            # The text of an unforeseen exception may quote what it choked on: only its kind and place are told.
            where = traceback.extract_tb(error.__traceback__)[-1:]
            log.error("%s: %s: unforeseen %s at %s", self._controller, named, type(error).__name__, where)
