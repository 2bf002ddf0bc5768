"""Answers of HTTP-01 and DNS-01."""

import base64
import hashlib
from dataclasses import replace

import pytest
from acme import challenges
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.account import generate_key, load_key
from issuers.acme.challenge import DNS01, HTTP01, NoChallenge, choose, dns_answer, http_answer, key_authorization
from issuers.acme.identifiers import Identifier, identifier
from issuers.acme.order import Authorization, AuthorizationStatus, Challenge, ChallengeStatus

KEY = load_key(generate_key())
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


def made(name: str, *types: str, token: str = TOKEN) -> Authorization:
    offered = tuple(Challenge(one, f"https://ca/{one}", token, ChallengeStatus.PENDING) for one in types)
    return Authorization("https://ca/a", identifier(name), AuthorizationStatus.PENDING, offered)


def test_as_the_library_has_it() -> None:
    """For a canonical token our answers are those of the acme library."""
    token = base64.urlsafe_b64decode(TOKEN + "=")
    one = made("shop.example.com", HTTP01, DNS01)
    http, dns = challenges.HTTP01(token=token), challenges.DNS01(token=token)
    answer = http_answer(one, one.challenges[0], KEY.thumbprint)
    assert (answer.host, answer.path, answer.body) == ("shop.example.com", http.path, http.validation(KEY.jwk))
    record = dns_answer(one, one.challenges[1], KEY.thumbprint)
    assert (record.name, record.value) == (dns.validation_domain_name("shop.example.com"), dns.validation(KEY.jwk))


@given(st.from_regex(r"[A-Za-z0-9_-]{22,128}", fullmatch=True))
def test_tokens_stay(token: str) -> None:
    """A token comes back letter by letter, also one that no encoder would have written."""
    one = made("shop.example.com", HTTP01, token=token)
    assert http_answer(one, one.challenges[0], "t").path == f"/.well-known/acme-challenge/{token}"
    assert http_answer(one, one.challenges[0], "t").body == f"{token}.t" == key_authorization(token, "t")


def test_apex_and_wildcard() -> None:
    """A wildcard is proven at the name without "*.", so apex and wildcard share a record's name."""
    records = [
        dns_answer(one, one.challenges[0], "t") for one in (made("x.example", DNS01), made("*.x.example", DNS01))
    ]
    assert {one.name for one in records} == {"_acme-challenge.x.example"}
    digest = hashlib.sha256(f"{TOKEN}.t".encode()).digest()
    assert base64.urlsafe_b64decode(records[0].value + "=") == digest


@pytest.mark.parametrize(
    ("name", "offered", "wanted", "found"),
    [
        ("a.example", (DNS01, HTTP01), (HTTP01, DNS01), HTTP01),
        ("a.example", (DNS01,), (HTTP01, DNS01), DNS01),
        ("*.a.example", (HTTP01, DNS01), (HTTP01, DNS01), DNS01),
        ("192.0.2.1", (HTTP01, DNS01), (DNS01, HTTP01), HTTP01),
        ("*.a.example", (DNS01,), (HTTP01,), None),
        ("192.0.2.1", (HTTP01,), (DNS01,), None),
        ("a.example", ("tls-alpn-01",), (HTTP01,), None),
        ("a.example", (), (HTTP01,), None),
    ],
)
def test_choice(name: str, offered: tuple[str, ...], wanted: tuple[str, ...], found: str | None) -> None:
    """The first wanted way that the CA offers; a wildcard only by DNS, an address only by HTTP; else a reason."""
    chosen = choose(made(name, *offered), wanted)
    if found is None:
        assert isinstance(chosen, NoChallenge)
        assert name in chosen.reason
    else:
        assert isinstance(chosen, Challenge)
        assert chosen.type == found


def test_a_way_that_failed() -> None:
    """A way that failed for good is not chosen again while another is open."""
    one = made("a.example", HTTP01, DNS01)
    failed = replace(one, challenges=(replace(one.challenges[0], status=ChallengeStatus.INVALID), one.challenges[1]))
    chosen = choose(failed, (HTTP01, DNS01))
    assert isinstance(chosen, Challenge)
    assert chosen.type == DNS01
    assert isinstance(choose(failed, (HTTP01,)), NoChallenge)


def test_identifiers_are_whole() -> None:
    """The host of an HTTP answer is the ordered name."""
    assert made("a.example", HTTP01).identifier == Identifier("dns", "a.example")
