"""Signer names mean the issuers that they mean to cert-manager."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.signername import misspelt_signer, parse_signer_name, signer_name_of

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


DOMAINS = ("clusterissuers.cert-manager.io", "issuers.cert-manager.io")


@given(st.sampled_from(DOMAINS), st.integers(0, 40), st.sampled_from(["delete", "double", "swap", "other", "upper"]))
def test_a_slip_is_told(domain: str, place: int, slip: str) -> None:
    """A letter too few, too many, another, two exchanged: the domain that is meant is named, and it still is no signer of ours."""
    place %= len(domain) - 1
    one, two = domain[place], domain[place + 1]
    made = {"delete": "", "double": one + one, "swap": two + one, "other": "q", "upper": one.upper()}[slip]
    wrong = domain[:place] + made + domain[place + (2 if slip == "swap" else 1) :]
    said = misspelt_signer(f"{wrong}/x")
    assert (said == "") is (wrong == domain)
    if wrong != domain:
        assert f"is {domain}/" in said
        assert parse_signer_name(f"{wrong}/x") is None


@pytest.mark.parametrize(
    "name",
    [
        "kubernetes.io/kube-apiserver-client",
        "kubernetes.io/kubelet-serving",
        "example.com/x",
        "awspcaissuers.cert-manager.io/x",
        "googlecasissuers.cas-issuer.jetstack.io/x",
        "tailscale.com/x",
        "clusterissuers.cert-manager.io/x",
        "issuers.cert-manager.io/x",
        "x" * 500,
        "",
    ],
)
def test_somebody_elses_signer_is_no_slip(name: str) -> None:
    """Of signers that are ours, or others' own, nothing is said."""
    assert misspelt_signer(name) == ""


@given(st.text(max_size=80))
def test_any_name_is_looked_at(name: str) -> None:
    """No text is too odd, and what is ours is none."""
    assert not (misspelt_signer(name) and parse_signer_name(name))
