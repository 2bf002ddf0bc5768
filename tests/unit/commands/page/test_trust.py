"""The picture of who trusts whom: its lines are those of `tenants`, its roots those of the mesh config."""

from typing import Any

from signer.commands.live import Mesh
from signer.commands.page.trust import Crossing, Graph, drawn, graph, tenant_name
from signer.commands.tenancies.holders import tenancies
from signer.tenancy.shared import shared_roots
from tests.unit.commands.meshes import state
from tests.unit.commands.page.samples import SIGNERS, cluster, seen, signer
from tests.unit.csr.crafted import NOW
from tests.unit.csr.test_by_identity import BAR, FOO, indexed


def picture(most: int = 60, **given: Any) -> tuple[Graph, Any]:
    mesh = seen(cluster(**given)).facts.mesh
    found = graph(mesh.world, tenancies(mesh, NOW))
    return found, drawn(found, {ref: ref.name for ref in SIGNERS}, most)


def lines(shown: Any) -> set[tuple[str, str, bool]]:
    return {
        (shown["tenants"][one["tenant"]], shown["signers"][one["signer"]], one["refused"]) for one in shown["claims"]
    }


def test_lines() -> None:
    """Each line of `tenants` is one of the picture, and a refused one says so."""
    found, shown = picture()
    assert lines(shown) == {(tenant_name(row), row.signer.name, row.refused) for row in found.tenants}
    assert ("thief", "foo", True) in lines(shown)
    assert ("foo", "foo", False) in lines(shown)
    assert any(name.endswith("others)") for name in shown["tenants"])


def test_roots() -> None:
    """Tenants below one root end at it together, and it is told as shared; a thief trusts nobody's root."""
    found, shown = picture()
    ends = {shown["signers"][one["signer"]]: one["root"] for one in shown["trusts"]}
    assert ends["one"] == ends["two"]
    assert len({ends[name] for name in ("foo", "bar", "one")}) == 3
    (shared,) = [one for one in found.roots if one.shared]
    assert (shared.signers, shared.tenants) == ((signer("one"), signer("two")), ("one", "two"))
    assert [one["shared"] for one in shown["roots"]] == [bool(one.shared) for one in found.roots]
    assert all("thief" not in one.tenants for one in found.roots)


def test_roots_that_come_with_the_answer() -> None:
    """Where one signer is routed by identity no root is in the mesh config: each tenant ends at its own all the same."""
    index = indexed(listed=())
    mesh = Mesh(index.world, index, {ref: state(ref) for ref in (FOO, BAR)}, {})
    found = graph(mesh.world, tenancies(mesh, NOW))
    ends = {one.tenants: one.signers for one in found.roots if one.tenants}
    assert ends == {("foo",): (FOO,), ("bar",): (BAR,)}
    assert {row.signer for row in found.tenants} == {FOO, BAR}, "the routed name is nobody's CA"


def test_shared_as_elsewhere() -> None:
    """What is shared is what the controllers and `tenants` call so, in the same words."""
    mesh = seen().facts.mesh
    told = {str(one) for one in shared_roots(mesh.world)}
    assert {one.shared for one in graph(mesh.world, tenancies(mesh, NOW)).roots} - {""} == told
    assert len(told) == 1


def test_subjects() -> None:
    """A root has the subject that people gave it."""
    found, _ = picture()
    assert {one.subject for one in found.roots} == {"CN=foo", "CN=bar", "CN=one", "CN=istio-system"}


def test_bound() -> None:
    """A picture of a large mesh has so many lines at most, says how many are left out, and each line has its ends."""
    many = {f"n{index:03}": f"s{index:03}" for index in range(100)}
    found, shown = picture(most=20, claims=many)
    assert len(shown["claims"]) <= 20
    assert len(shown["tenants"]) <= 20
    assert len(shown["signers"]) <= 20
    assert shown["more"] == len(found.tenants) - 20
    for one in shown["claims"]:
        assert shown["tenants"][one["tenant"]]
        assert shown["signers"][one["signer"]]
    for one in shown["trusts"]:
        assert shown["signers"][one["signer"]]
        assert shown["roots"][one["root"]]


def test_bridges_have_the_room_that_is_left() -> None:
    """Bridges come after the tenants' own lines; what has no room is counted, and each line has its ends."""
    found, alone = picture()
    across = tuple(
        Crossing(f"gateways/{index}", "foo", signer("foo"), "bridge to foo", refused=False) for index in range(9)
    )
    most = len(found.tenants) + 4
    shown: Any = drawn(found, {}, most, across)
    assert len(shown["claims"]) == most
    assert shown["more"] == 5
    assert alone["more"] == 0
    for one in shown["claims"]:
        assert shown["tenants"][one["tenant"]]
        assert shown["signers"][one["signer"]]
    names = [shown["tenants"][one["tenant"]] for one in shown["claims"] if one.get("bridge")]
    assert names == [f"gateways/{index}" for index in range(4)]
