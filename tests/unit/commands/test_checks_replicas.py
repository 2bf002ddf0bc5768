"""Installations beside this one, and clocks that are wrong, by the Leases that are renewed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from signer.api.meta import to_rfc3339
from signer.commands.checks.replicas import check_cert_managers_lease, check_clocks, check_installations
from signer.commands.live import Json, Listing
from tests.unit.commands.meshes import facts, named, whats
from tests.unit.csr.crafted import NOW


def lease(
    namespace: str, name: str = "mesh-signer-controllers", *, skew: int = 0, age: int = 3, holder: str = "a"
) -> Json:
    """A Lease that was stored `age` seconds ago, by a holder whose clock is `skew` seconds ahead."""
    stored = NOW - timedelta(seconds=age)
    found = named(
        "Lease",
        name,
        namespace,
        spec={"holderIdentity": holder, "renewTime": to_rfc3339(stored + timedelta(seconds=skew))},
    )
    found["metadata"]["managedFields"] = [
        {"manager": "x", "time": to_rfc3339(stored - timedelta(hours=3))},
        {"time": to_rfc3339(stored)},
    ]
    return found


@pytest.mark.parametrize(
    ("skew", "words"), [(0, ""), (50, ""), (-50, ""), (3600, "1:00:00 ahead of"), (-3600, "1:00:00 behind")]
)
def test_a_replicas_clock(skew: int, words: str) -> None:
    """A replica whose clock is more than a minute off is named, whoever's clock this command goes by."""
    found = list(check_clocks(facts_with(lease("cert-manager", "mesh-signer-p", skew=skew))))
    assert [one.severity for one in found] == (["error"] if words else [])
    assert not words or words in found[0].what


def test_the_clock_here() -> None:
    """A wrong clock of the machine on which the command runs is told as that."""
    (found,) = check_clocks(facts_with(skew=timedelta(hours=-1)))
    assert (found.severity, found.where) == ("warning", "this command")
    assert list(check_clocks(facts_with(skew=timedelta(seconds=30)))) == []


def facts_with(*leases: Json, skew: timedelta | None = None) -> Any:
    return replace(facts(leases=leases), skew=skew)


def test_two_installations() -> None:
    """Two leaders in two namespaces are named; one that is long gone, gave up, or is somebody else's is none."""
    here = lease("cert-manager")
    found = list(check_installations(facts_with(here, lease("signer-test", holder="b"))))
    assert [one.severity for one in found] == ["error"]
    assert "Lease signer-test/mesh-signer-controllers, held by b" in found[0].where
    for other in (lease("x", age=3600), lease("x", holder=""), lease("x", "other"), lease("x", "mesh-signer-p")):
        assert list(check_installations(facts_with(here, other))) == []
    assert whats(check_installations(facts(leases=Listing(problem="no"))))[0].startswith("unknown")


def test_hostile_leases() -> None:
    """Whatever a Lease says, it breaks nothing."""
    odd: list[Json] = [
        {},
        {
            "metadata": {"name": "mesh-signer-x", "managedFields": [{"time": 7}, 3]},
            "spec": {"holderIdentity": 7, "renewTime": []},
        },
    ]
    assert list(check_clocks(facts_with(*odd))) == []
    assert list(check_installations(facts_with(*odd))) == []


@pytest.mark.parametrize(
    ("namespace", "age", "severity"),
    [
        ("kube-system", 20, "note"),
        ("cert-manager", 20, "note"),
        ("elsewhere", 20, "warning"),
        ("kube-system", 90, None),
    ],
)
def test_a_cert_manager_at_work(namespace: str, age: int, severity: str | None) -> None:
    """One that renews its Lease is told, and one where our controllers do not look is warned of; an old Lease is nobody's."""
    spec = {"holderIdentity": "x", "renewTime": to_rfc3339(NOW - timedelta(seconds=age))}
    found = list(
        check_cert_managers_lease(facts(leases=[named("Lease", "cert-manager-controller", namespace, spec=spec)]))
    )
    assert [one.severity for one in found] == ([severity] if severity else [])


@pytest.mark.parametrize(("here", "theirs"), [(3600, 0), (-3600, 0), (0, 3600), (0, -3600), (3600, -3600)])
def test_a_cert_manager_at_work_and_wrong_clocks(here: int, theirs: int) -> None:
    """Neither the clock here nor the cert-manager's hides one that works, or keeps one alive that does not."""
    for age, working in ((20, True), (90, False)):
        found = lease("kube-system", "cert-manager-controller", skew=theirs, age=age + here)
        assert bool(list(check_cert_managers_lease(facts_with(found, skew=timedelta(seconds=here))))) is working
