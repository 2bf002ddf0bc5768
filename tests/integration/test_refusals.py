"""What people see of a refused workload, and what its retry storm costs: on the real API server, as istiod's account."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.tenants import ISTIOD, Tenants, meshed
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def tenants(installed: Cluster) -> Iterator[Tenants]:
    with meshed(installed) as made:
        made.add("foo", "bar")
        yield made


def signer(tenants: Tenants, *options: str) -> SignerProcess:
    return SignerProcess(tenants.place.cluster, "--controllers=csr", *options, tenancy="enforce")


def audit(process: SignerProcess, **like: Any) -> list[dict[str, Any]]:
    """The audit lines that have these fields."""
    lines = [json.loads(line) for line in process.audit_file.read_text().splitlines()]
    return [line for line in lines if all(line.get(key) == value for key, value in like.items())]


def test_a_thief_and_an_honest_one(tenants: Tenants) -> None:
    """The thief: condition, Events on the request and on his namespace's ProxyConfig, metric, audit. The honest: served."""
    place, foo, bar = tenants.place, tenants.name("foo"), tenants.name("bar")
    with signer(tenants) as process:
        name = tenants.ask("foo")
        assert place.issued(name).signed_by(tenants.cas["foo"])
        theft = tenants.ask("bar", "foo")
        reason, message = place.answered(theft).failed
        assert reason == "TenantMismatch"
        assert f"ClusterIssuer {foo} is not for namespace {bar}, which may have ClusterIssuer {bar}" in message
        assert f"spiffe://cluster.local/ns/{bar}/sa/default" in message
        assert place.event(theft, "TenantMismatch")["message"] == message
        told = place.event("claim", "TenantMismatch", kind="ProxyConfig", namespace=bar)
        assert (told["type"], told["message"]) == ("Warning", message)
        assert (
            process.wait_for_metric("mesh_signer_refusals_total", 1, signer=tenants.signer("foo"), namespace=bar) == 1
        )
        assert process.wait_for_metric("mesh_signer_issued_total", 1, signer=tenants.signer("foo"), namespace=foo) == 1
        (intent, outcome) = audit(process, name=theft)
        assert (intent["requester"], intent["identity"]) == (ISTIOD, f"spiffe://cluster.local/ns/{bar}/sa/default")
        assert outcome["outcome"] == "refused"
        (granted, _) = audit(process, name=name)
        assert (granted["namespace"], granted["source"]) == (foo, f"SignerBinding {foo}, claimed by ProxyConfig claim")
        assert place.issued(tenants.ask("foo")).signed_by(tenants.cas["foo"])


def test_a_retry_storm(tenants: Tenants) -> None:
    """Sixty thefts: each has its condition and counts; log, audit and Events have the first one, and how many more."""
    place, bar = tenants.place, tenants.name("bar")
    with signer(tenants) as process:
        thefts = [tenants.ask("bar", "foo") for _ in range(60)]
        assert {place.answered(theft).failed[0] for theft in thefts} == {"TenantMismatch"}
        assert process.wait_for_metric("mesh_signer_refusals_total", 60, namespace=bar, reason="TenantMismatch") == 60
        assert place.issued(tenants.ask("bar")).signed_by(tenants.cas["bar"])
    refused = audit(process, verdict="refuse")
    # A minute may have ended in between on a busy machine; then the first of the next one is told as well.
    summed = [line for line in refused if line["audit"] == "summary"]
    told = [line for line in refused if line["audit"] == "intent"]
    assert len(told) <= 3
    assert sum(line["count"] for line in summed) + len(told) == 60
    assert {(line["namespace"], *line["reasons"]) for line in summed} == {(bar, "TenantMismatch")}
    assert process.log.count(" refused: ") == len(told)
    events = [event for event in place.events("claim", "ProxyConfig", bar) if event["reason"] == "TenantMismatch"]
    assert sum(event["count"] for event in events) <= 2 * len(told)


class TestAuditFailure:
    def test_stop(self, tenants: Tenants) -> None:
        """Nothing is issued while the audit log is full, and the replica says so; a healthy one serves the request."""
        with signer(tenants, "--audit-log=/dev/full", "--audit-failure=stop") as process:
            request = tenants.ask("foo")
            tenants.place.until("not ready", lambda: not process.ready()[0])
            assert "nothing is issued, as it cannot be written down: No space left on device" in process.ready()[1]
            assert process.wait_for_metric("mesh_signer_audit_failing", 1) == 1
            more = tenants.ask("foo")
            assert not tenants.place.look(request)["status"].get("certificate")
            assert process.metric("mesh_signer_issued_total") == 0
            process.kill()
        with signer(tenants):
            for name in (request, more):
                assert tenants.place.answered(name).chain

    def test_continue(self, tenants: Tenants) -> None:
        """With `continue` a full disk stops nobody; the metric, /readyz and the log tell."""
        with signer(tenants, "--audit-log=/dev/full", "--audit-failure=continue") as process:
            assert tenants.place.answered(tenants.ask("foo")).chain
            ready, text = process.ready()
            assert ready
            assert "[+] audit: works, but lines cannot be written: No space left on device" in text
            assert process.wait_for_metric("mesh_signer_audit_failing", 1) == 1
            assert "(--audit-log): No space left on device" in process.log
