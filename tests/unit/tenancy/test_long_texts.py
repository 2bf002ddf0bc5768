"""However long what somebody wrote into a request is, what is said of it stays short, wherever it is written down."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.request import read_request
from signer.api.meta import set_condition
from signer.api.text import LONGEST_MESSAGE, fitted
from signer.tenancy.decide import decide
from signer.tenancy.rules import Identity, check_names, identify
from signer.tenancy.verdict import Limits, Reason, Refuse
from signer.tenancy.world import Policy
from tests.pki import csr
from tests.unit.csr.crafted import NOW
from tests.unit.csr.test_mesh_requests import dns_request
from tests.unit.tenancy.worlds import FOO, claim, world

LONG = "a" * 40_000
READ = 2000
FAKE = "spiffe://cluster.local/ns/victim/sa/default"


@given(st.text(max_size=3 * LONGEST_MESSAGE))
def test_messages_are_cut_once(text: str) -> None:
    """A message that fits stays as it is; a cut one fits, so that it is not written again each time."""
    cut = fitted(text)
    assert (cut == text) == (len(text) <= LONGEST_MESSAGE)
    assert fitted(cut) == cut
    assert Reason("X", text) == Reason("X", cut)
    once = set_condition((), "Ready", "False", reason="X", message=text, now=NOW)
    assert set_condition(once, "Ready", "False", reason="X", message=text, now=NOW) == once
    assert len(once[0].message) <= LONGEST_MESSAGE


POLICY = Policy("p", frozenset({FOO}), namespaces=frozenset({"foo"}), service_accounts=frozenset({"web"}))
HOSTILE: list[dict[str, Any]] = [
    {"uris": [f"spiffe://cluster.local/ns/foo/sa/{LONG}"]},
    {"uris": [f"https://a/{LONG[:10_000]}"] * 3},
    {"uris": [f"https://a/{number}" for number in range(500)]},
    {"uris": [f"spiffe://cluster.local/ns/foo/sa/a{number}" for number in range(500)]},
    {"dns": [f"{LONG[:4000]}.{number}" for number in range(9)]},
    {"dns": [f"{'b.' * 2000}example.com"] * 4},
]


@pytest.mark.parametrize("names", HOSTILE)
def test_names_are_quoted_short(names: dict[str, Any]) -> None:
    """A name of 40,000 characters is told by its beginning and its length."""
    found = check_names(read_request(csr(**names)), "foo", POLICY, world())
    assert found
    assert sum(len(one.message) for one in found) < READ


@pytest.mark.parametrize("text", [FAKE, f"{FAKE}, istiod.istio-system.svc", "a\u202eb", LONG])
def test_a_name_that_looks_like_an_identity(text: str) -> None:
    """A DNS name is never told as the identity of who asked, whatever it says."""
    asked = str(Identity(None, (text,)))
    assert asked.startswith("a request for the DNS names '")
    assert len(asked) < READ
    assert "\u202e" not in asked


def test_the_refusal_says_so() -> None:
    """The refusal of such a request quotes it, as the name that it is."""
    request = dns_request(FAKE)
    identity = identify(read_request(request))
    assert isinstance(identity, Identity)
    found = decide(claim(csr=request), world(), Limits(), fresh=True, now=NOW)
    assert isinstance(found, Refuse)
    for one in found.reasons:
        assert FAKE not in one.message.replace(repr(FAKE), "")
