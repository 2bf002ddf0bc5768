"""What a solver may say of the self check, and what is told of the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.targets import ANYWHERE, AddressRule
from signer.edge.issuers.http01_spec import MOST, SelfCheck, read_self_check


def read(check: Any, rule: AddressRule = ANYWHERE) -> SelfCheck | tuple[str, ...]:
    return read_self_check({"ingress": {}, "selfCheck": check}, "http01", rule=rule)


def test_defaults() -> None:
    """Without a word the public path is looked at, by the process' own name servers."""
    assert read_self_check({"ingress": {}}, "http01", rule=AddressRule()) == SelfCheck()
    assert read({}) == read(None) == SelfCheck("Public", (), ())


def test_all_fields() -> None:
    """Each field is carried over."""
    given_ = {
        "mode": "Gateway",
        "nameservers": ["192.0.2.53", "192.0.2.54:5353", "2001:DB8::1", "[2001:db8::2]:54"],
        "addresses": ["10.0.0.7", "fd00::7", "10.0.0.7"],
    }
    servers = (("192.0.2.53", 53), ("192.0.2.54", 5353), ("2001:db8::1", 53), ("2001:db8::2", 54))
    assert read(given_) == SelfCheck("Gateway", servers, ("10.0.0.7", "fd00::7"))


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ([], "http01.selfCheck: an object is expected"),
        ({"mod": "None"}, "http01.selfCheck.mod: no such field"),
        ({"mode": "public"}, "http01.selfCheck.mode: 'public' is none of Public, Gateway, None"),
        ({"addresses": "10.0.0.7"}, "http01.selfCheck.addresses: a list of 8"),
        ({"addresses": ["192.0.2.1"] * (MOST + 1)}, "http01.selfCheck.addresses: a list of 8"),
        (
            {"addresses": ["10.0.0.7", "10.0.0.7:80"]},
            "http01.selfCheck.addresses[1]: '10.0.0.7:80' is not an IP address",
        ),
        ({"nameservers": ["dns.example.com"]}, "http01.selfCheck.nameservers[0]: 'dns.example.com' is not an IP"),
        ({"nameservers": ["192.0.2.1:0"]}, "http01.selfCheck.nameservers[0]"),
        ({"nameservers": [7]}, "http01.selfCheck.nameservers[0]: '7' is not an IP"),
    ],
)
def test_what_is_wrong(check: Any, told: str) -> None:
    """What cannot be used is told with its place and what is expected."""
    found = read(check)
    assert isinstance(found, tuple)
    assert told in found[0]


@given(
    st.sampled_from(("nameservers", "addresses")),
    st.sampled_from(("10.0.0.7", "127.0.0.1", "169.254.169.254", "fd00::1")),
)
def test_what_a_tenant_may_not_name(field: str, address: str) -> None:
    """An Issuer's author has nothing asked or dialled inside, as with its server."""
    found = read({field: [address]}, AddressRule())
    assert isinstance(found, tuple)
    assert f"{field}[0]: {address} is" in found[0]
    assert isinstance(read({field: [address]}), SelfCheck)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(("mode", "nameservers", "addresses", "x")), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_anything(check: Any) -> None:
    """Whatever is written is read, or refused in words."""
    found = read(check)
    assert isinstance(found, SelfCheck) or (found and all(one.startswith("http01.selfCheck") for one in found))
