"""What one namespace's Issuers have of ClusterTrustBundles: no more than a share, and never at another's cost."""

from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.pods.bundles.shares import BYTES_OF_A_NAMESPACE, MOST_OF_A_NAMESPACE, BundleShares

SPACES = ("foo", "bar")
ISSUERS = [IssuerRef("Issuer", space, f"i{n}") for space in SPACES for n in range(MOST_OF_A_NAMESPACE + 4)]
OTHERS = [IssuerRef("ClusterIssuer", "", "c"), IssuerRef("Issuer", "foo", "of-the-mesh")]
SIZES = st.one_of(st.integers(0, 4000), st.integers(0, BYTES_OF_A_NAMESPACE + 10))


@given(st.lists(st.tuples(st.sampled_from([*ISSUERS, *OTHERS]), SIZES), max_size=100))
def test_any_bundles(wanted: list[tuple[IssuerRef, int]]) -> None:
    """Whatever is wanted in whatever order, a namespace's bundles stay within its share; who is refused would pass it."""
    shares, there = BundleShares((), frozenset(OTHERS)), dict[IssuerRef, int]()
    for ref, size in wanted:
        mine = {one: had for one, had in there.items() if one.namespace == ref.namespace and one not in OTHERS}
        after = mine | {ref: size}
        fits = len(after) <= MOST_OF_A_NAMESPACE and sum(after.values()) <= BYTES_OF_A_NAMESPACE
        lacking = shares.lacks(ref, size)
        assert (lacking == "") == (fits or ref in OTHERS)
        if not lacking:
            shares.take(ref, size)
            there[ref] = size


def test_one_that_is_too_large_may_become_smaller() -> None:
    """What an earlier version wrote beyond the share may shrink."""
    ref = ISSUERS[0]
    shares = BundleShares([(ref, BYTES_OF_A_NAMESPACE * 2)], frozenset())
    assert shares.lacks(ref, BYTES_OF_A_NAMESPACE + 1) == ""
    assert "KiB" in shares.lacks(ref, BYTES_OF_A_NAMESPACE * 2 + 1)


def test_one_more_than_the_share() -> None:
    """The bundle after the last of a namespace's share is refused; one that is there may change, and another namespace has its own."""
    mine = [ref for ref in ISSUERS if ref.namespace == "foo"]
    shares = BundleShares([(ref, 1) for ref in mine[:MOST_OF_A_NAMESPACE]], frozenset())
    assert "no more are made" in shares.lacks(mine[MOST_OF_A_NAMESPACE], 1)
    assert shares.lacks(mine[0], 2) == ""
    assert shares.lacks(IssuerRef("Issuer", "bar", "i0"), 1) == ""
