"""One CA's part of the workers."""

import contextlib

from signer.api.issuer import IssuerRef
from signer.edge.issuers.shares import Shares


def test_a_tenants_issuers_share() -> None:
    """However many Issuers a namespace has, they keep two workers; another namespace has two of its own."""
    shares = Shares(tenant=2)
    with contextlib.ExitStack() as working:
        turns = [working.enter_context(shares.turn(IssuerRef("Issuer", "evil", f"i{number}"))) for number in range(9)]
        assert turns == [True, True] + [False] * 7
        assert working.enter_context(shares.turn(IssuerRef("Issuer", "other", "i0")))
        assert working.enter_context(shares.turn(IssuerRef("ClusterIssuer", "", "i0")))


def test_each_cluster_issuer_has_its_own() -> None:
    """A ClusterIssuer whose CA hangs leaves workers to the others, and gets its own back."""
    shares = Shares(cluster=1)
    with (
        shares.turn(IssuerRef("ClusterIssuer", "", "a")) as first,
        shares.turn(IssuerRef("ClusterIssuer", "", "a")) as second,
    ):
        assert (first, second) == (True, False)
        with shares.turn(IssuerRef("ClusterIssuer", "", "b")) as other:
            assert other
    with shares.turn(IssuerRef("ClusterIssuer", "", "a")) as again:
        assert again


def test_given_back_after_an_error() -> None:
    """Work that fails gives its turn back."""
    shares = Shares(cluster=1)
    with contextlib.suppress(ValueError), shares.turn(IssuerRef("ClusterIssuer", "", "a")):
        raise ValueError
    with shares.turn(IssuerRef("ClusterIssuer", "", "a")) as again:
        assert again
