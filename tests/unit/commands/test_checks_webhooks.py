"""Webhooks that stop the mesh when they are down, and a leader that is gone: tables over rules, policies and Leases."""

import itertools
from typing import Any

import pytest

from signer.api.meta import to_rfc3339
from signer.commands.checks.replicas import check_leader, live
from signer.commands.checks.webhooks import SERVICE_LABEL, WRITTEN, check_webhooks, services
from signer.commands.live import Json, Listing
from signer.kube.leases.record import LEADER_LEASE
from tests.unit.commands.meshes import deployment, facts, named
from tests.unit.commands.test_checks_replicas import lease

SERVICE = {"service": {"namespace": "policy", "name": "engine"}}


def config(rule: dict[str, Any], **hook: Any) -> Json:
    return named(
        "ValidatingWebhookConfiguration",
        "engine",
        webhooks=[{"name": "check.engine", "clientConfig": SERVICE, "rules": [rule]} | hook],
    )


def rule(group: str = "*", resource: str = "*/*", verb: str = "*") -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["*"], "operations": [verb], "resources": [resource]}


def slices(ready: object) -> Json:
    found = named("EndpointSlice", "engine-x", "policy", endpoints=[{"conditions": {"ready": ready}}])
    found["metadata"]["labels"] = {SERVICE_LABEL: "engine"}
    return found


def codes(one: Json, *ends: Json, **changes: Any) -> list[tuple[str, str]]:
    known = facts(**({"injectables": [one], "endpoints": list(ends)} | changes))
    return [(found.severity, found.code) for found in check_webhooks(known)]


# By what a rule names: the pattern, and whether it has a resource, its subresource, another subresource.
PATTERNS = {
    "*": (True, False),
    "*/*": (True, True),
    "{name}": (True, False),
    "{name}/*": (True, True),
    "*/{sub}": (False, True),
    "{name}/{sub}": (False, True),
    "others": (False, False),
    "{name}/others": (False, False),
}


@pytest.mark.heavy
@pytest.mark.parametrize(("written", "pattern"), list(itertools.product(WRITTEN, PATTERNS)), ids=str)
@pytest.mark.parametrize("group", ["right", "*", "other.dev"])
@pytest.mark.parametrize("verb", ["right", "*", "DELETE"])
def test_what_is_written(written: tuple[str, str, str], pattern: str, group: str, verb: str) -> None:
    """Whatever of ours a rule takes, by group, resource, subresource and operation, a webhook that is down for it is told."""
    name, _, sub = written[1].partition("/")
    asks = rule(
        {"right": written[0]}.get(group, group),
        pattern.format(name=name, sub=sub or "status"),
        {"right": written[2]}.get(verb, verb),
    )
    takes = PATTERNS[pattern][bool(sub)] and group != "other.dev" and verb != "DELETE"
    found = [one for one in check_webhooks(facts(injectables=[config(asks)])) if one.code == "WebhookDown"]
    full = f"{name}.{written[0]}" if written[0] else name
    if takes:
        assert found
        assert found[0].severity == "error"
        if len(found[0].what) < 400 and pattern not in {"*", "*/*", "*/{sub}"}:
            assert full in found[0].what
    elif group == "right" and pattern != "*/{sub}" and verb == "right":
        assert not any(f"{full}{'/' if sub else ''}{sub}," in one.what for one in found)


@pytest.mark.parametrize("ready", [True, None, False])
@pytest.mark.parametrize("policy", ["Fail", None, "Ignore"])
@pytest.mark.parametrize("limit", [None, "namespaceSelector", "objectSelector", "matchConditions"])
def test_who_is_down(ready: bool | None, policy: str | None, limit: str | None) -> None:
    """A webhook whose Service has a ready endpoint, or that is passed over when it fails, is none; selectors make it less sure."""
    hook = ({"failurePolicy": policy} if policy else {}) | ({limit: {"x": "y"}} if limit else {})
    one = config(rule("certificates.k8s.io", "certificatesigningrequests/status"), **hook)
    down = ready is False and policy != "Ignore"
    assert codes(one, slices(ready)) == ([("warning" if limit else "error", "WebhookDown")] if down else [])
    assert services(facts(injectables=[one])) == (set() if policy == "Ignore" else {("policy", "engine")})


def test_what_was_not_looked_at() -> None:
    """A URL is not called, and EndpointSlices may not be readable: both are said."""
    one = config(rule(), clientConfig={"url": "https://127.0.0.1:1/validate"})
    assert codes(one) == [("note", "WebhookNotChecked")]
    assert codes(config(rule()), endpoints=Listing(problem="no")) == [("unknown", "WebhookNotChecked")]
    assert [one.severity for one in check_webhooks(facts(injectables=Listing(problem="no")))] == ["unknown"]
    odd: list[Any] = [{}, {"webhooks": "x"}, {"webhooks": [{"rules": [{"resources": 1}]}, 3]}]
    assert not list(check_webhooks(facts(injectables=odd)))


@pytest.mark.parametrize(
    ("duration", "age", "alive"),
    [
        (15, 5, True),
        (15, 16, True),
        (15, 20, False),
        (None, 50, True),
        (None, 70, False),
        (10_000, 110, True),
        (10_000, 130, False),
        (-1, 50, True),
    ],
)
@pytest.mark.parametrize("available", [0, 1])
def test_a_leader(duration: int | None, age: int, *, available: int, alive: bool) -> None:
    """A Lease counts for its own duration: a leader that stopped is none after it, and that is a finding where replicas run."""
    one = lease("cert-manager", age=age)
    one["spec"] |= {"leaseDurationSeconds": duration} if duration is not None else {}
    known = facts(leases=[one], deployments=[deployment(LEADER_LEASE, "cert-manager", available=available)])
    assert bool(live(known)) == alive
    found = list(check_leader(known))
    assert [each.code for each in found] == ([] if alive or not available else ["NobodyLeads"])
    for each in found:
        assert to_rfc3339(known.now)[:4] in each.what


def test_no_lease_at_all() -> None:
    """Where nobody ever led, or what leads cannot be read, nothing is said of it here."""
    running = [deployment(LEADER_LEASE, "cert-manager")]
    assert not list(check_leader(facts(deployments=running)))
    assert not list(check_leader(facts(deployments=running, leases=Listing(problem="no"))))
    assert not list(check_leader(facts(deployments=running, leases=[lease("elsewhere", age=900)])))
