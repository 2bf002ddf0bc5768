"""What the shared solver answers, and that it answers nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.http01.solver_answers import answers_of, respond
from tests.unit.edge.http01.test_routes import KEY, TOKEN
from tests.unit.edge.issuance import challenge

GOING = {"processing": True, "presented": True}
ANSWERS = answers_of([challenge(status=GOING)])
PATH = f"/.well-known/acme-challenge/{TOKEN}"


@pytest.mark.parametrize("host", ["a.example.com", "A.Example.com", "a.example.com:5002", "a.example.com."])
def test_the_answer(host: str) -> None:
    """The challenge of this host is answered, in whatever case and with whatever port the CA names it."""
    assert respond(ANSWERS, "GET", host, PATH) == (200, KEY)
    assert respond(ANSWERS, "HEAD", host, PATH) == (200, KEY)


@pytest.mark.parametrize(
    ("method", "host", "path", "status"),
    [
        ("GET", "b.example.com", PATH, 404),
        ("GET", "", PATH, 404),
        ("GET", "a.example.com:x", PATH, 404),
        ("GET", "a.example.com" + "x" * 300, PATH, 404),
        ("GET", "a.example.com", PATH + "x", 404),
        ("GET", "a.example.com", PATH + "/", 404),
        ("GET", "a.example.com", "/" + PATH, 404),
        ("GET", "a.example.com", "/.well-known/acme-challenge/", 404),
        ("GET", "a.example.com", "/", 404),
        ("POST", "a.example.com", PATH, 405),
    ],
)
def test_nothing_else(method: str, host: str, path: str, status: int) -> None:
    """Another host, path or method gets an empty answer."""
    assert respond(ANSWERS, method, host, path) == (status, "")


@given(st.text(max_size=80), st.text(max_size=80))
def test_only_who_knows_the_token(host: str, path: str) -> None:
    """Whatever is asked, the key goes to nobody who does not name host and token."""
    assert respond(ANSWERS, "GET", host, path) == (404, "")


@pytest.mark.parametrize(
    "one",
    [
        challenge(),
        challenge(status=GOING, spec={"type": "DNS-01"}),
        challenge(status=GOING, spec={"wildcard": True}),
        challenge(status=GOING, spec={"token": "../x"}),
        challenge(status=GOING, spec={"key": "<script>"}),
        challenge(status=GOING, spec={"token": 7}),
    ],
    ids=["waiting", "dns", "wildcard", "token", "key", "unreadable"],
)
def test_what_is_not_answered(one: Any) -> None:
    """Challenges that wait, are of another kind or are malformed are not served."""
    assert answers_of([one]) == {}
