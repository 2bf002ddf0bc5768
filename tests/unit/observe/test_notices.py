"""What is said of an object is told once, as soon as there is room for it, and only while it is so."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.event import ObjectReference, named
from signer.api.issuer import ISSUERS
from signer.observe.notices import TRY_AGAIN, Notice, Notices
from tests.fakes.recorder import FakeRecorder
from tests.fakes.virtual_time import VirtualLoop, virtual_time

A, B = named(ISSUERS, "shop", "a", "1"), named(ISSUERS, "shop", "b", "2")
BAD, WORSE = Notice("Warning", "Bad", "it is bad"), Notice("Warning", "Bad", "it is worse")


def test_once() -> None:
    """The same is told once, whatever the version of the object; what comes back is told again; so is a namesake."""
    recorder = FakeRecorder()
    notices = Notices(recorder.typed)
    for version in ("1", "2"):
        about = ObjectReference(A.api_version, A.kind, A.namespace, A.name, A.uid, version)
        assert notices.say(about, [BAD, BAD]) == ([BAD] if version == "1" else [])
    assert notices.say(A, [BAD, WORSE]) == [WORSE]
    assert notices.says(A, "Bad")
    assert notices.say(A, []) == []
    assert not notices.says(A, "Bad")
    assert notices.say(A, [BAD]) == [BAD]
    remade = named(ISSUERS, "shop", "a", "3")
    assert not notices.says(remade, "Bad")
    assert notices.say(remade, [BAD]) == [BAD]
    assert recorder.reasons == ["Bad"] * 4


@virtual_time
async def test_it_waits_for_room() -> None:
    """What found no room is told when there is some, once; who says it in between hears that it is no news."""
    recorder = FakeRecorder(room=0)
    notices = Notices(recorder.typed)
    assert notices.say(A, [BAD]) == [BAD]
    notices.happened(B, WORSE)
    await asyncio.sleep(5 * TRY_AGAIN)
    assert notices.say(A, [BAD]) == []
    recorder.room = None
    await asyncio.sleep(2 * TRY_AGAIN)
    assert [(one.about, one.message) for one in recorder.taken] == [(A, BAD.message), (B, WORSE.message)]
    assert notices.say(A, [BAD]) == []
    await asyncio.sleep(5 * TRY_AGAIN)
    assert len(recorder.taken) == 2
    assert recorder.lost == 0


@virtual_time
async def test_what_is_mended_meanwhile() -> None:
    """What was mended, or is gone, before there was room is not told; what happened is, all the same."""
    recorder = FakeRecorder(room=0)
    notices = Notices(recorder.typed)
    notices.say(A, [BAD])
    notices.say(B, [BAD])
    notices.happened(A, WORSE)
    notices.say(A, [])
    notices.forget(named(ISSUERS, "shop", "b"))
    recorder.room = None
    await asyncio.sleep(2 * TRY_AGAIN)
    assert [(one.about, one.message) for one in recorder.taken] == [(A, WORSE.message)]


@pytest.mark.heavy
@virtual_time
async def test_one_tenants_part() -> None:
    """A tenant with very much to tell of takes no other's room to wait; he hears the rest when he is looked at again."""
    recorder = FakeRecorder(room=0)
    notices = Notices(recorder.typed)
    many = [named(ISSUERS, "shop", f"n{number}", "u") for number in range(2000)]
    for about in many:
        notices.say(about, [BAD], share="shop")
    notices.say(B, [BAD], share="other")
    for _ in range(50):
        notices.happened(A, BAD, share="third")
        notices.happened(A, Notice("Normal", "Bad", f"{_}"), share="third")
    recorder.room = None
    await asyncio.sleep(2 * TRY_AGAIN)
    told = Counter(one.share for one in recorder.taken)
    assert told == {"shop": 20, "other": 1, "third": 20}
    assert recorder.lost == 31  # of what nobody says again
    for about in many:
        notices.say(about, [BAD], share="shop")
    assert Counter(one.about for one in recorder.taken if one.share == "shop") == dict.fromkeys(many, 1)


@pytest.mark.heavy
@pytest.mark.parametrize("shares", [1, 5000])
@virtual_time
async def test_a_bound(shares: int) -> None:
    """However many objects there are, and tenants, what is remembered and what waits has an end."""
    recorder = FakeRecorder(room=0)
    notices = Notices(recorder.typed)
    for number in range(12_000):
        notices.say(named(ISSUERS, "shop", str(number), "u"), [BAD], share=f"t{number % shares}")
    assert len(notices._said) == 10_000
    assert len(notices._waiting) <= 1000
    notices.clear()
    assert not notices._said
    assert not notices._waiting
    assert not notices._of_share


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from([A, B]), st.sets(st.sampled_from([BAD, WORSE]))),
        st.tuples(st.just("room"), st.integers(0, 3), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 3), st.none()),
    ),
    max_size=30,
)


@given(STEPS)
def test_any_course(steps: list[tuple[str, ObjectReference | int, set[Notice] | None]]) -> None:
    """Whatever is said, mended and refused room: in the end what is so was told, each time that it began at most once."""

    async def run() -> None:
        recorder = FakeRecorder(room=0)
        notices = Notices(recorder.typed)
        so: dict[ObjectReference, set[Notice]] = {A: set(), B: set()}
        began: Counter[tuple[ObjectReference, Notice]] = Counter()
        for what, given_, said in steps:
            if what == "say" and isinstance(given_, ObjectReference) and said is not None:
                began.update((given_, one) for one in said - so[given_])
                so[given_] = said
                notices.say(given_, sorted(said))
            elif what == "room" and isinstance(given_, int):
                recorder.room = given_
            else:
                await asyncio.sleep(TRY_AGAIN)
        recorder.room = None
        await asyncio.sleep(2 * TRY_AGAIN)
        told = Counter((one.about, Notice("Warning", one.reason, one.message)) for one in recorder.taken)
        assert all(told[about, one] >= 1 for about, said in so.items() for one in said)
        assert not told - began

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
