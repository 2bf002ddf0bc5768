"""Where an issuer may send requests."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.errors import ForbiddenTarget
from issuers.acme.targets import ANYWHERE, AddressRule, Origin, origin, same_origin

RULE = AddressRule()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://acme.example/dir", Origin("acme.example", 443)),
        ("https://ACME.example:443/dir?x=1", Origin("acme.example", 443)),
        ("https://acme.example:14000", Origin("acme.example", 14000)),
        ("https://[2001:db8::1]:1/", Origin("2001:db8::1", 1)),
    ],
)
def test_origin(url: str, found: Origin) -> None:
    """Scheme, host and port are compared, in one form."""
    assert origin(url) == found
    assert same_origin(url, found, "x") == url


@pytest.mark.parametrize(
    "url",
    ["", "acme.example", "http://acme.example/", "ftp://acme.example/", "https://", "https:///dir", "https://a@acme.example/",
     "https://acme.example:x/", "https://acme.example:0/", "https://acme.example:70000/", "https://acme.example/#x", "https://acme.example/\r\nHost: x",
     "https://acme.example\\@evil/", "https://acme.example/ x", "https://[::1/", "https://bücher.example/", "https://acme.example/" + "a" * 2048],
)  # fmt: skip
def test_no_origin(url: str) -> None:
    """Anything but a plain https URL is refused."""
    with pytest.raises(ForbiddenTarget):
        origin(url)


@pytest.mark.parametrize(
    "url",
    ["https://acme.example:444/", "https://acme.example.evil/", "http://acme.example/", "https://evil/acme.example"],
)
def test_other_origins(url: str) -> None:
    """A URL that leads elsewhere is refused, with the field that had it."""
    with pytest.raises(ForbiddenTarget, match="order: finalize"):
        same_origin(url, Origin("acme.example", 443), "order: finalize")


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    """No text makes anything but an origin or a refusal."""
    try:
        found = origin(text)
    except ForbiddenTarget:
        return
    assert found.host
    assert 0 < found.port < 65536


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255",
     "198.18.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
     "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:a00:1::f5ff:fffe", "acme.example", ""],
)  # fmt: skip
def test_refused_addresses(address: str) -> None:
    """No address of our own network is dialled, nor one that a translator would turn into such a one."""
    assert RULE.refusal(address) is not None


# IANA's registries of special-purpose addresses, whole (https://www.iana.org/assignments/iana-ipv4-special-registry and
# https://www.iana.org/assignments/iana-ipv6-special-registry), and what of IPv6 is not given out. 64:ff9b::/96, ::ffff:0:0/96 and
# 2002::/16 stand for the IPv4 address inside, so they have tests of their own.
SPECIAL = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::ffff:0:0:0/96",
    "4000::/3",
    "6000::/3",
    "8000::/3",
    "a000::/3",
    "c000::/3",
    "e000::/4",
    "f000::/5",
    "f800::/6",
    "200::/7",
    "400::/6",
    "800::/5",
    "1000::/4",
]


@pytest.mark.heavy
@pytest.mark.parametrize("network", SPECIAL)
@given(data=st.data())
def test_special_addresses(network: str, data: st.DataObject) -> None:
    """No address of a special or unassigned block is dialled, whatever this version of Python takes for global."""
    block = ipaddress.ip_network(network)
    inside = data.draw(st.sampled_from((block[0], block[-1])) | st.ip_addresses(network=block))
    assert RULE.refusal(str(inside)) is not None


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.65.32.248", "2606:4700:60::1", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses(address: str) -> None:
    """Public addresses are dialled."""
    assert RULE.refusal(address) is None


def test_the_cluster() -> None:
    """The cluster's networks are refused even when they are public, and one's own CA can be allowed in them."""
    rule = AddressRule(cluster=(ipaddress.ip_network("8.8.0.0/16"), ipaddress.ip_network("2606:4700::/32")))
    assert rule.refusal("8.8.8.8") == "an address of the cluster"
    assert rule.refusal("::ffff:8.8.8.8") is not None
    assert rule.refusal("2606:4700:60::1") == "an address of the cluster"
    assert rule.refusal("8.9.8.8") is None
    own = AddressRule(
        cluster=rule.cluster, allowed=(ipaddress.ip_network("8.8.8.0/24"), ipaddress.ip_network("10.1.0.0/16"))
    )
    assert own.refusal("8.8.8.8") is None
    assert own.refusal("10.1.2.3") is None
    assert own.refusal("10.2.2.3") == "a private address"


@given(st.ip_addresses())
def test_anywhere(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """An administrator's issuer may dial every address."""
    assert ANYWHERE.refusal(str(address)) is None


@given(st.ip_addresses(v=4))
def test_wrapped_addresses(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address inside of an IPv6 one is judged no milder than alone."""
    if RULE.refusal(str(address)) is None:
        return
    for wrapped in (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address)))):
        assert RULE.refusal(wrapped) is not None
