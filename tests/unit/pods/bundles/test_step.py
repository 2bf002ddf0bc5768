"""Which roots a bundle has: never one too few for a certificate that is still valid, and none for ever."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signer.api.clustertrustbundle import (
    FORMER_ROOTS,
    ClusterTrustBundle,
    ClusterTrustBundleSpec,
    bundle_name,
    new_bundle,
    slim_bundle,
)
from signer.api.meta import ObjectMeta, from_rfc3339
from signer.pods.bundles.step import MOST, Content, bundle_roots, content_of, longest_life, own_entries, wanted
from signer.tenancy.world import CertificateAuthorityEntry, Policy
from tests import pki
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import BAR, FOO, world

SIGNER = "clusterissuers.cert-manager.io/foo"
ROOTS = [
    pki.CA(f"root-{n}", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=365), now=NOW)
    for n in range(5)
]
STAYS = timedelta(days=1)


def stored(content: Content | None) -> ClusterTrustBundle | None:
    """What the API server has after this was written."""
    if content is None:
        return None
    base = msgspec.convert(new_bundle(SIGNER), ClusterTrustBundle)
    notes = {FORMER_ROOTS: content.annotation} if content.annotation else {}
    return ClusterTrustBundle(
        replace(base.metadata, annotations=notes), ClusterTrustBundleSpec(SIGNER, content.trust_bundle)
    )


def today(numbers: list[int], now: datetime = NOW) -> tuple[str, ...]:
    return tuple(root.digest for root in bundle_roots([ROOTS[number].pem for number in numbers], now))


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(range(5)), min_size=1, max_size=3, unique=True), st.integers(0, 40)),
        min_size=1,
        max_size=12,
    )
)
def test_any_history(history: list[tuple[list[int], int]]) -> None:
    """Whatever roots a signer has had, one that it signed below within the last day is there, and one of long ago is not.

    Each step sets the roots of that moment, after some hours; the bundle is written then, and once more at once.
    """
    now, content = NOW, None
    last: dict[str, datetime] = {}
    for numbers, hours in history:
        now += timedelta(hours=hours)
        found = bundle_roots([ROOTS[number].pem for number in numbers], now)
        content = wanted(found, stored(content), stays=STAYS, now=now)
        again = wanted(found, stored(content), stays=STAYS, now=now)
        assert again == content, "what was just written is right"
        there = today_of(content, now)
        assert {root.digest for root in found} <= there
        for root in found:
            last[root.digest] = now
        for digest, seen in last.items():
            if now - seen <= STAYS:
                # It was a root at `seen` at the latest, and a certificate of then may still be valid.
                assert digest in there
        assert all((from_rfc3339(until) or NOW) > now for until in content.former.values())
        assert set(content.former) == there - {root.digest for root in found}


def today_of(content: Content, now: datetime) -> set[str]:
    return {root.digest for root in bundle_roots([content.trust_bundle.encode()], now)}


def test_a_former_root_goes_in_the_end() -> None:
    """A root that is no signer's any more is taken out once the longest certificate below it has ended, and not before."""
    both = wanted(bundle_roots([ROOTS[0].pem, ROOTS[1].pem], NOW), None, stays=STAYS, now=NOW)
    assert not both.former
    one = bundle_roots([ROOTS[1].pem], NOW)
    after = wanted(one, stored(both), stays=STAYS, now=NOW)
    assert set(after.former) == set(today([0]))
    assert wanted(one, stored(after), stays=STAYS, now=NOW + STAYS).former == after.former
    gone = wanted(one, stored(after), stays=STAYS, now=NOW + STAYS + timedelta(minutes=11))
    assert gone == wanted(one, None, stays=STAYS, now=NOW)


def test_a_root_that_comes_back() -> None:
    """A root that is one of today's again is no former one any more: it does not go when its time has come."""
    first = wanted(bundle_roots([ROOTS[0].pem], NOW), None, stays=STAYS, now=NOW)
    second = wanted(bundle_roots([ROOTS[1].pem], NOW), stored(first), stays=STAYS, now=NOW)
    back = wanted(bundle_roots([ROOTS[0].pem], NOW), stored(second), stays=STAYS, now=NOW)
    assert set(back.former) == set(today([1]))


