"""SPIFFE IDs: one spelling for one identity."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from issuers.spiffe import SpiffeId, parse_spiffe_id

FOO = SpiffeId("cluster.local", "foo", "default")

GOOD = {
    "spiffe://cluster.local/ns/foo/sa/default": FOO,
    "spiffe://td/ns/a/sa/b": SpiffeId("td", "a", "b"),
    "spiffe://my-mesh_1.example.org/ns/foo-bar/sa/httpbin.v2": SpiffeId(
        "my-mesh_1.example.org", "foo-bar", "httpbin.v2"
    ),
    "spiffe://1/ns/1/sa/1": SpiffeId("1", "1", "1"),
    f"spiffe://t/ns/{'n' * 63}/sa/s": SpiffeId("t", "n" * 63, "s"),
    f"spiffe://t/ns/n/sa/{'s' * 253}": SpiffeId("t", "n", "s" * 253),
    f"spiffe://{'t' * 255}/ns/n/sa/s": SpiffeId("t" * 255, "n", "s"),
}

BAD = [
    "",
    "spiffe://",
    "spiffe://cluster.local",
    "spiffe://cluster.local/ns/foo",
    "spiffe://cluster.local/ns/foo/sa/",
    "spiffe://cluster.local/ns//sa/default",
    "spiffe:///ns/foo/sa/default",
    "SPIFFE://cluster.local/ns/foo/sa/default",
    "https://cluster.local/ns/foo/sa/default",
    "spiffe:/cluster.local/ns/foo/sa/default",
    "spiffe://Cluster.local/ns/foo/sa/default",
    "spiffe://cluster.local/ns/Foo/sa/default",
    "spiffe://cluster.local/ns/foo/sa/Default",
    "spiffe://cluster.local/NS/foo/sa/default",
    "spiffe://cluster.local/ns/foo/SA/default",
    "spiffe://cluster.local/sa/default/ns/foo",
    "spiffe://cluster.local//ns/foo/sa/default",
    "spiffe://cluster.local/ns/foo//sa/default",
    "spiffe://cluster.local/ns/foo/sa/default/",
    "spiffe://cluster.local/ns/foo/sa/default/x",
    "spiffe://cluster.local/ns/foo/sa/default?",
    "spiffe://cluster.local/ns/foo/sa/default#",
    "spiffe://cluster.local/ns/%66oo/sa/default",
    "spiffe://cluster.local/ns/f%6fo/sa/default",
    "spiffe://user@cluster.local/ns/foo/sa/default",
    "spiffe://cluster.local:443/ns/foo/sa/default",
    "spiffe://cluster.local./ns/foo/sa/default",
    "spiffe://.cluster.local/ns/foo/sa/default",
    "spiffe://cluster..local/ns/foo/sa/default",
    "spiffe://cluster.local/ns/foo/../bar/sa/default",
    "spiffe://cluster.local/ns/-foo/sa/default",
    "spiffe://cluster.local/ns/foo-/sa/default",
    "spiffe://cluster.local/ns/foo.bar/sa/default",
    "spiffe://cluster.local/ns/foo/sa/-default",
    "spiffe://cluster.local/ns/foo/sa/default-",
    "spiffe://cluster.local/ns/foo/sa/.default",
    "spiffe://cluster.local/ns/foo/sa/a..b",
    "spiffe://cluster.local/ns/foo/sa/a_b",
    "spiffe://cluster.local/ns/foo_bar/sa/default",
    "spiffe://cluster.local/ns/foo/sa/default\n",
    "\nspiffe://cluster.local/ns/foo/sa/default",
    " spiffe://cluster.local/ns/foo/sa/default",
    "spiffe://cluster.local/ns/foo/sa/default ",
    "spiffe://cluster.local/ns/foo\x00/sa/default",
    "spiffe://cluster.local/ns/fo\u043e/sa/default",
    "spiffe://cluster.local/ns/foo/sa/\uff44efault",
    "spiffe://cluster.local/ns/foo\u2215sa/default",
    "spiffe://cluster\\local/ns/foo/sa/default",
    "spiffe://cluster.local/ns/1\u0661/sa/default",
    f"spiffe://t/ns/{'n' * 64}/sa/s",
    f"spiffe://t/ns/n/sa/{'s' * 254}",
    f"spiffe://{'t' * 256}/ns/n/sa/s",
    "x" * 3000,
    "spiffe://" + "a." * 5000 + "a/ns/n/sa/s",
]


@pytest.mark.parametrize(("uri", "expected"), GOOD.items())
def test_a_workloads_id_is_read(uri: str, expected: SpiffeId) -> None:
    """Istio's form is read into its three parts, up to the longest names that Kubernetes and SPIFFE allow."""
    assert parse_spiffe_id(uri) == expected
    assert str(expected) == uri


@pytest.mark.parametrize("uri", BAD)
def test_any_other_spelling_is_nobody(uri: str) -> None:
    """Case, escapes, ports, doubled slashes, look-alike letters, too long names: no identity at all."""
    assert parse_spiffe_id(uri) is None


@given(
    st.text(max_size=80) | st.from_regex(r"spiffe://[a-z.]{1,9}/ns/[a-z./-]{1,9}/sa/[a-z./%A-]{1,9}", fullmatch=True)
)
@example("spiffe://cluster.local/ns/foo/sa/default")
def test_what_is_read_spells_itself_back(uri: str) -> None:
    """Two different strings never are the same identity, whatever the text."""
    found = parse_spiffe_id(uri)
    assert found is None or str(found) == uri


def test_ids_are_ordered_values() -> None:
    """They can be sorted, compared and used as keys."""
    bar = SpiffeId("cluster.local", "bar", "default")
    assert sorted([FOO, bar]) == [bar, FOO]
    assert {FOO: 1}[SpiffeId("cluster.local", "foo", "default")] == 1
