"""Which names can be public hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.host import MAX_HOST, Host, read_host

LONG = ".".join(["a" * 63] * 3 + ["b" * 50])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("shop.example.com", Host("shop.example.com")),
        ("SHOP.Example.com", Host("shop.example.com")),
        ("*.example.com", Host("example.com", wildcard=True)),
        ("*.shop.example", Host("shop.example", wildcard=True)),
        ("*.shop.co.uk", Host("shop.co.uk", wildcard=True)),
        ("*.city.kobe.jp", Host("city.kobe.jp", wildcard=True)),
        ("*.github.io", Host("github.io", wildcard=True)),
        ("gov.uk", Host("gov.uk")),
        ("xn--bcher-kva.example", Host("xn--bcher-kva.example")),
        ("1.2.3.example", Host("1.2.3.example")),
        (LONG, Host(LONG)),
    ],
)
def test_hosts(text: str, found: Host) -> None:
    """A public name is read, in lower case, with or without its wildcard."""
    assert read_host(text) == found
    assert read_host(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "**",
        "com",
        "*.com",
        "*.co.uk",
        "*.CO.UK",
        "*.com.au",
        "*.kobe.jp",
        "*.anything.kobe.jp",
        "*.xn--55qx5d.cn",
        "*.k12.ca.us",
        "a.*.example.com",
        "*a.example.com",
        "*.*.example.com",
        ".example.com",
        "example.com.",
        "a..b",
        "-a.example",
        "a_b.example",
        "a b.example",
        "10.0.0.1",
        "*.10.0.0.1",
        "[::1]",
        "::1",
        "example.com:443",
        "https://example.com",
        "ns/example.com",
        "bücher.example",
        "\uff41.example",
        "wc--wildcard.example.com",
        "ab--c.example",
        "shop.local",
        "httpbin.foo.svc.cluster.local",
        "httpbin.foo.svc",
        "a.svc.example",
        "a.localhost",
        "a.internal",
        "a.onion",
        "1.0.0.127.in-addr.arpa",
        "a" * 64 + ".example",
        "a." * 125 + "example",
        "example.com\n",
        "exa\x00mple.com",
    ],
)
def test_no_hosts(text: str) -> None:
    """What no public CA certifies, and what is not a name at all, is told in one short line."""
    found = read_host(text)
    assert isinstance(found, str)
    assert len(found) < 250
    assert found.isprintable()


@given(st.text(alphabet="abc-*.:/0\n\u00e9W", max_size=300) | st.text(max_size=300))
def test_never_fails_and_never_two_hosts_with_one_claim(text: str) -> None:
    """Whatever is read has a claim's name that Kubernetes takes, and that leads back to the same host."""
    found = read_host(text)
    if isinstance(found, Host):
        assert len(found.claim_name) <= 253
        assert len(str(found)) <= MAX_HOST
        assert (found.claim_name == found.name) != found.wildcard
        assert found.name == found.name.lower()


def test_below() -> None:
    """Below means the name itself or a label more, never the end of another label."""
    assert Host("shop.example.com").below("example.com")
    assert Host("example.com").below("example.com")
    assert not Host("badexample.com").below("example.com")


def test_in_a_certificates_names() -> None:
    """A certificate serves the names that it has, in any case, and those one label below its wildcards."""
    names = ("*.Example.com", "shop.example.org")
    assert Host("a.example.com").is_in(names)
    assert Host("example.com", wildcard=True).is_in(names)
    assert Host("shop.example.org").is_in(names)
    assert not Host("a.b.example.com").is_in(names)
    assert not Host("example.com").is_in(names)
    assert not Host("example.org", wildcard=True).is_in(names)
    assert not Host("a.example.com", wildcard=True).is_in(names)
