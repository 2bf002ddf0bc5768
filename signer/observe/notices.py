"""Remembers what was told of objects, so that each thing is told once, and is told at all: an Event that finds no room waits.

Whoever looks at an object again and again says each time all that there is to say of it (`say`); what nobody will say a
second time is told with `happened`, or with `logged`, which writes warnings into the log too. Either is tried again until
there is room, or until it is no longer true. An Event that only repeats a condition may be dropped, so that one goes to
`EventRecorder.emit` directly.
Used on the loop only; what is remembered is bounded, and what one tenant has waiting, too.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from signer.api.event import ObjectReference
from signer.observe.events import EventRecorder, EventType
from signer.observe.logs import warn

# Seconds until what found no room is tried again.
TRY_AGAIN = 10.0
# Objects that something is remembered of; Events that wait, of all and of one share.
_REMEMBERED = 10_000
_WAITING = 1000
_WAITING_OF_ONE = 20
# Of one namespace, about whose own objects something is told.
_WAITING_OF_NAMESPACE = 250


class Notice(NamedTuple):
    """What an Event says; `about` an object, but for that."""

    type: EventType
    reason: str
    message: str


class _Name(NamedTuple):
    """An object by its name: one that is made anew under it takes its place."""

    api_version: str
    kind: str
    namespace: str
    name: str


class _Said(msgspec.Struct):
    uid: str
    notices: frozenset[Notice]


class _Waits(msgspec.Struct, frozen=True):
    about: ObjectReference
    share: str | None
    of: str | None  # whose it is: the share, else the object's namespace
    stands: bool  # said of what is so, and not of what happened


class Notices:
    """What one teller has said of its objects. An `ObjectReference` is compared without its resourceVersion."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._said: OrderedDict[_Name, _Said] = OrderedDict()
        self._waiting: OrderedDict[tuple[ObjectReference, Notice], _Waits] = OrderedDict()
        self._of_share: Counter[str | None] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def say(self, about: ObjectReference, notices: Iterable[Notice], *, share: str | None = None) -> list[Notice]:
        """Take all that there is to say of an object now, and tell what is new; returns that, for the log.

        What is no longer said is told again when it comes back. `share` is the tenant that the Events count for.
        """
        name, wanted = _name(about), list(dict.fromkeys(notices))
        before = self._said.get(name)
        if before is not None and before.uid != about.uid:
            self._drop(name)
            before = None
        known = before.notices if before is not None else frozenset[Notice]()
        for gone in known.difference(wanted):
            self._no_longer(about, gone)
        if not wanted:
            self._said.pop(name, None)
            return []
        self._said[name] = _Said(about.uid, frozenset(wanted))
        self._said.move_to_end(name)
        if len(self._said) > _REMEMBERED:
            self._drop(next(iter(self._said)))
        new = [one for one in wanted if one not in known]
        for one in new:
            if not self._tell(about, one, share, stands=True):
                self._said[name].notices -= {one}  # no room even to wait: it is new the next time, too
        return new

    def happened(self, about: ObjectReference, notice: Notice, *, share: str | None = None) -> None:
        """Tell what nobody will say again. Only what finds no room to wait either is dropped, and counted."""
        if not self.taken(about, notice, share=share):
            self._recorder.dropped()

    def logged(self, about: ObjectReference, notice: Notice, *, share: str | None = None) -> None:
        """Tell what nobody will say again; what it warns of is in the log too."""
        if notice.type == "Warning":
            warn(about, notice.reason, notice.message)
        self.happened(about, notice, share=share)

    def taken(self, about: ObjectReference, notice: Notice, *, share: str | None = None) -> bool:
        """Tell what is said again as long as it is so: False where there is no room for it, nor to wait for some."""
        return self._tell(about, notice, share, stands=False)

    def says(self, about: ObjectReference, reason: str) -> bool:
        """Tell whether something with this reason was said of the object, and still is."""
        said = self._said.get(_name(about))
        return said is not None and said.uid == about.uid and any(one.reason == reason for one in said.notices)

    def forget(self, about: ObjectReference) -> None:
        """Nothing is to be said of the object any more, whatever its uid was."""
        self._drop(_name(about))

    def clear(self) -> None:
        """Forget everything that stands."""
        for name in tuple(self._said):
            self._drop(name)

    def _tell(self, about: ObjectReference, notice: Notice, share: str | None, *, stands: bool) -> bool:
        """Tell, or have it wait; False where it can do neither."""
        if (about, notice) in self._waiting:
            return True
        of = share if share is not None else about.namespace or None
        if self._of_share[of] == 0 and self._offer(about, notice, share):
            return True
        most = _WAITING_OF_ONE if share is not None else _WAITING_OF_NAMESPACE if of is not None else _WAITING
        if len(self._waiting) >= _WAITING or self._of_share[of] >= most:
            return False
        self._waiting[about, notice] = _Waits(about, share, of, stands)
        self._of_share[of] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TRY_AGAIN, self._again)
        return True

    def _again(self) -> None:
        """Try all that waits, each share up to what finds no room."""
        self._timer = None
        full = set[str | None]()
        for (about, notice), waits in list(self._waiting.items()):
            if waits.of not in full:
                if self._offer(waits.about, notice, waits.share):
                    self._waits_no_more(about, notice)
                else:
                    full.add(waits.of)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(TRY_AGAIN, self._again)

    def _offer(self, about: ObjectReference, notice: Notice, share: str | None) -> bool:
        return self._recorder.offer(about, notice.type, notice.reason, notice.message, share=share)

    def _drop(self, name: _Name) -> None:
        said = self._said.pop(name, None)
        for notice in said.notices if said is not None else ():
            self._no_longer(ObjectReference(*name, said.uid if said is not None else ""), notice)

    def _no_longer(self, about: ObjectReference, notice: Notice) -> None:
        waits = self._waiting.get((about, notice))
        if waits is not None and waits.stands:
            self._waits_no_more(about, notice)

    def _waits_no_more(self, about: ObjectReference, notice: Notice) -> None:
        of = self._waiting.pop((about, notice)).of
        self._of_share[of] -= 1
        if not self._of_share[of]:
            del self._of_share[of]


def _name(about: ObjectReference) -> _Name:
    return _Name(about.api_version, about.kind, about.namespace, about.name)
