"""Which issuer gets an order, and what an issuer says of the others."""

import datetime as dt

import msgspec
import pytest

from issuers.acme.backoff import Attempts
from signer.api.issuer import Issuer, IssuerRef
from signer.edge.issuers.choice import (
    ENOUGH,
    FALLBACKS,
    REHEARSAL,
    Candidate,
    choose,
    read_alternatives,
)

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
A, B, C = (IssuerRef("ClusterIssuer", "", name) for name in "abc")


def issuer(namespace: str = "", **notes: str) -> Issuer:
    """An Issuer or ClusterIssuer "a" with these annotations."""
    names = {"fallbacks": FALLBACKS, "rehearsal": REHEARSAL}
    annotations = {names[name]: text for name, text in notes.items()}
    return msgspec.convert({"metadata": {"name": "a", "namespace": namespace, "annotations": annotations}}, Issuer)


def test_read() -> None:
    """Names are of the issuer's own kind and place, in order, each once."""
    found = read_alternatives(issuer(fallbacks="b, c,b", rehearsal="staging"))
    assert found.fallbacks == (B, C)
    assert found.rehearsal == IssuerRef("ClusterIssuer", "", "staging")
    assert found.problems == ()
    found = read_alternatives(issuer("shop", fallbacks="own,ClusterIssuer/b"))
    assert found.fallbacks == (IssuerRef("Issuer", "shop", "own"), B)
    assert read_alternatives(issuer()).all == ()


@pytest.mark.parametrize("text", ["a", "B!", "b,,c", "Secret/b", "Issuer/b", "b,c,d,e,f", "../b"])
def test_wrong(text: str) -> None:
    """What names no issuer that may follow is told with its annotation, and nothing of it is used."""
    found = read_alternatives(issuer(fallbacks=text, rehearsal="staging"))
    assert found.all == ()
    assert FALLBACKS in found.problems[0]
    assert REHEARSAL in read_alternatives(issuer(rehearsal=text)).problems[0]


def candidate(ref: IssuerRef, failures: int, hours: int = 0) -> Candidate:
    return Candidate(ref, Attempts(failures, NOW + hours * HOUR if hours else None, "serverInternal"))


def test_the_next_after_repeated_failure() -> None:
    """One failure stays with the first issuer, two lead to the next that did not fail as often."""
    assert choose([candidate(A, ENOUGH - 1), candidate(B, 0)], NOW, hurry=False) == A
    assert choose([candidate(A, ENOUGH), candidate(B, 0), candidate(C, 0)], NOW, hurry=False) == B
    assert choose([candidate(A, ENOUGH), candidate(B, ENOUGH), candidate(C, 0)], NOW, hurry=False) == C


def test_rate_limited_leads_nowhere() -> None:
    """A 429 of one set of names is no reason for another CA."""
    limited = Candidate(A, Attempts(0, NOW + HOUR, "rateLimited"))
    assert choose([limited, candidate(B, 0)], NOW, hurry=False) == A


def test_all_failed() -> None:
    """When all failed often, the one whose pause ends first is asked."""
    assert choose([candidate(A, 3, 24), candidate(B, 2, 1)], NOW, hurry=False) == B
    assert choose([], NOW, hurry=False) is None


def test_in_a_hurry() -> None:
    """A certificate at its end goes to the next issuer after one failure, or when the first says to wait."""
    assert choose([candidate(A, 1), candidate(B, 0)], NOW, hurry=True) == B
    assert choose([Candidate(A, Attempts(0, NOW + HOUR, "rateLimited")), candidate(B, 0)], NOW, hurry=True) == B
    assert choose([candidate(A, 0), candidate(B, 0)], NOW, hurry=True) == A
