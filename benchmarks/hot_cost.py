"""What one request costs the signer's process, in microseconds of CPU, without sockets, API server and TLS.

    .venv/bin/python -m benchmarks.hot_cost

Watch frames, as the API server writes them, go through the real framer, codec, reflector, queue, wall, signature, audit
log and metrics; only the connection is a stub that takes each write at once and sends the events that follow. Each figure
is the best of several rounds, so that a neighbour on the machine does not count; `--profile` prints where the time goes.
"""

import argparse
import asyncio
import cProfile
import pstats
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import FileIO
from typing import Any, cast

from msgspec import structs

from benchmarks.decide_cost import ISTIOD, NOW, mesh, ref
from benchmarks.issue_cost import authority
from benchmarks.table import Table, machine
from issuers.certificate import new_serial, sign
from issuers.istio_request import uri_name
from issuers.request import read_request
from issuers.template import mesh_template
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS
from signer.api.signername import signer_name_of
from signer.authorities.state import IssuerState
from signer.csr.answers.writer import Writer
from signer.csr.controller import Options, Parts, RequestController
from signer.csr.queue.intake import Intake
from signer.csr.queue.replica import Sharing
from signer.kube.encoding.protobuf import write_bytes_field, write_varint_field
from signer.kube.encoding.protobuf_codec import ProtobufCodec
from signer.kube.leases.record import heirs
from signer.kube.reflector import Reflector
from signer.kube.room import Room
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.tenancy.verdict import Limits
from tests import pki
from tests.fakes.envelopes import wrap
from tests.fakes.recorder import FakeRecorder
from tests.unit.csr.controller.parts import FakeMesh, FakeQuestions, FakeRegistry
from tests.unit.csr.crafted import issuer

BATCH = 64
KEYS = 16
GOALS = {"p256": 300.0, "rsa": 580.0}
REPLICA_GOAL = 60.0
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n", re.DOTALL)
_USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:istio-system", "system:authenticated")
_EXTRA = {
    "authentication.kubernetes.io/credential-id": "JTI=0a1b2c3d-0000-4000-8000-000000000001",
    "authentication.kubernetes.io/node-name": "node-1",
    "authentication.kubernetes.io/node-uid": "0a1b2c3d-0000-4000-8000-000000000002",
    "authentication.kubernetes.io/pod-name": "istiod-7c9f8d6b5-abcde",
    "authentication.kubernetes.io/pod-uid": "0a1b2c3d-0000-4000-8000-000000000003",
}


def _text(number: int, text: str) -> bytes:
    return write_bytes_field(number, text.encode())


def _managed(manager: str, subresource: str, fields: int) -> bytes:
    moment = write_bytes_field(4, write_varint_field(1, int(NOW.timestamp())))
    inner = write_bytes_field(7, _text(1, '{"f:' + "x" * fields + '":{}}'))
    return (
        _text(1, manager)
        + _text(2, "Update")
        + _text(3, "certificates.k8s.io/v1")
        + moment
        + inner
        + _text(8, subresource)
    )


