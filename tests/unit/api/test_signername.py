"""Signer names mean the issuers that they mean to cert-manager."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.signername import parse_signer_name, signer_name_of

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
refs = st.one_of(
    st.builds(lambda name: IssuerRef("ClusterIssuer", "", name), names),
    st.builds(lambda namespace, name: IssuerRef("Issuer", namespace, name), labels, names),
)

OURS = [
    ("clusterissuers.cert-manager.io/foo", IssuerRef("ClusterIssuer", "", "foo")),
    ("clusterissuers.cert-manager.io/foo.bar.baz", IssuerRef("ClusterIssuer", "", "foo.bar.baz")),
    ("issuers.cert-manager.io/shop.ca", IssuerRef("Issuer", "shop", "ca")),
    ("issuers.cert-manager.io/shop.ca.with.dots", IssuerRef("Issuer", "shop", "ca.with.dots")),
    # No namespace: an Issuer that can never be, and not somebody else's signer.
    ("issuers.cert-manager.io/foo", IssuerRef("Issuer", "", "foo")),
    ("clusterissuers.cert-manager.io/Foo", IssuerRef("ClusterIssuer", "", "Foo")),
]

NOT_OURS = [
    "",
    "foo",
    "/",
    "clusterissuers.cert-manager.io",
    "clusterissuers.cert-manager.io/foo/bar",
    "issuers.cert-manager.io/shop.ca/",
    "kubernetes.io/kube-apiserver-client",
    "clusterissuers.cert-manager.io.evil.example/foo",
    "evil.clusterissuers.cert-manager.io/foo",
    "clusterissuers.example.com/foo",
    "ClusterIssuers.cert-manager.io/foo",
    "certificates.cert-manager.io/foo",
    "awspcaissuers.awspca.cert-manager.io/foo.bar",
    " clusterissuers.cert-manager.io/foo",
]


@pytest.mark.parametrize(("name", "ref"), OURS)
def test_ours(name: str, ref: IssuerRef) -> None:
    """A name of our two domains names one issuer; an Issuer's namespace ends at the first dot."""
    assert parse_signer_name(name) == ref


@pytest.mark.parametrize("name", NOT_OURS)
def test_not_ours(name: str) -> None:
    """All other names, however alike, are somebody else's."""
    assert parse_signer_name(name) is None


@given(refs)
def test_round_trip(ref: IssuerRef) -> None:
    """The signer name of an issuer means that issuer and no other."""
    assert parse_signer_name(signer_name_of(ref)) == ref


@given(st.text(max_size=80))
def test_any_text(name: str) -> None:
    """No text makes reading fail, and what is read spells itself back."""
    ref = parse_signer_name(name)
    if ref is not None and (ref.namespace or ref.kind == "ClusterIssuer"):
        assert signer_name_of(ref) == name
