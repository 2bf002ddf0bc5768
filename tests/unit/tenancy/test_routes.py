"""What a namespace is given is found by look-up: as many policies as there are, and whatever comes and goes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.index import Index
from signer.tenancy.routes import policies_about
from signer.tenancy.world import Namespace, Policy, Settings
from tests.unit.tenancy.indexed import FOO, NOW, SHOP, namespace_object, policy

NAMES = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(
    st.sampled_from(["mesh-signer.dev/x", "mesh-signer.dev/y"]), st.sampled_from(["1", "2"]), max_size=2
)


@st.composite
def policies(draw: st.DrawFn) -> SignerPolicy:
    """A policy of few names and labels, so that drawn ones take each other's place."""
    spec: dict[str, Any] = {}
    names, labels = draw(st.sets(NAMES)), draw(LABELS)
    if names or labels:
        spec["namespaces"] = {"names": sorted(names), "matchLabels": labels, "remade": "Allow"}
    if draw(st.integers(0, 2)) == 0:
        spec["route"] = "Identity"
    if draw(st.integers(0, 4)) == 0:
        spec["maxLifetime"] = "soon"  # then it cannot be read
    return policy(draw(st.sampled_from(["p", "q", "r"])), *draw(st.sampled_from([("foo",), ("shop", "foo")])), **spec)


@given(st.lists(st.one_of(policies(), st.sampled_from(["p", "q", "r"])), max_size=8), NAMES, LABELS)
def test_what_is_kept_by_namespace(changes: list[SignerPolicy | str], name: str, labels: dict[str, str]) -> None:
    """After any puts and removals the look-up finds each policy that covers a namespace, and knows which signers are routed."""
    index = Index(Settings())
    index.put_namespace(namespace_object(name, **labels))
    there: dict[str, Policy] = {}
    for change in changes:
        if isinstance(change, str):
            index.remove_policy(change)
            there.pop(change, None)
        else:
            there[change.metadata.name] = index.put_policy(change)
    index.settle(NOW)
    exists = index.world.namespaces[name]
    assert isinstance(exists, Namespace)

    def names_of(found: Any) -> set[str]:
        return {one.name for one in found if one.covers(name, exists) and not one.routes_all}

    assert names_of(policies_about(index.world, name, exists)) == names_of(there.values())
    routed = {signer for one in there.values() if one.by_identity for signer in one.signers}
    assert index.world.routed == routed
    assert routed <= {FOO, SHOP}
    for kept in (index.world.naming, index.world.labelling):
        assert all(kept.values()), "nothing is left of what is gone"
