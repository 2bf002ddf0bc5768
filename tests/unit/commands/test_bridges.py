"""What commands tell of bridges: who reaches whom by them, and what is wrong with them."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from signer.commands.checks.admission import check_admission, shipped
from signer.commands.checks.bridges import POLICIES, check_bridges, mend_of
from signer.commands.checks.facts import Facts
from signer.commands.live import Listing, Mesh
from signer.commands.tenancies.matrix import BRIDGE, cells, document, reaches
from signer.settings.values import Settings
from signer.tenancy.index import Index
from signer.tenancy.world import Settings as WallSettings
from tests.unit.commands.meshes import deployment

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def bridge(ready: str = "True", reason: str = "Built", **conditions: str) -> dict[str, Any]:
    told = [("Ready", ready, reason), *((kind, "False", code) for kind, code in conditions.items())]
    found = [{"type": kind, "status": status, "reason": code, "message": f"so {code}"} for kind, status, code in told]
    client = {"namespace": "istio-system", "serviceAccount": "gateway", "matchLabels": {"a": "b"}}
    return {
        "metadata": {"name": "ingress", "namespace": "foo"},
        "spec": {"client": client, "hosts": ["httpbin.foo.svc.cluster.local"], "endTime": "2027-01-01T00:00:00Z"},
        "status": {"conditions": found if ready else []},
    }


def facts(*bridges: dict[str, Any], built: bool = True, policies: tuple[str, ...] = tuple(POLICIES)) -> Facts:
    index = Index(WallSettings())
    shown = [one for one in shipped() if one.name in policies]
    return Facts(
        Settings(),
        Mesh(index.world, index, {}, {}),
        NOW,
        bridges=Listing(bridges),
        deployments=Listing(
            (deployment("mesh-signer-controllers", "cert-manager", args=["--tenant-bridges=true"]),) if built else ()
        ),
        admission_policies=Listing(tuple(_object(one) for one in shown if not one.kind.endswith("Binding"))),
        admission_bindings=Listing(tuple(_object(one) for one in shown if one.kind.endswith("Binding"))),
    )


def _object(one: Any) -> dict[str, Any]:
    return {"metadata": {"name": one.name}, "spec": one.spec}


class TestMatrix:
    def test_a_bridge(self) -> None:
        """A bridge is a line of its own: which account reaches which namespace, which hosts, until when, and by what."""
        (found,) = reaches(Index(WallSettings()).world, (), [bridge(Contained="OpenConnections")])
        assert cells(found) == (
            "istio-system/gateway",
            "foo",
            "open (OpenConnections)",
            "TenantBridge foo/ingress",
            "httpbin.foo.svc.cluster.local",
            "2027-01-01T00:00:00Z",
        )
        assert document(found)["kind"] == BRIDGE

    @pytest.mark.parametrize(("ready", "reason", "told"), [("False", "Ended", "Ended"), ("", "", "not looked at")])
    def test_one_that_does_not_stand(self, ready: str, reason: str, told: str) -> None:
        """One that does not stand says why."""
        (found,) = reaches(Index(WallSettings()).world, (), [bridge(ready, reason)])
        assert found.status == told


class TestDoctor:
    @pytest.mark.parametrize(
        ("one", "codes"),
        [
            (bridge(), []),
            (bridge("False", "NotAllowed"), ["BridgeDown"]),
            (bridge("False", "Ended"), []),
            (bridge(""), ["BridgeNotLookedAt"]),
            (bridge(Working="ServerNotStrict"), ["BridgeFails"]),
            (bridge(Contained="AllServices"), ["BridgeLeaks"]),
        ],
    )
    def test_what_is_told(self, one: dict[str, Any], codes: list[str]) -> None:
        """What the status says is found, once for each."""
        assert [found.code for found in check_bridges(facts(one))] == codes
        assert all(found.mend for found in check_bridges(facts(one)) if found.code != "BridgeNotLookedAt")

    def test_what_to_do(self) -> None:
        """Each reason that a bridge gives by itself has a remedy of its own, or passes by itself."""
        text = (Path(__file__).resolve().parents[3] / "docs/bridges.md").read_text("utf-8")
        tables = text[text.index("## What is told") : text.index("## The confused deputy")]
        told = set(re.findall(r"^\| `(\w+)`", tables, re.MULTILINE))
        passing = {
            "Built",
            "Ended",
            "NamespaceNotRecorded",
            "ReadingServiceAccounts",
            "ChangedMeanwhile",
            "AuditBlocked",
        }
        walls = {"NoServiceAccounts", "NoSigner"}
        assert {one for one in told if mend_of(one).startswith("see ")} == passing | walls

    def test_unread(self) -> None:
        """What could not be read is no clean bill."""
        found = list(check_bridges(replace(facts(), bridges=Listing(problem="forbidden"))))
        assert [one.severity for one in found] == ["unknown"]

    @pytest.mark.parametrize("name", sorted(POLICIES))
    def test_a_policy_that_is_missing(self, name: str) -> None:
        """Where bridges are built, each of their admission policies that is missing is told, and what is open then."""
        left = tuple(one for one in POLICIES if one != name)
        told = [one for one in check_admission(facts(policies=left)) if name in one.what]
        assert [one.code for one in told] == ["AdmissionPolicyMissing"]
        assert POLICIES[name] in told[0].what
        assert not [one for one in check_admission(facts(policies=left, built=False)) if name in one.what]
        assert not [one for one in check_admission(facts()) if name in one.what]