class Requests:
    """CertificateSigningRequests of istiod's as the API server sends them, in one of the four states that each goes through."""

    def __init__(self, kind: str, signer: str, created: int) -> None:
        private = [pki.key(kind, n) for n in range(KEYS)]
        self.csrs = [pki.workload_csr("ns-10", f"account-{n}", private=key) for n, key in enumerate(private)]
        self._signer = signer
        self._created = created

    def frame(self, kind: str, number: int, uid: str, *, approved: bool, certificate: bytes = b"") -> bytes:
        """One watch event with its length, of type `kind`."""
        name, managed = f"csr-workload-{number:06}", [_managed("pilot-discovery", "", 180)]
        spec = write_bytes_field(1, self.csrs[number % KEYS]) + _text(2, ISTIOD)
        spec += _text(3, "0a1b2c3d-0000-4000-8000-000000000004") + b"".join(_text(4, group) for group in _GROUPS)
        spec += b"".join(_text(5, usage) for usage in _USAGES)
        for key, value in _EXTRA.items():
            spec += write_bytes_field(6, _text(1, key) + write_bytes_field(2, _text(1, value)))
        spec += _text(7, self._signer) + write_varint_field(8, 86400)
        status, moment = b"", write_varint_field(1, self._created)
        if approved:
            managed.append(_managed("pilot-discovery", "approval", 120))
            told = _text(2, "RequestApproved") + _text(3, "This CSR was approved by pilot-discovery")
            times = write_bytes_field(4, moment) + write_bytes_field(5, moment)
            status += write_bytes_field(1, _text(1, "Approved") + told + times + _text(6, "True"))
        if certificate:
            managed.append(_managed("mesh-signer", "status", 40))
            status += write_bytes_field(2, certificate)
        meta = b"".join((_text(1, name), _text(2, ""), _text(3, ""), _text(4, ""), _text(5, uid)))
        meta += _text(6, str(1_000_000 + number * 4 + 2 * approved + bool(certificate))) + write_varint_field(7, 0)
        meta += write_bytes_field(8, moment) + b"".join(write_bytes_field(17, each) for each in managed)
        raw = write_bytes_field(1, meta) + write_bytes_field(2, spec) + write_bytes_field(3, status)
        envelope = wrap("certificates.k8s.io/v1", "CertificateSigningRequest", raw) + _text(3, "") + _text(4, "")
        event = _text(1, kind) + write_bytes_field(2, write_bytes_field(1, envelope))
        return len(event).to_bytes(4, "big") + event


class Connection:
    """Stands in for the client: an empty list, a watch that is fed, writes that are taken at once and kept."""

    def __init__(self) -> None:
        self.room = Room()
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.taken: list[tuple[str, bytes]] = []

    async def request(self, *_: object, **__: object) -> Any:
        """The list, with nothing in it."""
        meta = write_bytes_field(1, _text(2, "1"))
        return _Answer(wrap("certificates.k8s.io/v1", "CertificateSigningRequestList", meta))

    @asynccontextmanager
    async def stream(self, *_: object, **__: object) -> AsyncIterator[AsyncIterator[bytes]]:
        """The watch."""

        async def fed() -> AsyncIterator[bytes]:
            while True:
                yield await self.chunks.get()

        yield fed()

    async def exchange(self, _method: str, path: str, *, body: bytes, **_: object) -> None:
        """One write, answered in the next turn of the loop."""
        self.taken.append((path, body))
        await asyncio.sleep(0)


@dataclass(frozen=True)
class _Answer:
    body: bytes


class Process:
    """A hot path at work: `costs` sends it requests, and tells what each took."""

    def __init__(self, kind: str, replicas: tuple[str, ...]) -> None:
        ca = authority({"p256": "P-256", "rsa": "RSA-2048"}[kind])
        signer = ref(1)
        world = structs.replace(mesh(), keys={ca.key_id: frozenset({signer})})
        self.connection = Connection()
        self.replicas = replicas
        self.requests = Requests("rsa", signer_name_of(signer), int(NOW.timestamp()))
        self.number = 0
        template = mesh_template(
            read_request(self.requests.csrs[0]),
            san=uri_name(pki.spiffe("ns-10")),
            usages=_USAGES,
            not_before=NOW - timedelta(minutes=2),
            not_after=NOW + timedelta(days=1),
        )
        self.certificate = sign(template, ca, serial=new_serial()).pem
        client, intake, registry, metrics = cast("Any", self.connection), Intake(), FakeRegistry(), Metrics()
        found = issuer(signer, {"ca": {"secretName": "ca"}})
        state = IssuerState(signer, found, "ca", ready=True, reason="KeyPairVerified", message="", authority=ca)
        registry.set(state)
        registry.synced.set()
        self.reflector = Reflector(
            client, CERTIFICATE_SIGNING_REQUESTS, ProtobufCodec(intake.read, lambda csr: ("", csr.name))
        )
        audit = AuditLog(FileIO("/dev/null", "a"), on_line=lambda kind: metrics.audit_lines.labels(kind).inc())
        sharing = Sharing(lambda: "a", lambda: replicas, time.monotonic)
        parts = Parts(
            self.reflector,
            intake,
            cast("Any", registry),
            cast("Any", FakeQuestions()),
            Writer(client),
            sharing,
            cast("Any", _Silent()),
            metrics,
            audit,
            FakeMesh(world),
        )
        self.controller = RequestController(
            parts, Options("cert-manager", Limits()), wall=lambda: NOW + timedelta(seconds=2)
        )
        self.metrics = metrics

    def batch(self, whose: str) -> list[tuple[int, str]]:
        """Number and uid of so many new requests that belong to this replica."""
        found: list[tuple[int, str]] = []
        while len(found) < BATCH:
            self.number += 1
            uid = f"{self.number:08x}-0000-4000-8000-{self.number:012x}"
            if heirs(uid, self.replicas)[0] == whose:
                found.append((self.number, uid))
        return found

    async def send(self, frames: Sequence[bytes], done: Callable[[], bool]) -> float:
        """Seconds of CPU until all is done."""
        began = time.process_time()
        for frame in frames:
            self.connection.chunks.put_nowait(frame)
        while not done():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
        return time.process_time() - began


