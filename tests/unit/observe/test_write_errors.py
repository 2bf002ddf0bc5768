"""What the API server refuses is told once, when it is news, on what it stopped."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.event import ObjectReference
from signer.kube.errors import ApiError, Stopped, Unreachable, api_error
from signer.observe.controller_queue import ControllerQueue
from signer.observe.metrics import Metrics
from signer.observe.notices import TRY_AGAIN
from signer.observe.write_errors import AGAIN, APART, LASTS, WRITE_FAILED, Told, WriteErrors, patience, words
from tests.fakes.refusals import ANSWERS, Answer
from tests.fakes.virtual_time import virtual_time

REF = ObjectReference("v1", "Secret", "shop", "a", "uid")


class Recorder:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.said: list[tuple[ObjectReference, str, str]] = []
        self.full = False

    def offer(self, ref: ObjectReference, type_: str, reason: str, message: str, *, share: str | None = None) -> bool:
        assert (type_, share) == ("Warning", ref.namespace or None)
        if not self.full:
            self.said.append((ref, reason, message))
        return not self.full


class Scene:
    """WriteErrors with a clock of the test's."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.now = 0.0
        recorder: Any = self.recorder
        self.errors = WriteErrors(recorder, clock=lambda: self.now)

    def fail(self, error: Exception, *refs: ObjectReference) -> Told | None:
        return self.errors.failed("key", error, lambda: refs or (REF,))


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_each_answer(answer: Answer) -> None:
    """What somebody must mend is told at once, what may pass only when it lasts; both in the API server's words."""
    scene = Scene()
    assert (scene.fail(answer.error) is None) == answer.lasts
    scene.now = LASTS - 1
    assert (scene.fail(answer.error) is None) == answer.lasts
    scene.now = LASTS
    told = scene.fail(answer.error)
    assert told is not None
    assert answer.words in told.message
    ((ref, reason, message),) = scene.recorder.said
    assert (ref, reason, message) == (REF, WRITE_FAILED, told.message)


@virtual_time
async def test_an_event_without_room_is_told_later() -> None:
    """What found no room among a tenant's Events is told when there is some, though it is not tried again so soon; and once."""
    scene, error = Scene(), api_error(403, "Forbidden", "no")
    scene.recorder.full = True
    assert scene.fail(error) is not None  # for the status
    await asyncio.sleep(60)
    scene.recorder.full = False
    await asyncio.sleep(2 * TRY_AGAIN)
    assert len(scene.recorder.said) == 1
    for _ in range(3):
        assert scene.fail(error) is not None
    assert len(scene.recorder.said) == 1


@pytest.mark.parametrize("answer", [one for one in ANSWERS if one.lasts], ids=lambda answer: answer.name)
def test_what_passes(answer: Answer) -> None:
    """What failed now and then, and went well in between, is never told."""
    scene = Scene()
    for second in range(0, 3600, 50):
        scene.now = second
        assert scene.fail(answer.error) is None
        scene.errors.fine("key")
    assert scene.recorder.said == []


TEXTS = ["exceeded quota: q, used: 1", "exceeded quota: q, used: 2", "no rights", *(f"webhook {c}" for c in "abcdefgh")]


@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from(TEXTS)), max_size=80))
def test_bounded(tries: list[tuple[int, str]]) -> None:
    """However often it fails, with however many texts: each text once in half an hour, all of them half a minute apart."""
    scene = Scene()
    told: list[tuple[float, str]] = []
    for seconds, text in tries:
        scene.now += seconds
        before = len(scene.recorder.said)
        said = scene.fail(api_error(403, "Forbidden", text))
        if len(scene.recorder.said) > before:
            assert said == Told(WRITE_FAILED, text)
            assert all(scene.now - at >= APART for at, _ in told)
            of_it = [at for at, other in told if other.rstrip("12") == text.rstrip("12")]
            assert len({one for _, one in told[-8:]}) == 8 or all(scene.now - at >= AGAIN for at in of_it)
            told.append((scene.now, text))
    assert not tries or told[0][1] == tries[0][1]


def test_numbers_do_not_count() -> None:
    """What a status says stays as it was while only numbers differ: else each look would be a write, and each write a look."""
    scene = Scene()
    first = scene.fail(api_error(403, "Forbidden", "exceeded quota: used 1"))
    scene.now = 100.0
    assert scene.fail(api_error(403, "Forbidden", "exceeded quota: used 2")) == first
    assert len(scene.recorder.said) == 1


def test_namespace_on_its_way_out() -> None:
    """That a namespace is being deleted is no news for anybody."""
    text = "unable to create new content in namespace shop because it is being terminated"
    assert patience(api_error(403, "Forbidden", text)) is None
    assert Scene().fail(api_error(403, "Forbidden", text)) is None


def test_unforeseen() -> None:
    """The text of an error that is not the API server's may quote a key, and is never told."""
    assert patience(KeyError("a key")) is None


def test_the_step() -> None:
    """A step that was named is told with it, by its own reason."""
    error = Stopped("RequestFailed", "Failed to create CertificateRequest", api_error(403, "Forbidden", "no room"))
    assert words(error) == Told("RequestFailed", "Failed to create CertificateRequest: no room")
    assert patience(error) == 0


def test_without_words() -> None:
    """An answer without a text is told by its code."""
    assert words(ApiError(403, "Forbidden")).message == "the API server answers 403 Forbidden"
    assert "\u202e" not in words(api_error(403, "Forbidden", "a\u202eb")).message


@virtual_time
async def test_a_queue() -> None:
    """A queue tells of what its handler raises, and of what it took for passing by giving its key back, when that lasts."""
    scene = Scene()
    loop = asyncio.get_running_loop()
    scene.errors = WriteErrors(scene.recorder, clock=loop.time)  # type: ignore[arg-type]  # it only emits
    queue = ControllerQueue[str](Metrics(), "things")
    shown: list[tuple[str, str]] = []
    answers: dict[str, Exception] = {
        "quota": api_error(403, "Forbidden", "exceeded quota"),
        "race": Unreachable("away"),
    }

    async def show(key: str, told: Told) -> None:
        shown.append((key, told.message))
        raise Unreachable("this write fails too")

    async def handle(key: str) -> None:
        if key == "race":
            queue.add_backoff(key, why=api_error(409, "Conflict", "changed"))
        elif key in answers:
            raise answers[key]

    queue.tells(scene.errors, lambda key: [ObjectReference("v1", "Thing", "", key, key)], show)
    for key in ("quota", "race", "fine"):
        queue.add(key)
    running = asyncio.create_task(queue.run(handle))
    await asyncio.sleep(LASTS / 2)
    assert {key for key, _ in shown} == {"quota"}
    await asyncio.sleep(LASTS * 4)
    assert {(ref.name, message) for ref, _, message in scene.recorder.said} == {
        ("quota", "exceeded quota"),
        ("race", "each time another writer was faster: changed"),
    }
    assert {key for key, _ in shown} == {"quota", "race"}
    assert len(scene.recorder.said) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
