"""Both hands, over all that they may say: there is never a bridge without both, and either ends it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.meta import ObjectMeta
from signer.api.tenantbridgepolicy import TenantBridgePolicy, TenantBridgePolicyStatus
from signer.bridges.decide import Denied, allowed
from signer.bridges.policies import policy_status
from signer.bridges.read import BridgePolicy, Wish
from signer.tenancy.verdict import Bridge
from signer.tenancy.world import Namespace
from tests.unit.bridges.drawn import HOSTS, HOUR, NOW, UIDS, policies, spaces, wish, wishes

DOMAINS = frozenset({"cluster.local"})
many = st.lists(policies, max_size=3)
built = st.sampled_from(("", *UIDS))


def answer(
    of: Wish, some: list[BridgePolicy], namespaces: Mapping[str, Namespace], built_for: str = ""
) -> Bridge | Denied:
    return allowed(of, some, namespaces, DOMAINS, built_for=built_for, now=NOW)


@given(wishes, many, spaces, built)
def test_what_a_bridge_rests_on(
    asked: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace], built_for: str
) -> None:
    """Where there is a bridge, its tenant asks for just this, and one policy that can be read allows all of it, now."""
    found = answer(asked, some, namespaces, built_for)
    if isinstance(found, Denied):
        return
    assert not asked.problem
    server, client = namespaces[asked.namespace], namespaces[asked.client_namespace]
    assert (found.server, found.server_uid) == (asked.namespace, server.uid)
    assert (found.client.namespace, found.client.service_account) == (asked.client_namespace, asked.client_account)
    assert found.client.trust_domain in DOMAINS
    assert found.client_uid == client.uid
    assert built_for in {"", client.uid}
    assert found.ends is None or found.ends > NOW
    assert found.lifetime <= asked.lifetime
    fitting = [
        one
        for one in some
        if one.name == found.policy
        and not one.problem
        and (asked.client_namespace, asked.client_account) in one.clients
        and one.serves(asked.namespace, server)
        and (one.wildcards or not asked.wildcards)
        and (one.ends is None or (one.ends > NOW and found.ends is not None and found.ends <= one.ends))
        and found.lifetime <= one.max_lifetime
        and (one.remade_allowed or one.namespace_uids.get(asked.client_namespace) == client.uid)
    ]
    assert fitting


WISH = wish(HOSTS[0])
POLICY = BridgePolicy(
    "p",
    servers=frozenset({"foo"}),
    clients=frozenset({("gateways", "gateway")}),
    max_lifetime=HOUR / 2,
    ends=NOW + HOUR,
    namespace_uids={"foo": "u1", "gateways": "u2"},
)
SPACES = {"foo": Namespace("u1"), "gateways": Namespace("u2")}


def test_one_that_is_allowed() -> None:
    """Where all fits, the shorter of both lifetimes holds, and the earlier end."""
    found = answer(replace(WISH, ends=NOW + 2 * HOUR), [POLICY], SPACES, "u2")
    assert isinstance(found, Bridge)
    assert (found.lifetime, found.ends, found.policy) == (HOUR / 2, NOW + HOUR, "p")


@pytest.mark.parametrize(
    ("of_wish", "of_policy", "built_for", "code"),
    [
        ({"problem": "x"}, {}, "", "Invalid"),
        ({"ends": NOW}, {}, "", "Ended"),
        ({}, {"ends": NOW}, "", "Ended"),
        ({}, {}, "u1", "NamespaceRemade"),
        ({}, {"namespace_uids": {"foo": "u9", "gateways": "u2"}}, "", "NamespaceRemade"),
        ({}, {"namespace_uids": {"foo": "u1", "gateways": "u9"}}, "", "NamespaceRemade"),
        ({}, {"namespace_uids": {"foo": "u1"}}, "", "NamespaceNotRecorded"),
        ({}, {"namespace_uids": {"gateways": "u2"}}, "", "NamespaceNotRecorded"),
        ({"client_namespace": "bar"}, {}, "", "NamespaceNotFound"),
        ({"client_account": "other"}, {}, "", "NotAllowed"),
        ({"hosts": (HOSTS[3],)}, {}, "", "NotAllowed"),
        ({}, {"problem": "x"}, "", "NotAllowed"),
        ({}, {"servers": frozenset({"bar"})}, "", "NotAllowed"),
        ({}, {"clients": frozenset({("gateways", "other")})}, "", "NotAllowed"),
        ({}, {"clients": frozenset({("bar", "gateway")})}, "", "NotAllowed"),
        ({}, {"trust_domain": "elsewhere"}, "", "TrustDomainMismatch"),
    ],
)
def test_one_thing_less(of_wish: dict[str, Any], of_policy: dict[str, Any], built_for: str, code: str) -> None:
    """Of what a bridge rests on each thing is needed, and told when it is not there."""
    found = answer(replace(WISH, **of_wish), [replace(POLICY, **of_policy)], SPACES, built_for)
    assert isinstance(found, Denied)
    assert found.reason.code == code


@given(wishes, many, spaces)
def test_the_tenants_hand(asked: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """What the tenant ended is ended, whatever policies say."""
    assert isinstance(answer(replace(asked, ends=NOW), some, namespaces), Denied)
    assert isinstance(answer(replace(asked, problem="x"), some, namespaces), Denied)


@given(wishes, many, spaces)
def test_the_admins_hand(asked: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """Without a policy, or with none that has not ended or can be read, there is no bridge."""
    assert isinstance(answer(asked, [], namespaces), Denied)
    assert isinstance(answer(asked, [replace(one, ends=NOW) for one in some], namespaces), Denied)
    assert isinstance(answer(asked, [replace(one, problem="x") for one in some], namespaces), Denied)
    assert isinstance(answer(asked, [replace(one, clients=frozenset()) for one in some], namespaces), Denied)


@given(wishes, many, spaces)
def test_a_policy_less_opens_nothing(asked: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """A policy that is taken away never opens what was closed."""
    if isinstance(answer(asked, some, namespaces), Denied):
        for index in range(len(some)):
            assert isinstance(answer(asked, some[:index] + some[index + 1 :], namespaces), Denied)


@given(wishes, many, spaces)
def test_the_order_of_policies(asked: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace]) -> None:
    """In which order policies come is the same, but for two of one name, which there are not."""
    by_name = {one.name: one for one in some}
    listed = list(by_name.values())
    assert answer(asked, listed, namespaces) == answer(asked, listed[::-1], namespaces)


@given(wishes, many, spaces, built, st.sampled_from(("a", "z")))
def test_a_policy_that_is_over(
    asked: Wish, some: list[BridgePolicy], namespaces: dict[str, Namespace], built_for: str, name: str
) -> None:
    """One more policy that has ended changes no answer, and not its reason, unless there was none about these two."""
    before = answer(asked, some, namespaces, built_for)
    over = replace(POLICY, name=name, ends=NOW)
    after = answer(asked, [*some, over], namespaces, built_for)
    if (
        isinstance(before, Denied)
        and before.reason.code == "NotAllowed"
        and "no TenantBridgePolicy" in before.reason.message
    ):
        assert isinstance(after, Denied)
        assert after.reason.code in {"NotAllowed", "Ended"}
    elif isinstance(before, Denied) and before.reason.code == "Ended":
        assert isinstance(after, Denied)
        assert after.reason.code == "Ended"
    else:
        assert after == before


@pytest.mark.parametrize("name", ["a", "z"])
def test_what_would_help(name: str) -> None:
    """Why the other policy allows nothing is told, whichever of the two comes first by name."""
    remade = replace(POLICY, namespace_uids={"foo": "u1", "gateways": "another"})
    found = answer(WISH, [remade, replace(POLICY, name=name, ends=NOW)], SPACES)
    assert isinstance(found, Denied)
    assert found.reason.code == "NamespaceRemade"


domains = st.sampled_from((DOMAINS, frozenset({"cluster.local", "other"}), frozenset({"other"})))


@given(policies, spaces, domains, st.sampled_from(("", "cluster.local")))
def test_what_a_policys_status_says(
    policy: BridgePolicy, namespaces: dict[str, Namespace], known: frozenset[str], domain: str
) -> None:
    """Ready is True where each bridge that the policy names may be built, and where none may it is False."""
    policy = replace(policy, trust_domain=domain)
    obj = TenantBridgePolicy(metadata=ObjectMeta(name=policy.name))
    counted = TenantBridgePolicyStatus(namespace_uids=dict(policy.namespace_uids))
    made = policy_status(obj, policy, counted, NOW, there=namespaces, trust_domains=known)
    (ready,) = made.conditions
    answers = []
    for server, client, account in (
        (server, *client) for server in namespaces for client in policy.clients if server != client[0]
    ):
        if not policy.serves(server, namespaces[server]):
            continue
        asked = replace(WISH, namespace=server, client_namespace=client, client_account=account)
        answers.append(allowed(asked, [policy], namespaces, known, built_for="", now=NOW))
    built = [one for one in answers if isinstance(one, Bridge)]
    if ready.status == "True":
        assert len(built) == len(answers)
    elif ready.message.startswith("allows nothing"):
        assert not built