class _Silent(FakeRecorder):
    def emit(self, *_: object, **__: object) -> None:
        """Events are another part's."""


async def ours(process: Process) -> float:
    """Microseconds of CPU for each of a batch of requests that this replica answers: four events and a write."""
    made, connection, store = process.batch("a"), process.connection, process.reflector.store
    connection.taken.clear()
    frame = process.requests.frame
    new = [frame("ADDED", number, uid, approved=False) for number, uid in made]
    approved = [frame("MODIFIED", number, uid, approved=True) for number, uid in made]
    took = await process.send([*new, *approved], lambda: len(connection.taken) == BATCH)
    pems = {path: match[0] for path, body in connection.taken if (match := _PEM.search(body)) is not None}
    assert len(pems) == BATCH
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-workload-{:06}/status"
    issued = [frame("MODIFIED", n, uid, approved=True, certificate=pems[path.format(n)]) for n, uid in made]
    gone = [frame("DELETED", n, uid, approved=True, certificate=pems[path.format(n)]) for n, uid in made]
    took += await process.send([*issued, *gone], lambda: not store and connection.chunks.empty())
    return took / BATCH * 1e6


async def others(process: Process) -> float:
    """The same for requests that another replica answers."""
    made, connection, frame = process.batch("b"), process.connection, process.requests.frame
    certificate = process.certificate
    frames = []
    for number, uid in made:
        frames.append(frame("ADDED", number, uid, approved=False))
        frames.append(frame("MODIFIED", number, uid, approved=True))
        frames.append(frame("MODIFIED", number, uid, approved=True, certificate=certificate))
        frames.append(frame("DELETED", number, uid, approved=True, certificate=certificate))
    took = await process.send(frames, lambda: not process.reflector.store and connection.chunks.empty())
    return took / BATCH * 1e6


async def best(process: Process, scene: Callable[[Process], Awaitable[float]], rounds: int, profile: str) -> float:
    """The best of several rounds; the first ones fill caches."""
    running = asyncio.create_task(process.controller.run())
    await process.reflector.synced.wait()
    await scene(process)
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    found = [await scene(process) for _ in range(rounds)]
    profiler.disable()
    running.cancel()
    await asyncio.wait([running])
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats(profile).print_stats(45)
    return min(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; exit status 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.hot_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help=f"rounds of {BATCH} requests each")
    parser.add_argument(
        "--profile", choices=("tottime", "cumulative"), default="", help="print a profile of each scene"
    )
    options = parser.parse_args(arguments)
    print(f"{machine()}\n")
    table = Table("what one request costs the process", "CPU, µs", "goal", "")

    def row(what: str, took: float, goal: float) -> None:
        table.row(what, f"{took:.0f}", f"≤ {goal:.0f}", table.judge(reached=took <= goal))

    for kind, label in (("p256", "P-256"), ("rsa", "RSA 2048")):
        process = Process(kind, ("a",))
        row(
            f"answered here, {label} CA", asyncio.run(best(process, ours, options.rounds, options.profile)), GOALS[kind]
        )
    process = Process("p256", ("a", "b"))
    took = asyncio.run(best(process, others, options.rounds, options.profile))
    row("answered by another replica", took, REPLICA_GOAL)
    return 0 if table.good else 1


if __name__ == "__main__":
    sys.exit(main())
