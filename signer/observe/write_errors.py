"""What the API server refuses is told on the object that it stopped, in the API server's own words.

Whoever has an object may not see our log. One place decides what of a refusal is told, and when: at once, where somebody
must mend something (a quota, a policy, a webhook, rights, an immutable field, a size); what passes by itself as a rule (the
object has changed, the server is busy or away) only when it lasts. Once for each object and text (numbers in it
do not count, such as those of a quota), again after a pause; of several texts about one object one in half a minute. An
Event for which there was no room waits for it (notices.py): the next try may be minutes away.
Used on the loop only; what is remembered is bounded.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import msgspec

from signer.api.event import ObjectReference
from signer.kube.errors import ApiError, Conflict, Stopped, Unreachable, shape
from signer.observe.events import EventRecorder
from signer.observe.notices import Notice, Notices
from signer.observe.printable import printable

WRITE_FAILED = "WriteFailed"
# Seconds: until what may pass by itself is told; until the same is told again; between two texts about one object.
LASTS = 60.0
AGAIN = 1800.0
APART = 30.0
_REMEMBERED = 4096
_TEXTS = 8


class Told(msgspec.Struct, frozen=True):
    """What is said of a refusal."""

    reason: str
    message: str


def patience(error: BaseException) -> float | None:
    """After how many seconds of failing an error is told; None: never, as it is no news or not the API server's. Pure."""
    if isinstance(error, Stopped):
        error = error.error
    if isinstance(error, Unreachable):
        return LASTS
    if not isinstance(error, ApiError) or error.terminating:
        return None
    return 0.0 if error.lasting else LASTS


def words(error: BaseException) -> Told:
    """What is said of an error. Pure."""
    if isinstance(error, Stopped):
        return Told(error.reason, printable(f"{error.what}: {_text(error.error)}"))
    return Told(WRITE_FAILED, printable(_text(error)))


def _text(error: BaseException) -> str:
    if not isinstance(error, ApiError):
        return f"no answer from the API server: {error}"
    text = error.message or f"the API server answers {error.status} {error.reason}".rstrip()
    return f"each time another writer was faster: {text}" if isinstance(error, Conflict) else text


class WriteErrors:
    """Remembers what fails since when, and what was told. `clock` is monotonic, in seconds."""

    def __init__(self, recorder: EventRecorder, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notices = Notices(recorder)
        self._clock = clock
        self._since: OrderedDict[Hashable, float] = OrderedDict()
        # By object and text, where numbers do not count: what was told, and when.
        self._told: OrderedDict[ObjectReference, dict[str, tuple[Told, float]]] = OrderedDict()

    def failed(
        self,
        key: Hashable,
        error: BaseException,
        about: Callable[[], Iterable[ObjectReference]],
        *,
        share: str | None = None,
    ) -> Told | None:
        """Take that work on `key` failed; `about` names the objects that it stopped. An Event tells them, when it is time.

        `share` is the tenant that the Events count for, None: each object's namespace.

        Returns what is told now, or is told already and still so, for whoever writes it into a status as well; else None.
        """
        wait = patience(error)
        if wait is None:
            return None
        now = self._clock()
        since = self._since.setdefault(key, now)
        _bound(self._since)
        if now - since < wait:
            return None
        said = words(error)
        alike = shape(said.message)
        current: Told | None = None
        for ref in about():
            texts = self._told.setdefault(ref, {})
            self._told.move_to_end(ref)
            _bound(self._told)
            before, at = texts.get(alike, (said, float("-inf")))
            if now - at < AGAIN:
                current = current or before
            elif now - max((last for _, last in texts.values()), default=float("-inf")) >= APART:
                current = current or said
                notice = Notice("Warning", said.reason, said.message)
                if not self._notices.taken(ref, notice, share=share or ref.namespace or None):
                    continue  # too many Events of this tenant wait already: it is told at a later try
                texts.pop(alike, None)
                texts[alike] = (said, now)
                if len(texts) > _TEXTS:
                    del texts[next(iter(texts))]
        return current

    def refused(self, ref: ObjectReference, error: BaseException) -> Told | None:
        """The same for work on one object, which is the key."""
        return self.failed(ref, error, lambda: (ref,))

    def fine(self, key: Hashable) -> None:
        """Work on `key` went well."""
        self._since.pop(key, None)


def _bound(remembered: "OrderedDict[Hashable, float] | OrderedDict[ObjectReference, Any]") -> None:
    if len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
