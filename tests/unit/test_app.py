"""How the parts are put together: which controllers run, when we are ready, and what the watch keeps."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from signer.api.crd import OURS_ANNOTATION
from signer.app import _Process
from signer.csr.queue.intake import Intake
from signer.kube.client import ApiClient
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.settings.values import SLOW_CONTROLLERS, Settings
from tests.fakes.apiserver import FakeApiServer, Reply, status
from tests.fakes.virtual_time import virtual_time
from tests.unit.csr.crafted import encoded, request

OURS = Reply(body=json.dumps({"metadata": {"annotations": {OURS_ANNOTATION: "v1"}}}).encode())
CERT_MANAGERS = Reply(body=b'{"metadata": {"annotations": {}}}')
ABSENT = status(404, "NotFound")


@asynccontextmanager
async def process(*replies: Reply, **settings: Any) -> AsyncIterator[tuple[_Process, FakeApiServer]]:
    server = FakeApiServer(others=list(replies))
    async with server, ApiClient(server.config) as client:
        yield _Process(Settings(identity="a", bind="none", **settings), client, Metrics(), AuditLog(None)), server


class TestControllers:
    @virtual_time
    async def test_all_where_the_crds_are_ours(self) -> None:
        """Where the CRDs are ours all controllers run."""
        async with process(OURS) as (made, _):
            assert await made._slow.names(None) == SLOW_CONTROLLERS

    @virtual_time
    async def test_requests_only_beside_cert_manager(self) -> None:
        """Where the CRDs are cert-manager's, a real one works on them: we take the requests only."""
        async with process(CERT_MANAGERS) as (made, _):
            assert await made._slow.names(None) == ()

    @virtual_time
    async def test_as_asked(self, caplog: pytest.LogCaptureFixture) -> None:
        """Who names controllers gets those, with a warning where the CRDs are not ours."""
        async with process(CERT_MANAGERS) as (made, _):
            assert await made._slow.names(("csr", "issuers")) == ("issuers",)
        assert "the cert-manager.io CRDs are not ours: working issuers as asked" in caplog.text

    @virtual_time
    async def test_nothing_is_read_for_requests_alone(self) -> None:
        """For the requests alone no CRD is needed or read."""
        async with process() as (made, server):
            assert await made._slow.names(("csr",)) == ()
            assert server.seen == []

    @virtual_time
    async def test_crds_that_come_later(self, caplog: pytest.LogCaptureFixture) -> None:
        """CRDs that appear later are picked up within ten seconds; that they are missing is said once."""
        async with process(*[ABSENT] * 10, status(500, "InternalError"), OURS) as (made, server):
            assert await made._slow.names(None) == SLOW_CONTROLLERS
            pauses = [b.at - a.at for a, b in zip(server.seen, server.seen[1:], strict=False)]
            assert max(pauses) < 10
        assert caplog.text.count("CRDs are not installed yet") == 1
        assert caplog.text.count("cannot see whether the cert-manager.io CRDs are ours: 500 InternalError: no") == 1


class TestHealth:
    @virtual_time
    async def test_ready_when_all_was_read(self) -> None:
        """We are ready once issuers, Secrets and requests were read; a process without the hot path needs no requests."""
        async with process() as (made, _):
            assert made._readiness.issuers_ready() == "issuers and their Secrets were not read yet"
            assert made._readiness.requests_ready() == ""
            made._hot_path()
            assert made._readiness.requests_ready() == "requests were not read yet: starting"
            assert made._readiness.reflector is not None
            made._readiness.reflector.synced.set()
            made._registry.synced.set()
            assert (made._readiness.issuers_ready(), made._readiness.requests_ready()) == ("", "")

    @virtual_time
    async def test_the_mesh_is_read_before_all(self) -> None:
        """With the wall up we are not ready before the mesh was read, and say of what; without it there is none to read."""
        async with process() as (made, _):
            assert made._readiness.mesh_ready() == "not read yet: everything"
            assert made._mesh is not None
            made._mesh.world.unsynced = ""
            assert made._readiness.mesh_ready() == ""
        async with process(tenancy_mode="off") as (made, _):
            assert (made._mesh, made._readiness.mesh_ready()) == (None, "")

    @virtual_time
    async def test_what_the_leader_does_for_the_mesh(self) -> None:
        """SignerPolicies' status by default and when asked for; the mesh config never in a process that only signs."""
        for asked, manage, count in (
            (None, True, 2),
            (None, False, 1),
            (("csr",), True, 0),
            (("csr", "policies"), False, 1),
            (("issuers",), True, 1),
        ):
            async with process(manage_mesh_config=manage) as (made, _):
                assert len(made._slow.for_the_mesh(asked)) == count

    @virtual_time
    async def test_a_deaf_watch_asks_for_a_restart(self) -> None:
        """Ten minutes of silence on a watch ask for a restart; an API server that is away does not."""
        now = 1000.0
        async with process() as (made, _):
            made._readiness.clock = lambda: now
            made._hot_path()
            reflector = made._readiness.reflector
            assert reflector is not None
            assert made._readiness.watch_alive() == ""
            reflector.synced.set()
            reflector.last_contact = 1000.0
            now = 1599.0
            assert made._readiness.watch_alive() == ""
            now = 1601.0
            assert made._readiness.watch_alive() == "nothing was heard from the API server for 601 s"
            reflector._trouble = "Unreachable"
            assert made._readiness.watch_alive() == ""


@virtual_time
async def test_stops_when_told(caplog: pytest.LogCaptureFixture) -> None:
    """A process that is told to stop drains and ends, also while the API server answers nothing good."""
    async with process(controllers=("csr",)) as (made, _):
        stop = asyncio.Event()
        running = asyncio.create_task(made.run(stop))
        await asyncio.sleep(5)
        assert not running.done()
        stop.set()
        await asyncio.wait_for(running, 30)
    assert "ExceptionGroup" not in caplog.text


def test_what_the_watch_keeps() -> None:
    """Only unanswered requests for our signers are kept; all others are as absent."""
    assert Intake().read(encoded()) == request()
    assert Intake().read(encoded(certificate=b"x")) is None
    assert Intake().read(encoded(signer="example.com/other")) is None
    told: list[str] = []
    intake = Intake()
    intake.subscribe_slips(lambda _, wrong: told.append(wrong))
    for name in ("example.com/other", "clusterissuer.cert-manager.io/foo", "clusterissuers.cert-manager.io/foo"):
        intake.read(encoded(signer=name))
    assert intake.read(encoded(signer="issuer.cert-manager.io/foo", certificate=b"x")) is None
    assert len(told) == 1
    assert "is clusterissuers.cert-manager.io/NAME meant?" in told[0]


def test_only_what_is_approved_keeps_its_bytes() -> None:
    """A request that nobody approved costs no memory but its name; an approved one keeps the bytes of its answer."""
    assert (read := Intake().read(encoded())) is not None
    assert read.raw
    assert (read := Intake().read(encoded(conditions=()))) is not None
    assert read.raw == b""
