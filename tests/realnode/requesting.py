"""istiod's requests, one after the other while something else happens, and what became of each.

A thread with a loop of its own makes the requests; the other methods are for the test's thread. The witness is the local mesh's
watcher, which shares no code with the signer.
"""

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.localmesh.errors import LocalMeshError
from tests.localmesh.istiod_requests import Issued, Workload, istiod_client, obtain_certificate
from tests.localmesh.watcher import Count, Watcher

_SECONDS_BETWEEN = 0.25
PATIENCE = 120.0


class Steady:
    """A request every quarter of a second, each waited for as long as istiod waits; use as a context manager."""

    def __init__(self, istiod: Path, admin: Path, workload: Workload) -> None:
        self._istiod = istiod
        self._workload = workload
        self._watcher = Watcher(admin)
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._make()), name="requests", daemon=True)
        self.issued: list[Issued] = []
        self.lost: list[str] = []

    def __enter__(self) -> Self:
        self._watcher.__enter__()
        self._thread.start()
        self.go_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._watcher.__exit__(kind, error, trace)

    def go_on(self, count: int = 5) -> None:
        """Wait until so many more have been issued."""
        with self._changed:
            wanted = len(self.issued) + count
            if not self._changed.wait_for(lambda: len(self.issued) >= wanted or bool(self.lost), PATIENCE):
                raise LocalMeshError(f"no {count} more certificates within {PATIENCE:.0f} s")

    def end(self) -> Count:
        """Make no more, wait for those that are under way, and count what the API server says of all of them."""
        self._ending.set()
        self._thread.join()
        ours = {one.uid for one in self.issued}
        self._watcher.wait_for(
            lambda seen: all(uid in seen and seen[uid].ended for uid in ours), "what was issued to be seen"
        )
        return self._watcher.count(lambda one: one.signer == self._workload.signer_name)

    async def _make(self) -> None:
        async with istiod_client(self._istiod) as istiod, asyncio.TaskGroup() as tasks:

            async def one() -> None:
                try:
                    made = await obtain_certificate(istiod, self._workload, key="ec")
                except LocalMeshError as error:
                    with self._changed:
                        self.lost.append(str(error))
                        self._changed.notify_all()
                    return
                with self._changed:
                    self.issued.append(made)
                    self._changed.notify_all()

            while not self._ending.is_set():
                tasks.create_task(one())
                await asyncio.sleep(_SECONDS_BETWEEN)

    @property
    def longest(self) -> float:
        """How long the slowest took, in seconds: for a person, not for a test."""
        return max((one.seconds for one in self.issued), default=0.0)
