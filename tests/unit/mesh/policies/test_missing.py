"""A policy that names namespaces which do not exist is told so on the policy, once, until they do."""

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from signer.api.meta import ObjectMeta
from signer.api.signerpolicy import SignerPolicy
from signer.mesh.policies.statuses import PolicyStatuses
from tests.fakes.recorder import FakeRecorder
from tests.unit.tenancy.worlds import world


def policy(name: str, *namespaces: str) -> SignerPolicy:
    spec = {"signers": ["clusterissuers.cert-manager.io/foo"], "namespaces": {"names": list(namespaces)}}
    return SignerPolicy(metadata=ObjectMeta(name=name, uid=name), raw_spec=spec)


async def test_told_once() -> None:
    """Each change of what is missing is told, and nothing else."""
    recorder = FakeRecorder()
    policies = {"p": policy("p", "foo", "later", "typo"), "q": policy("q", "foo")}
    mesh: Any = SimpleNamespace(policies=policies, world=world(), subscribe=lambda _: None)
    statuses = PolicyStatuses(cast(Any, None), cast(Any, None), mesh, cast(Any, None), recorder.typed)
    for _ in range(3):
        statuses._tell_of_missing()
    (event,) = recorder.taken
    assert (event.about.kind, event.name, event.reason) == ("SignerPolicy", "p", "NamespaceNotFound")
    assert "later, typo" in event.message
    mesh.world.namespaces["later"] = mesh.world.namespaces["foo"]
    statuses._tell_of_missing()
    assert "no namespace typo;" in recorder.taken[-1].message
    mesh.world.namespaces["typo"] = mesh.world.namespaces["foo"]
    statuses._tell_of_missing()
    assert len(recorder.taken) == 2


@given(
    named=st.sets(st.sampled_from(["foo", "gone", "later"])),
    known=st.sets(st.sampled_from(["foo", "gone"])),
    allowed=st.booleans(),
)
async def test_what_becomes_of_it(named: set[str], known: set[str], *, allowed: bool) -> None:
    """A namespace that never was has the signers as soon as it is there; one that was recorded and is gone has not, unless allowed."""
    recorder = FakeRecorder()
    remade = {"remade": "Allow"} if allowed else {}
    spec = {"signers": ["clusterissuers.cert-manager.io/foo"], "namespaces": {"names": sorted(named), **remade}}
    uids = {name: f"uid-{name}" for name in known}
    obj = SignerPolicy(metadata=ObjectMeta(name="p", uid="p"), raw_spec=spec, raw_status={"namespaceUIDs": uids})
    mesh: Any = SimpleNamespace(policies={"p": obj}, world=world(), subscribe=lambda _: None)
    PolicyStatuses(cast(Any, None), cast(Any, None), mesh, cast(Any, None), recorder.typed)._tell_of_missing()
    text = recorder.taken[0].message if recorder.taken else ""
    ended = {"gone"} & named & known if not allowed else set()
    assert ("NamespaceRemade" in text) == bool(ended)
    assert ("as soon as there is" in text) == bool(named - {"foo"} - ended)
