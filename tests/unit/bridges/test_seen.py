"""What is seen around a bridge counts at once; what a watch that lags shows makes nothing that cannot be taken back."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.meta import find_condition
from signer.api.tenantbridgepolicy import TenantBridgePolicy
from signer.bridges.again import EACH, FIRST, LONGEST, LOOK_AGAIN, Again
from signer.bridges.policies import BridgePolicies
from signer.bridges.read import read_bridge_policy
from signer.kube.queue import WorkQueue
from signer.tenancy.world import Namespace, World
from tests.fakes.virtual_time import virtual_time
from tests.unit.bridges.stored import NAMESPACE, POLICY, RULE, SECRET, Scene, Stored
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import uid

SOON = 5.0
"""Seconds of virtual time: a look that time alone brings comes after 300."""


def working(scene: Scene) -> str:
    obj = scene.stored
    assert obj is not None
    found = find_condition(obj.status.conditions, "Working")
    return found.message if found is not None else ""


@pytest.mark.parametrize("host", ["a.foo.svc.cluster.local", "*.foo.svc.cluster.local"])
@virtual_time
async def test_a_rule_in_front(host: str) -> None:
    """Somebody's rule that hides the bridge's is told as soon as it is seen, and that it is gone; one that hides nothing never is."""
    scene = Scene()
    at_work = asyncio.create_task(scene.live(100))
    await asyncio.sleep(60)
    place = (RULE, "istio-system", "earlier")
    scene.api.put(place, {"spec": {"host": host, "workloadSelector": {"matchLabels": {"istio": "ingressgateway"}}}})
    await asyncio.sleep(SOON)
    hides = not host.startswith("*")
    assert ("DestinationRule earlier" in working(scene)) == hides
    scene.api.remove(place)
    await asyncio.sleep(SOON)
    assert "DestinationRule earlier" not in working(scene)
    await at_work


def _is(scene: Scene, kind: str) -> str:
    obj = scene.stored
    assert obj is not None
    found = find_condition(obj.status.conditions, kind)
    return f"{found.status} {found.reason}" if found is not None else ""


STRICT = ("peerauthentications", "foo", "default")
THEIRS: dict[str, Any] = {"metadata": {"labels": {}}, "data": {}}
SECRETS = (SECRET, "istio-system", "mesh-signer-bridge-foo.ingress")
UNWATCHED: dict[str, tuple[tuple[str, str, str], Any, str]] = {
    "ServerNotStrict": (STRICT, {"spec": {"mtls": {"mode": "PERMISSIVE"}}}, "Working"),
    "HostNotFound": (("services", "foo", "a"), None, "Working"),
    "NoClient": (("pods", "istio-system", "gateway"), None, "Working"),
    "ServiceAccountNotFound": (("serviceaccounts", "istio-system", "gateway"), None, "Working"),
    "InTheWay": (SECRETS, THEIRS, "Ready"),
}


@pytest.mark.parametrize("reason", UNWATCHED)
@pytest.mark.parametrize("after", [1.0, 200.0, 1500.0])
@virtual_time
async def test_what_is_mended_unwatched(reason: str, after: float) -> None:
    """What no watch tells is seen mended within a minute, however long it stood, and costs few looks while it stands."""
    scene = Scene()
    place, wrong, kind = UNWATCHED[reason]
    right = scene.api.objects.get(place)
    if wrong is None:
        scene.api.remove(place)
    else:
        scene.api.put(place, {**(right or {}), **wrong})
    at_work = asyncio.create_task(scene.live(after + 70))
    await asyncio.sleep(after)
    assert _is(scene, kind) == f"False {reason}"
    assert scene.looks <= 12 + after / LONGEST
    assert [one.reason for one in scene.recorder.taken].count(reason) == 1, "one Event, however often it is looked at"
    if right is None:
        scene.api.remove(place)
    else:
        scene.api.put(place, right)
    await asyncio.sleep(LONGEST + 5)
    assert _is(scene, kind).startswith("True")
    await at_work


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(("", "a", "b"))), max_size=60))
def test_when_it_is_looked_at_again(looks: list[tuple[int, str]]) -> None:
    """Soon after something is wrong, ever later while it stays so, and of many that are wrong no more than so many in a second."""
    again = Again()
    before: dict[int, tuple[str, float]] = {}
    for key, wrong in looks:
        found = again.seconds(key, wrong)
        if not wrong:
            assert found == LOOK_AGAIN
            before.pop(key, None)
            continue
        same = before.get(key, ("", 0.0))
        before[key] = (wrong, found)
        assert found >= EACH * len(before)
        assert FIRST <= found <= LONGEST
        if same[0] != wrong:
            assert found == max(FIRST, EACH * len(before))
        elif same[1] >= EACH * len(before):
            assert found >= min(same[1], LONGEST)


def test_many_that_are_wrong() -> None:
    """A thousand that are wrong are looked at five times a second in all, and never later than one that is right."""
    again = Again()
    found = [again.seconds(key, "wrong") for key in range(5000)]
    assert all(pause >= EACH * (index + 1) for index, pause in enumerate(found[:1000]))
    assert max(found) == LOOK_AGAIN


LABEL = {"mesh-signer.dev/tenant": "a"}


def stale(scene: Scene, what: str) -> None:
    """Change what is stored, and not what the watches show."""
    foo = (NAMESPACE, "", "foo")
    there = scene.api.objects
    if what == "the client's namespace":
        scene.api.remove(place := (NAMESPACE, "", "istio-system"))
        scene.api.put(place, {"metadata": {"uid": "another"}})
    elif what == "the server's namespace":
        scene.api.remove(foo)
    elif what == "a namespace on its way out":
        there[foo]["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    elif what == "the policy":
        there[POLICY, "", "p"] = {**there[POLICY, "", "p"], "spec": {"servers": {"names": ["bar"]}, "clients": []}}
    elif what == "the hosts":
        spec = {**there[scene.place]["spec"], "hosts": ["b.foo.svc.cluster.local"]}
        there[scene.place] = {**there[scene.place], "spec": spec}


CHANGES = (
    "the server's label",
    "the client's namespace",
    "the server's namespace",
    "a namespace on its way out",
    "the policy",
    "the hosts",
)


@pytest.mark.parametrize("what", ["nothing", *CHANGES])
@virtual_time
async def test_watches_that_lag(what: str) -> None:
    """What is stored counts, not what a watch shows: no certificate by it, and no record of a namespace for good."""
    scene = Scene()
    if what == "the server's label":
        scene.mesh.namespaces["foo"] = Namespace(uid("foo"), LABEL)
        scene.policy(there=True, matchLabels=LABEL)
    scene.listed = lambda: stale(scene, what)
    await scene.live(60)
    obj = scene.stored
    assert obj is not None
    built = what in {"nothing", "the hosts"}
    assert bool(scene.api.named(SECRET)) == built
    assert bool(scene.lines) == built
    assert obj.status.client_namespace_uid == (uid("istio-system") if built else "")
    rules = [one["spec"]["host"].split(".")[0] for one in scene.api.named(RULE).values()]
    assert rules == {"nothing": ["a"], "the hosts": ["b"]}.get(what, [])
    assert scene.api.writes.count(("POST", RULE)) == len(rules)


@pytest.mark.parametrize("live", ["u1", "another", ""])
async def test_what_a_policy_records(live: str) -> None:
    """Which namespace a policy's name means is stored for good, so it is read live: one that a watch still shows is not stored."""
    api = Stored()
    place = (POLICY, "", "p")
    clients = [{"namespace": "gateways", "serviceAccounts": ["gateway"]}]
    api.put(place, {"spec": {"servers": {"names": ["foo"]}, "clients": clients}})
    if live:
        api.put((NAMESPACE, "", "foo"), {"metadata": {"uid": live}})
    world = World(namespaces={"foo": Namespace("u1")})
    world.unsynced = ""
    obj = msgspec.convert(api.objects[place], TenantBridgePolicy)
    parts: Any = SimpleNamespace(
        world=world,
        index=SimpleNamespace(terminating=set()),
        policies=SimpleNamespace(store={("", "p"): obj}),
        allowing={"p": read_bridge_policy(obj)},
    )
    queue: WorkQueue[str] = WorkQueue()
    made = BridgePolicies(cast("Any", api), parts, parts, {}, queue, lambda: NOW)
    await made.reconcile("p")
    status = api.objects[place]["status"]
    assert status["namespaceUIDs"] == ({"foo": "u1"} if live == "u1" else {})
    assert "gateways" in status["conditions"][0]["message"]
    assert ("foo" in status["conditions"][0]["message"]) == (live != "u1")
