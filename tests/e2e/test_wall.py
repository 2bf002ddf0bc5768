"""The tenant wall on a real mesh: the theft, what people see of it, and the same with the wall off."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.e2e.conftest import refusals_of
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.istiod_requests import Workload as Identity
from tests.localmesh.istiod_requests import istiod_client, make_object, request_certificate
from tests.localmesh.mesh import Mesh
from tests.localmesh.traffic import Traffic
from tests.localmesh.workload import Workload
from tests.unit.csr.test_mesh_attacks import ATTACKS

pytestmark = pytest.mark.e2e

DAY = timedelta(days=1)
BACKDATED = timedelta(minutes=2)


@dataclass
class Theft:
    """A workload of bar that asked for foo's signer, the first audit line about it, and the traffic beside it."""

    thief: Workload
    line: dict[str, Any]
    traffic: Traffic


@pytest.fixture(scope="module")
def theft(mesh: Mesh, task: dict[str, Workload]) -> Iterator[Theft]:
    """The theft, tried while the honest ones talk."""
    pairs = [(task[f"curl.{tenant}"], task[f"httpbin.{tenant}"]) for tenant in ("foo", "bar")]
    with Traffic(*pairs) as traffic:
        thief = mesh.place("thief", "bar", "foo")
        line = mesh.cluster.wait_for(partial(refusals_of, mesh, thief), "the refusal of the thief")[0]
        time.sleep(1)  # of honest traffic after it
    yield Theft(thief, line, traffic)
    mesh.remove(thief)


class TestTheft:
    def test_no_certificate(self, theft: Theft) -> None:
        """A workload in bar that asks for foo gets no certificate."""
        assert theft.thief.certificate() is None

    def test_reaches_nobody(self, theft: Theft, task: dict[str, Workload]) -> None:
        """It reaches neither foo nor its own tenant."""
        answers = [theft.thief.ask(str(task[name])) for name in ("httpbin.foo", "httpbin.bar")]
        assert [answer for answer in answers if answer.status == 200] == []

    def test_the_honest(self, theft: Theft) -> None:
        """Meanwhile no request of an honest workload fails."""
        assert theft.traffic.failures == []
        assert theft.traffic.answered > 5

    def test_audit(self, theft: Theft) -> None:
        """The audit log says who asked whom for what, and why not."""
        assert theft.line["requester"] == "system:serviceaccount:istio-system:istiod"
        assert theft.line["signer"] == "clusterissuers.cert-manager.io/foo"
        assert any("TenantMismatch" in reason for reason in theft.line["reasons"])

    def test_condition(self, mesh: Mesh, theft: Theft) -> None:
        """As long as istiod waits, the request itself says it."""
        failed = [
            condition
            for request in mesh.cluster.get("csr")["items"]
            for condition in request["status"].get("conditions", [])
            if condition["type"] == "Failed" and theft.thief.spiffe_id in condition["message"]
        ]
        assert {condition["reason"] for condition in failed} == {"TenantMismatch"}

    def test_event(self, mesh: Mesh, theft: Theft) -> None:
        """The people of bar see an Event on their ProxyConfig."""

        def found() -> list[dict[str, Any]]:
            events = mesh.cluster.get("events", "-n", "bar", "--field-selector=type=Warning")["items"]
            return [one for one in events if theft.thief.spiffe_id in one["message"]]

        about = {one["involvedObject"]["kind"] for one in mesh.cluster.wait_for(found, "an Event in bar")}
        assert about == {"ProxyConfig"}

    def test_metric(self, mesh: Mesh, theft: Theft) -> None:  # noqa: ARG002 - it has happened
        """The metrics count it, by namespace and reason."""
        assert (
            mesh.signer.wait_for_metric("mesh_signer_refusals_total", 1, namespace="bar", reason="TenantMismatch") >= 1
        )

    def test_without_the_wall(self, mesh: Mesh, theft: Theft, task: dict[str, Workload]) -> None:
        """The control: with --tenancy=off the same thief gets foo's certificate and 200; enforced again, nothing."""
        mesh.replace_signer("off")
        try:
            theft.thief.restart()
            theft.thief.wait_ready()
            assert theft.thief.ask(str(task["httpbin.foo"])).status == 200
        finally:
            mesh.replace_signer("enforce")
        before = len(refusals_of(mesh, theft.thief))
        theft.thief.restart()
        mesh.cluster.wait_for(lambda: len(refusals_of(mesh, theft.thief)) > before, "the thief's second refusal")
        assert theft.thief.certificate() is None
        assert theft.thief.ask(str(task["httpbin.foo"])).status != 200


class TestUnderIstiodsAccount:
    """What istiod itself would stop, as if istiod were no help: written under its own account."""

    async def test_attacks(self, mesh: Mesh) -> None:
        """No crafted request for foo's signer gets a certificate; each that the API server takes is refused as that."""
        account = mesh.cluster.service_account_kubeconfig("istio-system", "istiod")
        async with istiod_client(account) as istiod:
            created = {}
            for attack, csr in ATTACKS.items():
                # What the API server itself refuses, as no CSR at all, is over already.
                with contextlib.suppress(LocalMeshError):
                    body = await istiod.create(make_object(Identity("foo", "evil", "foo"), csr))
                    created[body["metadata"]["name"]] = attack
                    await istiod.approve(body)
            assert len(created) > len(ATTACKS) / 2, "the API server takes most of them"
            try:
                statuses = mesh.cluster.wait_for(partial(answers, mesh, set(created)), "an answer to each")
            finally:
                for name in created:
                    await istiod.delete(name)
        assert {created[name] for name, status in statuses.items() if "certificate" in status} == set()
        reasons = {
            condition["reason"]
            for status in statuses.values()
            for condition in status["conditions"]
            if condition["type"] == "Failed"
        }
        assert reasons == {"UnexpectedContents"}

    def test_ten_years(self, mesh: Mesh) -> None:
        """Ten years asked for are cut to a day, not refused."""
        istiod = mesh.cluster.service_account_kubeconfig("istio-system", "istiod")
        issued = request_certificate(istiod, Identity("foo", "old", "foo"), expiration_seconds=315_360_000, timeout=30)
        left = issued.certificate.not_valid_after_utc - datetime.now(UTC)
        assert DAY - timedelta(minutes=1) < left <= DAY


def answers(mesh: Mesh, names: set[str]) -> dict[str, Any]:
    """The statuses of these requests, when each has a certificate or a second condition."""
    found = {one["metadata"]["name"]: one["status"] for one in mesh.cluster.get("csr")["items"]}
    statuses = {name: found[name] for name in names}
    done = [one for one in statuses.values() if "certificate" in one or len(one["conditions"]) > 1]
    return statuses if len(done) == len(statuses) else {}


def test_long_lifetime_by_the_agent(mesh: Mesh) -> None:
    """The agent asks for 89 days, which istiod lets pass: the workload gets a day."""
    started = datetime.now(UTC).replace(microsecond=0)
    workload = mesh.place("patient", "foo", "foo", envoy=False, environment={"SECRET_TTL": "2136h"})
    try:
        workload.wait_ready()
        certificate = workload.certificate()
    finally:
        mesh.remove(workload)
    assert certificate is not None
    # Its end counts from the signature, its start from the request, which on a busy machine may be seconds earlier.
    assert certificate.not_valid_after_utc <= datetime.now(UTC) + DAY
    assert certificate.not_valid_before_utc >= started - BACKDATED
