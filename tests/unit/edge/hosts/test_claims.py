"""What a HostClaim says of others that want its host."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import msgspec

from signer.api.edgepolicy import EdgePolicy
from signer.api.namespace import NamespaceObject
from signer.edge.gateways.opt_in import wanted_issuer
from signer.edge.hosts.claims import Claims, conflict, slim_namespace
from signer.kube.client import ApiClient
from signer.kube.reflector import Change
from signer.kube.room import Room
from signer.tenancy.verdict import Reason
from tests.steps import steps

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_quiet() -> None:
    """A host that is wanted by its owner alone has nothing to tell."""
    assert conflict((), (), NOW) == ()


def test_contenders() -> None:
    """Others that want the host are named, a few of them; told again it is the same, so that nothing is written."""
    (two,) = conflict((), ("a", "b"), NOW)
    assert (two.type, two.status, two.message) == ("Conflict", "True", "wanted by a, b too")
    many = [f"n{number:02}" for number in range(16)]
    (condition,) = conflict((two,), many, NOW)
    assert condition.message == "wanted by n00, n01, n02 too and others"
    assert conflict((condition,), many, NOW + timedelta(hours=1)) == (condition,)


def test_it_ends() -> None:
    """When nobody else wants it any more, the condition says so."""
    before = conflict((), ("a",), NOW)
    (condition,) = conflict(before, (), NOW)
    assert (condition.type, condition.status) == ("Conflict", "False")


def test_what_is_kept_of_a_namespace() -> None:
    """However much its people write on it, so much is kept as says who it asks and what admins say of it, and that says the same."""
    asked = {"cert-manager.io/issuer": "le", "cert-manager.io/issuer-kind": "x" * 250_000}
    notes = {f"cert-manager.io/{n}": "x" * 1000 for n in range(100)}
    meta = {"name": "a", "uid": "u", "annotations": asked | notes, "labels": {f"l{n}": "x" for n in range(5000)}}
    obj = msgspec.convert({"metadata": meta}, NamespaceObject)
    slim = slim_namespace(obj)
    assert len(msgspec.json.encode(slim)) < 2000
    assert (slim.metadata.name, slim.metadata.uid) == ("a", "u")
    found, whole = (wanted_issuer({}, one.metadata.annotations, None) for one in (slim, obj))
    assert isinstance(found, Reason)
    assert isinstance(whole, Reason)
    assert found.code == whole.code


def test_many_policies() -> None:
    """A list of EdgePolicies is indexed as a whole, however many there are; one more is seen by the next who asks."""

    def edge_policy(number: int) -> EdgePolicy:
        spec = {"hostSuffixes": [f"t{number}.example.com"], "namespaces": {"names": [f"t{number}"]}}
        return msgspec.convert({"metadata": {"name": f"p{number}"}, "spec": spec}, EdgePolicy)

    def listed(policies: list[EdgePolicy]) -> Claims:
        claims = Claims(cast("ApiClient", SimpleNamespace(room=Room())), clock=lambda: NOW)
        for one in policies:
            claims._policy_changed(Change("added", ("", one.metadata.name), None, one))
        assert len(claims.world.policies) == len(policies)
        return claims

    few, many = ([edge_policy(n) for n in range(count)] for count in (20, 200))
    assert steps(lambda: listed(many)) < 20 * steps(lambda: listed(few))
    claims = listed(few)
    for known in (edge_policy(77), None):
        claims._policy_changed(Change("added", ("", "p77"), None, known))
        assert ("p77" in {one.name for one in claims.world.policies}) is (known is not None)
