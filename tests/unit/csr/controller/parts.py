"""The parts around the hot path's controller, each as a test scripts it: watch, issuers, writer, questions, mesh."""

import asyncio
import io
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signer.api.certificatesigningrequest import CertificateSigningRequest, RequestContent
from signer.api.issuer import IssuerRef
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.api.requests import Request
from signer.authorities.state import IssuerState
from signer.csr.answers.compose import Answer
from signer.csr.answers.writer import Written
from signer.kube.reflector import Change
from signer.tenancy.verdict import Confirm
from signer.tenancy.world import World
from tests.unit.csr.crafted import FOO

Script = Written | Exception | Callable[[Answer], Awaitable[Written]]


class FakeReflector:
    """A store that a test writes to."""

    def __init__(self) -> None:
        self.store: dict[tuple[str, str], CertificateSigningRequest] = {}
        self.handlers: list[Callable[[Change[CertificateSigningRequest]], None]] = []

    def subscribe(self, handler: Callable[[Change[CertificateSigningRequest]], None]) -> None:
        self.handlers.append(handler)

    async def run(self) -> None:
        await asyncio.Event().wait()

    def put(self, csr: CertificateSigningRequest, *, silently: bool = False) -> None:
        """Store a request as the watch would; `silently`: nobody is told."""
        key = ("", csr.name)
        old = self.store.get(key)
        self.store[key] = csr
        if not silently:
            self.tell(Change("added" if old is None else "modified", key, old, csr))

    def delete(self, name: str) -> None:
        old = self.store.pop(("", name))
        self.tell(Change("deleted", ("", name), old, None))

    def forget(self, csr: Request) -> None:
        """Let the watch show that a request was answered, if it is still there."""
        here = self.store.get(("", csr.name))
        if here is not None and here.uid == csr.uid:
            self.delete(csr.name)

    def tell(self, change: Change[CertificateSigningRequest]) -> None:
        for handler in self.handlers:
            handler(change)


class FakeRegistry:
    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self.states: dict[IssuerRef, IssuerState] = {}
        self.handlers: list[Callable[[IssuerRef], None]] = []
        self.secret_handlers: list[Callable[[str, str], None]] = []
        self.watched: list[str] = []

    def get(self, ref: IssuerRef) -> IssuerState | None:
        return self.states.get(ref)

    def subscribe(self, handler: Callable[[IssuerRef], None]) -> None:
        self.handlers.append(handler)

    def subscribe_secrets(self, handler: Callable[[str, str], None]) -> None:
        self.secret_handlers.append(handler)

    def watch_secrets(self, namespace: str) -> None:
        self.watched.append(namespace)

    def set(self, state: IssuerState | None, ref: IssuerRef = FOO) -> None:
        if state is None:
            self.states.pop(ref, None)
        else:
            ref = state.ref
            self.states[ref] = state
        for handler in self.handlers:
            handler(ref)

    def secret_changed(self, namespace: str, name: str) -> None:
        for handler in self.secret_handlers:
            handler(namespace, name)


@dataclass(frozen=True)
class Write:
    answer: Answer
    unsure: bool
    at: float
    audited: int  # how many audit lines had reached the stream when the write began

    @property
    def name(self) -> str:
        return self.answer.csr.name


class FakeWriter:
    """Answers writes by the script; beyond it everything is stored, after `takes` seconds.

    What is answered then leaves the store, as the watch would have it.
    """

    def __init__(self, reflector: FakeReflector, audited: Callable[[], int]) -> None:
        self._reflector = reflector
        self.script: deque[Script] = deque()
        self.settled: deque[Written] = deque()
        self.takes = 0.0
        self.pods: Any = None
        self.writes: list[Write] = []
        self.under_way = 0
        self.most_under_way = 0
        self._audited = audited

    async def settle(self, answer: Answer) -> Written:
        return self.settled.popleft() if self.settled else Written("refused" if answer.refused else "stored")

    async def write(self, answer: Answer, *, unsure: bool = False) -> Written:
        self.writes.append(Write(answer, unsure, asyncio.get_running_loop().time(), self._audited()))
        step: Script = self.script.popleft() if self.script else Written("refused" if answer.refused else "stored")
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.takes)
            if isinstance(step, Exception):
                raise step
            written = step if isinstance(step, Written) else await step(answer)
            self._watched(answer.csr, written)
            return written
        finally:
            self.under_way -= 1

    def _watched(self, csr: Request, written: Written) -> None:
        if isinstance(csr, PodCertificateRequest):
            if written.outcome in {"stored", "refused", "gone"}:
                asyncio.get_running_loop().call_later(0.005, self.pods.delete, csr.name, csr.namespace)
            return
        lost = written.outcome == "conflict" and written.latest is not None and written.latest.answered
        here = self._reflector.store.get(("", csr.name))
        if (lost or written.outcome in {"stored", "refused", "gone"}) and here is not None and here.uid == csr.uid:
            asyncio.get_running_loop().call_later(0.005, self._reflector.forget, csr)


class Disk:
    """Takes audit lines, unless it is full."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream
        self.full = False

    def write(self, data: bytes) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return self._stream.write(data)


class FakeQuestions:
    """Answers by the script, an exception is raised; what was asked is noted."""

    def __init__(self) -> None:
        self.script: deque[Any] = deque()
        self.asked: list[tuple[Any, ...]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def _answer(self) -> Any:
        answer = self.script.popleft()
        await self.hold.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def may_reference(self, issuer: IssuerRef, content: RequestContent) -> Any:
        self.asked.append((issuer, content.username))
        return await self._answer()

    async def key(self, namespace: str, name: str) -> Any:
        self.asked.append((namespace, name))
        return await self._answer()


class FakeMesh:
    """A world that a test writes to; what is asked is noted, and answered by `on_bind`, `on_reread` and `on_confirm`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.handlers: list[Callable[[], None]] = []
        self.asked: list[tuple[str, ...]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._at_once = 0
        self.takes = 0.01
        self.on_bind: Callable[[], object] = lambda: None
        self.on_reread: Callable[[], object] = lambda: None
        self.on_confirm: Callable[[], object] = lambda: None
        self.told_issued: list[tuple[IssuerRef, str]] = []
        self.told_policies: list[str] = []
        self.told_refused: list[IssuerRef] = []

    def subscribe(self, handler: Callable[[], None]) -> None:
        self.handlers.append(handler)

    def changed(self) -> None:
        for handler in self.handlers:
            handler()

    async def bind(self, signer: IssuerRef, namespace: str, uid: str) -> None:
        await self._ask(("bind", signer.name, namespace, uid), self.on_bind)

    async def reread(self, namespace: str) -> None:
        await self._ask(("reread", namespace), self.on_reread)

    async def confirm(self, asked: Confirm) -> None:
        assert not asked.policy
        asking = (asked.asked.name,) if asked.asked is not None else ()
        await self._ask(("confirm", asked.signer.name, asked.namespace, asked.namespace_uid, *asking), self.on_confirm)

    async def _ask(self, question: tuple[str, ...], answer: Callable[[], object]) -> None:
        self.asked.append(question)
        self.times.append(asyncio.get_running_loop().time())
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self.takes)
            answer()
        finally:
            self._at_once -= 1

    def issued(self, signer: IssuerRef, namespace: str, now: datetime, policy: str) -> None:
        assert now.tzinfo is not None
        self.told_issued.append((signer, namespace))
        self.told_policies.append(policy)

    def refused(self, signer: IssuerRef) -> None:
        self.told_refused.append(signer)
