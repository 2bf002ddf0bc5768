"""A RequestController among small fakes: what a test does to the world, and what the controller did to it.

The store, the registry, the writer and the questions are fakes, since here faults are scripted; deciding, signing,
metrics, audit and the share of work are the real ones. Time is the loop's, which jumps (tests/fakes/virtual_time.py).
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from signer.csr.controller import Options, Parts, RequestController
from signer.csr.queue.intake import Intake
from signer.csr.queue.replica import Sharing
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.tenancy.verdict import Limits
from signer.tenancy.world import World
from tests.fakes.recorder import FakeRecorder
from tests.unit.csr.controller.parts import (
    Disk,
    FakeMesh,
    FakeQuestions,
    FakeReflector,
    FakeRegistry,
    FakeWriter,
)
from tests.unit.csr.crafted import NOW, ready, request


@dataclass
class Scene:
    """The controller is running; `at` gives seconds since the start. With a `world` there is a wall."""

    options: Options = field(default_factory=lambda: Options("cert-manager", Limits()))
    members: tuple[str, ...] = ("a",)
    world: World | None = None
    audit_stop: bool = False
    pods: Any = None

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()
        self.stream = io.BytesIO()
        self.metrics = Metrics()
        self.reflector = FakeReflector()
        self.registry = FakeRegistry()
        self.writer = FakeWriter(self.reflector, lambda: self.stream.getvalue().count(b"\n"))
        self.writer.pods = self.pods
        self.questions = FakeQuestions()
        self.recorder = FakeRecorder()
        self.mesh = FakeMesh(self.world) if self.world is not None else None
        self.intake = Intake()
        self.disk = Disk(self.stream)
        self.sharing = Sharing(lambda: "a", lambda: self.members, self.loop.time)
        self.controller = RequestController(
            Parts(
                cast("Any", self.reflector),
                self.intake,
                cast("Any", self.registry),
                cast("Any", self.questions),
                cast("Any", self.writer),
                self.sharing,
                self.recorder.typed,
                self.metrics,
                AuditLog(self.disk, stop=self.audit_stop),
                self.mesh,
                self.pods,
            ),
            self.options,
            clock=self.loop.time,
            wall=self.wall,
        )

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.at)

    @property
    def at(self) -> float:
        return self.loop.time() - self.start

    def put(self, **fields: Any) -> None:
        self.reflector.put(request(**fields))

    def put_many(self, count: int) -> None:
        for n in range(count):
            self.put(name=f"r{n}", uid=f"u{n}")

    @property
    def names(self) -> list[str]:
        """The names of the requests that were written, in order."""
        return [write.name for write in self.writer.writes]

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"mesh_signer_{name}", labels)

    async def until(self, ready: Callable[[], object], seconds: float = 300.0) -> None:
        """Wait in virtual time until something is so."""
        end = self.loop.time() + seconds
        while not ready():
            assert self.loop.time() < end, "it did not come to pass"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*, issuer: bool = True, synced: bool = True, **scene: Any) -> AsyncIterator[Scene]:
    """Run a controller, by default with the ClusterIssuer foo ready. Its end by itself is a failure."""
    made = Scene(**scene)
    if issuer:
        made.registry.set(ready())
    if synced:
        made.registry.synced.set()
    task = asyncio.create_task(made.controller.run())
    try:
        yield made
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