@given(
    st.text(max_size=60)
    | st.dictionaries(st.text(max_size=5), st.text(max_size=20)).map(msgspec.json.encode).map(bytes.decode)
)
def test_any_annotation(text: str) -> None:
    """Whatever somebody writes into the annotation, the former root stays for a whole time more, or until it says."""
    first = stored(wanted(bundle_roots([ROOTS[0].pem], NOW), None, stays=STAYS, now=NOW))
    assert first is not None
    edited = ClusterTrustBundle(replace(first.metadata, annotations={FORMER_ROOTS: text}), first.spec)
    found = wanted(bundle_roots([ROOTS[1].pem], NOW), edited, stays=STAYS, now=NOW)
    assert today([0])[0] in today_of(found, NOW)


@given(st.binary(max_size=300))
def test_any_text_for_roots(data: bytes) -> None:
    """What cannot be read of a mesh config or of a bundle hides no root that can."""
    assert [root.digest for root in bundle_roots([data, ROOTS[0].pem], NOW)] == list(today([0]))


def test_what_is_no_root_for_the_api_server() -> None:
    """Certificates that are no CA's, have ended, or come twice are left out: the API server would take none of the bundle."""
    leaf = pki.sign(ROOTS[0], pki.csr(), NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    ended = pki.CA("ended", not_before=NOW - timedelta(days=2), not_after=NOW - timedelta(days=1), now=NOW)
    found = bundle_roots([leaf, ended.pem, ROOTS[0].pem, ROOTS[0].pem + ROOTS[1].pem], NOW)
    assert tuple(root.digest for root in found) == today([0, 1])


def test_an_entry_for_several() -> None:
    """What the mesh config has for several signers is no root of any of them: one tenant's would be the other's too."""
    several = CertificateAuthorityEntry(ROOTS[0].pem.decode() + ROOTS[1].pem.decode(), frozenset({FOO, BAR}))
    own = [CertificateAuthorityEntry(ROOTS[n].pem.decode(), frozenset({FOO})) for n in (2, 3)]
    assert own_entries((several, *own)) == {FOO: tuple(one.pem for one in own)}


def test_no_more_than_a_few() -> None:
    """However many roots the mesh config has, a bundle has a few, those of today first."""
    many = [
        pki.CA(f"many-{n}", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=9), now=NOW).pem
        for n in range(MOST + 3)
    ]
    assert len(bundle_roots(many, NOW)) == MOST
    full = wanted(bundle_roots(many, NOW), None, stays=STAYS, now=NOW)
    after = wanted(bundle_roots([ROOTS[0].pem], NOW), stored(full), stays=STAYS, now=NOW)
    assert len(today_of(after, NOW)) == MOST
    assert after.trust_bundle.startswith(ROOTS[0].pem.decode())


def test_how_long_a_former_root_stays() -> None:
    """As long as the longest certificate of the signer, by its policies, and no less than a workload's."""
    assert longest_life(world(), FOO) == timedelta(hours=24)
    policies = (
        Policy("a", frozenset({FOO}), max_lifetime=timedelta(days=7)),
        Policy("b", frozenset({FOO}), max_lifetime=timedelta(hours=1)),
    )
    assert longest_life(world(policies=policies), FOO) == timedelta(days=7)
    assert longest_life(world(policies=policies[1:]), FOO) == timedelta(hours=24)


@pytest.mark.parametrize(
    ("name", "signer", "labelled", "kept"),
    [
        (bundle_name(SIGNER), SIGNER, True, "ours"),
        (bundle_name(SIGNER), SIGNER, False, "name"),
        (bundle_name(SIGNER), "", True, "name"),
        ("clusterissuers.cert-manager.io:foo:other", SIGNER, True, "nothing"),
        ("other", "", False, "nothing"),
    ],
)
def test_whose_a_bundle_is(name: str, signer: str, labelled: bool, kept: str) -> None:
    """A bundle is ours by its name, its signer and its label together; of others no root is kept in memory."""
    labels = {"mesh-signer.dev/trust-bundle": "roots"} if labelled else {}
    bundle = ClusterTrustBundle(ObjectMeta(name=name, labels=labels), ClusterTrustBundleSpec(signer, "roots"))
    found = slim_bundle(bundle)
    assert bundle.ours == (kept == "ours")
    assert (found is None) == (kept == "nothing")
    assert found is None or (found.spec.trust_bundle == "roots") == (kept == "ours")


def test_what_is_stored_says_what_was_wanted() -> None:
    """What is read back equals what was written, so that nothing is written twice."""
    content = wanted(bundle_roots([ROOTS[0].pem], NOW), None, stays=STAYS, now=NOW)
    content = wanted(bundle_roots([ROOTS[1].pem], NOW), stored(content), stays=STAYS, now=NOW)
    bundle = stored(content)
    assert bundle is not None
    assert bundle.ours
    assert content_of(bundle) == content
