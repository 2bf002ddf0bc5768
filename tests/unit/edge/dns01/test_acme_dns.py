"""Which account a Secret has for a host, and what is wrong with it; never with a word of what is in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.dns01.acme_dns import Account, read_account

GOOD = {"username": "user", "password": "secret", "fulldomain": "d42.auth.example.org", "subdomain": "d42"}
ACCOUNT = Account(**GOOD)


def secret(host: str = "shop.example.com", **fields: Any) -> bytes:
    return json.dumps({"other.example.com": GOOD | {"subdomain": "other"}, host: GOOD | fields}).encode()


@pytest.mark.parametrize("host", ["shop.example.com", "Shop.Example.com", "shop.example.com.", "*.shop.example.com"])
def test_which(host: str) -> None:
    """Names are compared as the DNS does, and a wildcard has its apex's account, whichever of both writes it so."""
    for asked in ("shop.example.com", "*.shop.example.com", "SHOP.example.com."):
        assert read_account(secret(host), asked) == ACCOUNT


def test_fields_of_others() -> None:
    """What lego and other clients write beside is no fault, nor how the full name is written."""
    data = secret(allowfrom=["192.0.2.0/24"], server_url="https://auth.example.org", fulldomain="D42.Auth.Example.org.")
    assert read_account(data, "shop.example.com") == ACCOUNT


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a JSON object of accounts by host"),
        (b"\xff", "is not a JSON object of accounts by host"),
        (b"[]", "is not a JSON object of accounts by host"),
        (b'{"shop.example.com": ' + b"[" * 100_000, "is not a JSON object of accounts by host"),
        (secret("www.example.com"), "has no account for shop.example.com"),
        (b'{"shop.example.com": 7}', "needs username, password, fulldomain and subdomain"),
        (b'{"shop.example.com": {"username": "u", "password": 7}}', "needs username, password"),
        (secret(fulldomain="a b"), "fulldomain or subdomain is not a name"),
        (secret(fulldomain=""), "fulldomain or subdomain is not a name"),
        (secret(fulldomain="*.d42.auth.example.org"), "fulldomain or subdomain is not a name"),
        (secret(subdomain="a.b"), "fulldomain or subdomain is not a name"),
        (secret(password=""), "username or password is empty"),
        (secret(password="a\r\nX-Evil: 1"), "username or password is empty, or no line of ASCII"),
        (secret(username="\u00fc"), "username or password is empty, or no line of ASCII"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_wrong(data: bytes, said: str) -> None:
    """Each mistake is told."""
    with pytest.raises(ValueError, match=said):
        read_account(data, "shop.example.com")


@given(
    st.dictionaries(
        st.sampled_from(["username", "password", "fulldomain", "subdomain"]),
        st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text())),
    )
)
def test_nothing_else_comes_out(fields: dict[str, Any]) -> None:
    """Whatever is in it: an account that fits a header and a name, or a ValueError that quotes none of it."""
    marked = {name: f"{value}\u2620" if isinstance(value, str) and value else value for name, value in fields.items()}
    for given_fields in (fields, marked):
        said, account = "", None
        try:
            account = read_account(secret(**given_fields), "shop.example.com")
        except ValueError as error:
            said = str(error)
        assert "\u2620" not in said
        if account is not None:
            for text in (account.username, account.password):
                assert text.isascii()
                assert text.isprintable()
            assert account.fulldomain == account.fulldomain.lower()
