"""Requests that go on while something else happens: "no request failed" means these.

Concurrency: one daemon thread for each pair of client and service; `failures` may be read at any time.
"""

import dataclasses
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.localmesh.asking import Answer
from tests.localmesh.workload import Workload

_PAUSE_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Failure:
    """One request that was not answered with 200, `after` seconds of traffic."""

    source: str
    target: str
    after: float
    answer: Answer


class Traffic:
    """Asks from each client for its service, again and again, each time on a new connection; `with` runs it."""

    def __init__(self, *pairs: tuple[Workload, Workload]) -> None:
        """Pairs of client and server."""
        self._pairs = pairs
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.answered = 0
        self.failures: list[Failure] = []

    def __enter__(self) -> Self:
        started = time.monotonic()
        for source, target in self._pairs:
            thread = threading.Thread(target=self._ask, args=(source, target, started), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, source: Workload, target: Workload, started: float) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            answer = source.ask(str(target))
            if answer.status == 200:
                self.answered += 1
            else:
                self.failures.append(Failure(str(source), str(target), time.monotonic() - started, answer))


def serials(workloads: Sequence[Workload]) -> dict[str, int]:
    """The serial number of each workload's present certificate; 0 for none."""
    found = {}
    for workload in workloads:
        certificate = workload.certificate()
        found[str(workload)] = certificate.serial_number if certificate is not None else 0
    return found
