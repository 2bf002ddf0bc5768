"""Whether the API server answers at all: told once for all who ask it, and once when it does again. Used on the loop only.

Each watch, Lease and write notices for itself; their lines would say the same a dozen times, in as many words.
"""

import logging
from collections.abc import Callable

from signer.kube.errors import ApiError, Unreachable

log = logging.getLogger(__name__)

TOO_MANY = 429
_STARTING = "storage is (re)initializing"

PATIENCE = 2.0
"""Seconds without any answer until it is told: a connection that was cut is dialled again in less."""


def loudness(error: BaseException) -> int:
    """Return the level of a line about a call that failed.

    That nobody answers is told here, and elsewhere only to debug. What the API server says while it takes a definition in, or starts,
    passes by itself. Source: k8s.io/apiserver, pkg/storage/cacher (errors.NewTooManyRequests, "storage is (re)initializing").
    """
    if isinstance(error, ApiError) and error.status == TOO_MANY and _STARTING in str(error):
        return logging.INFO
    return logging.DEBUG if isinstance(error, Unreachable) else logging.WARNING


class Reach:
    """Takes each answer and each request without one. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._told = False

    def answered(self) -> None:
        """Take that an answer came, whatever it was."""
        if self._since is None:
            return
        if self._told:
            log.info("the API server answers again, after %.0f s", self._clock() - self._since)
        self._since, self._told = None, False

    def failed(self, error: BaseException) -> None:
        """Take that a request had no answer, and why."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if not self._told and now - self._since >= PATIENCE:
            self._told = True
            log.warning("the API server does not answer, and is asked until it does: %s", error)
