"""Both hands, over all that they may say: there is never a bridge without both, and either ends it."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from signer.bridges.decide import Denied, allowed
from signer.bridges.read import BridgePolicy, Wish
from signer.tenancy.verdict import Bridge
from signer.tenancy.world import Namespace
from tests.unit.bridges.drawn import NOW, UIDS, policies, spaces, wishes

DOMAINS = frozenset({"cluster.local"})
many = st.lists(policies, max_size=3)
built = st.sampled_from(("", *UIDS))


def answer(
    wish: Wish, some: list[BridgePolicy], namespaces: Mapping[str, Namespace], built_for: str = ""
) -> Bridge | Denied:
    return allowed(wish, some, namespaces, DOMAINS, built_for=built_for, now=NOW)


@given(wishes, many, spaces, built)
def test_what_a_bridge_rests_on(
    wish: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace], built_for: str
) -> None:
    """Where there is a bridge, its tenant asks for just this, and one policy that can be read allows all of it, now."""
    found = answer(wish, some, namespaces, built_for)
    if isinstance(found, Denied):
        return
    assert not wish.problem
    server, client = namespaces[wish.namespace], namespaces[wish.client_namespace]
    assert (found.server, found.server_uid) == (wish.namespace, server.uid)
    assert (found.client.namespace, found.client.service_account) == (wish.client_namespace, wish.client_account)
    assert found.client.trust_domain in DOMAINS
    assert found.client_uid == client.uid
    assert built_for in {"", client.uid}
    assert found.ends is None or found.ends > NOW
    assert found.lifetime <= wish.lifetime
    fitting = [
        one
        for one in some
        if one.name == found.policy
        and not one.problem
        and (wish.client_namespace, wish.client_account) in one.clients
        and one.serves(wish.namespace, server)
        and (one.wildcards or not wish.wildcards)
        and (one.ends is None or (one.ends > NOW and found.ends is not None and found.ends <= one.ends))
        and found.lifetime <= one.max_lifetime
        and (one.remade_allowed or one.namespace_uids.get(wish.client_namespace) == client.uid)
    ]
    assert fitting


@given(wishes, many, spaces)
def test_the_tenants_hand(wish: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """What the tenant ended is ended, whatever policies say."""
    assert isinstance(answer(replace(wish, ends=NOW), some, namespaces), Denied)
    assert isinstance(answer(replace(wish, problem="x"), some, namespaces), Denied)


@given(wishes, many, spaces)
def test_the_admins_hand(wish: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """Without a policy, or with none that has not ended or can be read, there is no bridge."""
    assert isinstance(answer(wish, [], namespaces), Denied)
    assert isinstance(answer(wish, [replace(one, ends=NOW) for one in some], namespaces), Denied)
    assert isinstance(answer(wish, [replace(one, problem="x") for one in some], namespaces), Denied)
    assert isinstance(answer(wish, [replace(one, clients=frozenset()) for one in some], namespaces), Denied)


@given(wishes, many, spaces)
def test_a_policy_less_opens_nothing(wish: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """A policy that is taken away never opens what was closed."""
    if isinstance(answer(wish, some, namespaces), Denied):
        for index in range(len(some)):
            assert isinstance(answer(wish, some[:index] + some[index + 1 :], namespaces), Denied)


@given(wishes, many, spaces)
def test_the_order_of_policies(wish: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """In which order policies come is the same, but for two of one name, which there are not."""
    by_name = {one.name: one for one in some}
    listed = list(by_name.values())
    assert answer(wish, listed, namespaces) == answer(wish, listed[::-1], namespaces)
