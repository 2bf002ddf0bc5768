"""The grammar of names: one character too many, and nothing is looked up under it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.spiffe import SpiffeId, parse_spiffe_id
from manifests.generate.signerpolicy import MAX_SIGNER_NAME, SIGNER_NAME
from signer.api.issuer import IssuerRef
from signer.api.names import (
    is_dns_pattern,
    is_issuer,
    is_label,
    is_label_key,
    is_label_value,
    is_subdomain,
    is_trust_domain,
)
from signer.tenancy.claims import read_signer_name

BAD = ["", "-a", "a-", "A", "a_b", "a b", " a", "a ", "a\n", "\na", "a\0", "*", "../a", "a/b", "ä", "٣", "a%2e"]
NEAR_NAMES = st.text(alphabet="ab0-._*/A \n", max_size=12)


@pytest.mark.parametrize("text", ["a", "0", "a-b", "a--b", "a" * 63])
def test_labels(text: str) -> None:
    """A namespace's name is a label, and so is it part of every longer name."""
    assert is_label(text)
    assert is_subdomain(text)
    assert is_subdomain(f"{text}.{text}")
    assert not is_label(f"{text}.{text}")


@pytest.mark.parametrize("text", [*BAD, "a" * 64])
def test_what_is_no_label(text: str) -> None:
    """Nothing else is one; length counts too."""
    assert not is_label(text)


@pytest.mark.parametrize("text", [*BAD, ".", "a.", ".a", "a..b", "a" * 254])
def test_what_is_no_subdomain(text: str) -> None:
    """No empty label, no wildcard, nothing that would point a URL elsewhere."""
    assert not is_subdomain(text)


def test_long_texts_cost_nothing() -> None:
    """A text as long as an object may be is refused at once, not matched."""
    for check in (is_label, is_subdomain, is_dns_pattern, is_trust_domain, is_label_value):
        assert not check("a" * 1_000_000 + "!")


def test_dns_patterns() -> None:
    """One wildcard, as the whole first label."""
    assert is_dns_pattern("a.b")
    assert is_dns_pattern("*.a.b")
    for text in (*BAD, "*.", "*.*.a", "a.*.b", "**.a", "*a.b"):
        assert not is_dns_pattern(text)


@given(NEAR_NAMES)
def test_trust_domains(text: str) -> None:
    """What is a trust domain here is one in SPIFFE IDs, and nothing else is."""
    written = SpiffeId(text, "ns", "sa")
    assert is_trust_domain(text) == (parse_spiffe_id(str(written)) == written)


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("mesh-signer.dev/tenant", True),
        ("mesh-signer.dev/a_B.c-1", True),
        (f"mesh-signer.dev/{'a' * 63}", True),
        (f"mesh-signer.dev/{'a' * 64}", False),
        ("mesh-signer.dev/", False),
        ("mesh-signer.dev/a/b", False),
        ("mesh-signer.dev/mesh-signer.dev/a", False),
        ("mesh-signer.dev/-a", False),
        ("mesh-signer.dev", False),
        ("tenant", False),
        ("x.mesh-signer.dev/tenant", False),
        ("mesh-signerXdev/tenant", False),
    ],
)
def test_label_keys(key: str, good: bool) -> None:
    """Only keys right under the prefix, which admins guard."""
    assert is_label_key(key, "mesh-signer.dev/") is good


@pytest.mark.parametrize(("value", "good"), [("", True), ("a", True), ("A_b.c-1", True), ("a b", False), ("-a", False)])
def test_label_values(value: str, good: bool) -> None:
    """A label's value may be empty, and otherwise begins and ends with a letter or digit."""
    assert is_label_value(value) is good


@pytest.mark.parametrize(
    ("ref", "good"),
    [
        (IssuerRef("ClusterIssuer", "", "foo.bar"), True),
        (IssuerRef("ClusterIssuer", "", ""), False),
        (IssuerRef("ClusterIssuer", "", "Foo"), False),
        (IssuerRef("Issuer", "shop", "ca.v2"), True),
        (IssuerRef("Issuer", "", "ca"), False),
        (IssuerRef("Issuer", "a.b", "ca"), False),
        (IssuerRef("Issuer", "shop", ""), False),
    ],
    ids=str,
)
def test_issuers(ref: IssuerRef, good: bool) -> None:
    """An issuer can exist only if each part of its name can."""
    assert is_issuer(ref) is good


@given(
    st.builds(
        "{}{}".format,
        st.sampled_from(
            [
                "clusterissuers.cert-manager.io/",
                "issuers.cert-manager.io/",
                "example.com/",
                "issuers.cert-manager.io",
                "",
            ]
        ),
        NEAR_NAMES,
    )
)
def test_signer_names(name: str) -> None:
    """The schema's pattern for signer names takes exactly what the reader can read."""
    fits = len(name) <= MAX_SIGNER_NAME and re.fullmatch(SIGNER_NAME.removesuffix("$"), name) is not None
    assert fits == (read_signer_name(name) is not None)
