"""What `explain` says of a TenantBridge is what the controller does with it, and why; what could not be read is no refusal."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from signer.api.destinationrule import DestinationRule
from signer.api.meta import find_condition
from signer.api.tenantbridge import TenantBridge
from signer.api.tenantbridgepolicy import TenantBridgePolicy
from signer.bridges.credential import new_request
from signer.bridges.read import read_bridge_policy
from signer.commands.command import NotFoundOut
from signer.commands.explanations.bridge import BridgeExplanation, BridgeSeen, bridge_meant, explain_bridge
from signer.commands.explanations.csr import FoundOut
from signer.commands.live import Mesh
from signer.tenancy.index import Index
from signer.tenancy.verdict import Confirm
from signer.tenancy.world import Settings
from tests.fakes.virtual_time import virtual_time
from tests.unit.bridges.stored import POLICY, RULE, Scene
from tests.unit.csr.crafted import FOO, NOW, ready, unready

PAST = "2026-11-01T00:00:00Z"


def seen(scene: Scene) -> tuple[BridgeSeen, Mesh]:
    """What the command reads of what is stored."""
    obj = scene.stored
    assert obj is not None
    policies = [msgspec.convert(one, TenantBridgePolicy) for one in scene.api.named(POLICY).values()]
    rules = tuple(msgspec.convert(one, DestinationRule) for one in scene.api.named(RULE).values())
    found = BridgeSeen(obj, tuple(map(read_bridge_policy, policies)), ("httpbin",), {"istio-system": rules})
    return found, Mesh(scene.mesh, Index(Settings()), {FOO: ready(FOO)}, {})


def explained(found: BridgeSeen, mesh: Mesh) -> BridgeExplanation:
    bridge = bridge_meant(found, mesh, NOW)
    request = new_request(bridge).request if bridge is not None else None
    told = explain_bridge(found, mesh, request, now=NOW)
    if isinstance(told, Confirm):
        told = explain_bridge(found, mesh, request, now=NOW, found_out=FoundOut(confirmed=told))
    assert isinstance(told, BridgeExplanation)
    return told


def spec(scene: Scene, **changes: Any) -> None:
    there = scene.api.objects[scene.place]
    scene.api.put(scene.place, {**there, "spec": {**there["spec"], **changes}})


SCENES: dict[str, Any] = {
    "Built": lambda _: None,
    "NotAllowed": lambda scene: scene.policy(there=False),
    "NotAllowed, all services": lambda scene: scene.bridge("*"),
    "Invalid": lambda scene: spec(scene, hosts=["a.bar.svc.cluster.local"]),
    "Ended": lambda scene: spec(scene, endTime=PAST),
    "NamespaceNotFound": lambda scene: scene.mesh.namespaces.pop("istio-system"),
    "NamespaceNotRecorded": lambda scene: scene.api.objects[POLICY, "", "p"].pop("status"),
    "NotOwned": lambda scene: scene.mesh.bindings.clear(),
}


@pytest.mark.parametrize("name", SCENES)
@virtual_time
async def test_what_the_controller_does(name: str) -> None:
    """The same reason that the controller writes into the status; where it builds, the wall's own grant."""
    scene = Scene()
    SCENES[name](scene)
    told = await asyncio.to_thread(explained, *seen(scene))
    await scene.live(20)
    obj = scene.stored
    assert obj is not None
    found = find_condition(obj.status.conditions, "Ready")
    assert found is not None
    assert found.reason == name.partition(",")[0]
    if found.status == "True":
        assert (told.verdict, told.reasons) == ("issue", ())
        assert told.source == "TenantBridge foo/ingress, within TenantBridgePolicy p"
    else:
        assert told.verdict in {"refuse", "wait"}
        assert (told.reasons[0].code, told.reasons[0].message) == (found.reason, found.message)
    again = await asyncio.to_thread(explained, *seen(scene))
    assert (again.verdict, again.reasons) == (told.verdict, told.reasons)
    assert dict(again.known)["so far"].startswith(found.reason)


def test_a_rule_in_front() -> None:
    """What would make its requests fail is told beside the decision, a rule that nobody has looked at yet too."""
    found, mesh = seen(Scene())
    selector = {"matchLabels": {"istio": "ingressgateway"}}
    spec = {"host": "a.foo.svc.cluster.local", "workloadSelector": selector}
    rule = {"metadata": {"name": "theirs", "namespace": "istio-system"}, "spec": spec}
    told = explained(replace(found, rules={"istio-system": (msgspec.convert(rule, DestinationRule),)}), mesh)
    assert told.verdict == "issue"
    assert "theirs" in told.obstacles[0]
    assert told.document()["obstacles"] == list(told.obstacles)


def test_a_ca_that_may_not_be_read() -> None:
    """Where the CA's Secret may not be read nothing is said of the bridge."""
    found, mesh = seen(Scene())
    unread = replace(mesh, issuers={FOO: unready(FOO)}, unread=frozenset({FOO}))
    with pytest.raises(NotFoundOut, match="may not be read"):
        explained(found, unread)
    told = explained(found, replace(mesh, issuers={FOO: unready(FOO)}))
    assert (told.verdict, told.reasons[0].code) == ("wait", "SignerNotReady")


def test_without_istio() -> None:
    """Without Istio's definitions, or an object that cannot be read, the reason says so."""
    found, mesh = seen(Scene())
    assert explained(replace(found, rules=None), mesh).reasons[0].code == "NoDestinationRules"
    broken = TenantBridge(metadata=found.obj.metadata, raw_spec={"client": 3})
    assert explained(replace(found, obj=broken), mesh).reasons[0].code == "Invalid"
