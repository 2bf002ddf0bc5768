"""Was what we wrote undone by somebody else, and how long must the next write wait? Asked wherever an object is kept as it is to be.

Two parties that undo each other would otherwise write for ever: a sync and a controller, two installations, a person and a
program. One writes what it wants; the other puts something else there; the watch tells the first. Only what the API server
took can be undone: a write that it refused counts for nothing (signer/observe/write_errors.py tells of those). What is wanted
now and was not wanted last is news, and written at once. How long to wait is in signer/kube/pacing.py.

Pure, but for what `Undone` remembers, on the loop. It is for peace, not for safety: a new process begins with nothing.
"""

from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from signer.api.meta import to_rfc3339
from signer.api.text import shown
from signer.kube import pacing
from signer.kube.pacing import Pace

K = TypeVar("K", bound=Hashable)

UNDONE = "UndoneByAnother"
"""The reason, of a condition or an Event, on the object that is contested."""
_NAMED = 3


class Written(msgspec.Struct, frozen=True):
    """What was wanted when the API server last took a write of ours, and how often the same had to be written again."""

    wish: Hashable
    again: Pace | None = None


def wrote(before: Written | None, wish: Hashable, now: datetime) -> Written:
    """Take that a write was accepted. That it was to be written a second time says that somebody undid the first."""
    if before is None or before.wish != wish:
        return Written(wish)
    return Written(wish, pacing.noted(before.again, now))


def left(before: Written | None, wish: Hashable, now: datetime) -> timedelta:
    """How long the next write must still wait; zero for what was not wanted last, and for the first few times."""
    return pacing.left(before.again, now) if before is not None and before.wish == wish else timedelta(0)


def named(writers: Sequence[str]) -> str:
    """Name those who write too, in bounded words; what is asked where nobody is named. It ends a sentence."""
    if writers:
        return f"written by {', '.join(shown(name) for name in writers[:_NAMED])} too."
    # We write Secrets under cert-manager's name, so that each may take them over; one beside us is not told apart.
    return "no other writer is named: does a cert-manager work here too? Or does a webhook change it?"


def said(what: str, writers: Sequence[str], until: datetime) -> str:
    """Say what is undone each time, by whom as far as it is known, and when it is written again."""
    return (
        f"{what} is put back, and undone each time; {named(writers)} Stop one of the two. "
        f"The next write is after {to_rfc3339(until)}"
    )


class Undone(Generic[K]):
    """What was written last of each object, by its key."""

    def __init__(self) -> None:
        self._written: dict[K, Written] = {}
        self._told: set[K] = set()

    def left(self, key: K, wish: Hashable, now: datetime) -> timedelta:
        """As `left`."""
        return left(self._written.get(key), wish, now)

    def wrote(self, key: K, wish: Hashable, now: datetime) -> None:
        """The API server took a write of this."""
        self._written[key] = after = wrote(self._written.get(key), wish, now)
        if after.again is None:
            self._told.discard(key)

    def is_news(self, key: K) -> bool:
        """Whether it was not said yet that this is contested; asking says it. Anew once something else was written."""
        news = key not in self._told
        self._told.add(key)
        return news

    def forget(self, key: K) -> None:
        """The object is gone."""
        self._written.pop(key, None)
        self._told.discard(key)
