"""Nobody becomes an owner, and no namespace gets its first certificate, on watches that a live read would contradict.

No later one rests on what was contradicted for more than a minute; the same holds for CertificateRequests: in a world that
changes as it likes, and that each watch shows late (lagging.py).
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.signerbinding import SignerBinding
from signer.mesh.confirmations import READ_FOR
from tests.unit.mesh.lagging import KINDS, NAMES, SPACES, run
from tests.unit.tenancy.indexed import DOMAIN

spaces, signers, kinds = st.sampled_from(SPACES), st.sampled_from(NAMES), st.sampled_from(KINDS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), spaces),
        st.tuples(st.just("remake"), spaces),
        st.tuples(st.just("delete"), spaces),
        st.tuples(st.just("claim"), spaces, signers),
        st.tuples(st.just("claim"), spaces, signers),
        st.tuples(st.just("unclaim"), spaces),
        st.tuples(st.just("config"), st.sets(signers), st.sampled_from(("", "shop", "team"))),
        st.tuples(st.just("policy"), st.sampled_from(("p", "q")), signers, st.sets(spaces)),
        st.tuples(st.just("open policy"), st.sampled_from(("p", "q")), signers, st.sets(spaces)),
        st.tuples(st.just("no policy"), st.sampled_from(("p", "q"))),
        st.tuples(st.just("request"), spaces, signers),
        st.tuples(st.just("release"), signers),
        st.tuples(st.just("deliver"), kinds, st.integers(1, 4)),
        st.tuples(st.just("deliver"), kinds, st.integers(1, 4)),
        st.tuples(st.just("cut"), kinds),
        st.tuples(st.just("restart")),
        st.tuples(st.just("bind")),
        st.tuples(st.just("bind")),
        st.tuples(st.just("ask"), spaces, signers),
        st.tuples(st.just("ask"), spaces, signers),
    ),
    max_size=40,
)


@given(steps)
def test_nothing_is_given_away_on_an_old_view(program: list[tuple[Any, ...]]) -> None:
    """Whatever each watch has brought, owner and first certificate are what is stored, later ones what was within a minute."""
    asyncio.run(run(program))


SPECIMENS: dict[str, list[tuple[Any, ...]]] = {
    "the namespace of the signer's name is not seen yet": [
        ("make", "shop"),
        ("claim", "bar", "shop"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "bar", "shop"),
    ],
    "a policy that names the signer is not seen yet": [
        ("policy", "p", "team", {"foo"}),
        ("claim", "bar", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "bar", "team"),
    ],
    "the mesh config no longer has the signer": [
        ("config", {"foo"}, ""),
        ("claim", "bar", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "bar", "team"),
    ],
    "another claimant is not seen yet": [
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("claim", "bar", "team"),
        ("bind",),
        ("ask", "foo", "team"),
    ],
    "another claimant's object says something else by now": [
        ("claim", "foo", "shop"),
        ("deliver", "ProxyConfigs", 9),
        ("claim", "bar", "team"),
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 1),
        ("bind",),
        ("ask", "bar", "team"),
    ],
    "the claim is gone already": [
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("unclaim", "foo"),
        ("bind",),
        ("ask", "foo", "team"),
    ],
    "the namespace was made again": [
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("remake", "foo"),
        ("bind",),
        ("ask", "foo", "foo"),
    ],
    "the owner's namespace was made again": [
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "foo", "foo"),
        ("remake", "foo"),
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("ask", "foo", "foo"),
    ],
    "the signer was released": [
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("deliver", "SignerBindings", 9),
        ("release", "team"),
        ("policy", "p", "team", set()),
        ("ask", "foo", "team"),
    ],
}


LATER: dict[str, list[tuple[Any, ...]]] = {
    "the policy that opened the signer for requests is gone": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("no policy", "p"),
        ("request", "bar", "team"),
    ],
    "the policy covers others by now": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("open policy", "p", "team", {"foo"}),
        ("request", "bar", "team"),
    ],
    "the namespace of the request was made again": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("remake", "bar"),
        ("request", "bar", "team"),
    ],
    "the policy went after the first request": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("request", "bar", "team"),
        ("no policy", "p"),
        ("later",),
        ("later",),
        ("request", "bar", "team"),
    ],
    "the claim ended after the first certificate": [
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "foo", "foo"),
        ("policy", "p", "foo", {"bar"}),
        ("later",),
        ("later",),
        ("ask", "foo", "foo"),
    ],
}
SPECIMENS |= LATER


@pytest.mark.heavy
@pytest.mark.parametrize("what", SPECIMENS)
async def test_specimens(what: str) -> None:
    """Each of the five sources alone may be the one that is held back; by its watches alone a replica would go wrong."""
    with pytest.raises(AssertionError):
        await run(SPECIMENS[what], live=False)
    await run(SPECIMENS[what])


@pytest.mark.parametrize("what", ["/namespaces", "/configmaps", "/signerpolicies", "/proxyconfigs"])
async def test_a_live_read_that_fails(what: str) -> None:
    """What could not be read makes nobody an owner and issues nothing; when it can be read, both come."""
    replica = await run([("claim", "foo", "team"), ("deliver", "ProxyConfigs", 9)])
    replica.api.broken = what
    await replica.bind_all()
    assert not await replica.ask("foo", "team")
    assert not replica.api.bindings
    replica.api.broken = ""
    assert await replica.ask("foo", "team")
    replica.at += timedelta(seconds=11)
    replica.api.broken = "/namespaces"
    assert not await replica.ask("foo", "team")


@pytest.mark.heavy
async def test_once_and_then_the_uid_alone() -> None:
    """The first certificate of a namespace costs a few reads, the next ones none, after ten seconds one, after a minute a few."""
    replica = await run([("claim", "foo", "foo"), ("deliver", "ProxyConfigs", 9), ("bind",)])
    before = replica.api.reads
    assert await replica.ask("foo", "foo")
    assert 0 < replica.api.reads - before < 10
    before = replica.api.reads
    for _ in range(100):
        assert await replica.ask("foo", "foo")
    assert replica.api.reads == before
    replica.at += timedelta(seconds=11)
    assert await replica.ask("foo", "foo")
    assert replica.api.reads == before + 1
    replica.at += READ_FOR
    assert await replica.ask("foo", "foo")
    assert 2 < replica.api.reads - before < 10


async def test_a_request_costs_little() -> None:
    """The first CertificateRequest of a namespace by a policy costs two reads, those of the next ten seconds none."""
    replica = await run([("open policy", "p", "team", {"bar"}), ("deliver", "SignerPolicies", 9)])
    before = replica.api.reads
    assert await replica.request("bar", "team")
    assert replica.api.reads - before == 2
    for _ in range(20):
        assert await replica.request("bar", "team")
    assert replica.api.reads - before == 2


async def test_what_the_tests_stand_on() -> None:
    """The replica of these tests makes honest owners, and issues to them."""
    replica = await run([("claim", "foo", "foo"), ("deliver", "ProxyConfigs", 9), ("bind",)])
    assert replica.api.bindings["foo"].spec.namespace == "foo"
    assert isinstance(replica.api.bindings["foo"], SignerBinding)
    assert await replica.ask("foo", "foo")
    assert not await replica.ask("bar", "foo")
    assert DOMAIN in replica.api.bindings["foo"].spec.signer_name
