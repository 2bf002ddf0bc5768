"""Which signers count as asked: whatever one namespace's Pods ask, each other's are known, and what is known has an end."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.pods.asked import MOST_OF_A_NAMESPACE, AskedSigners
from tests.unit.csr.crafted import NOW

SPACES = ("foo", "bar")
CLUSTER = [IssuerRef("ClusterIssuer", "", f"c{n}") for n in range(3)]
ISSUERS = [IssuerRef("Issuer", space, f"i{n}") for space in SPACES for n in range(40)]
REFS = st.sampled_from([*CLUSTER, *ISSUERS])
EVENTS = st.lists(st.tuples(st.sampled_from(SPACES), REFS, st.integers(0, 40)), max_size=120)


@given(EVENTS, st.sets(REFS), st.lists(st.tuples(st.sampled_from(SPACES), REFS), max_size=3))
def test_any_questions(
    events: list[tuple[str, IssuerRef, int]], there: set[IssuerRef], waiting: list[tuple[str, IssuerRef]]
) -> None:
    """Of each namespace the signers that it asked last within the hour count, if there are such, and of Issuers its own."""
    asked, now = AskedSigners(there.__contains__), NOW
    last: dict[str, dict[IssuerRef, int]] = {space: {} for space in SPACES}
    minutes = 0
    for space, ref, later in events:
        minutes += later
        now = NOW + timedelta(minutes=minutes)
        asked.note(space, ref, now)
        if ref in there and (ref.kind == "ClusterIssuer" or ref.namespace == space):
            last[space].pop(ref, None)
            last[space][ref] = minutes
    expected = {
        ref for mine in last.values() for ref, at in list(mine.items())[-MOST_OF_A_NAMESPACE:] if minutes - at <= 60
    }
    held = {ref for space, ref in waiting if ref.namespace in {"", space}}
    assert asked.signers(waiting, now) == expected | held
    assert asked.signers((), now + timedelta(hours=2)) == frozenset()
    assert not asked._by_namespace, "nothing is kept of what nobody asks"


def test_made_up_names_take_no_room() -> None:
    """Thousands of names that no signer has leave no trace, and the next honest one is known."""
    honest = IssuerRef("Issuer", "bar", "honest")
    asked = AskedSigners({honest}.__contains__)
    for number in range(5000):
        asked.note("bar", IssuerRef("Issuer", "bar", f"q{number}"), NOW)
    assert not asked._by_namespace
    asked.note("bar", honest, NOW)
    assert asked.signers((), NOW) == {honest}
