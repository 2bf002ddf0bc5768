"""A recorder of Events in memory, with as much room as a test gives it."""

from dataclasses import dataclass
from typing import Any, cast

from signer.api.event import ObjectReference
from signer.observe.events import EventRecorder


@dataclass(frozen=True)
class Taken:
    """An Event that was taken."""

    about: ObjectReference
    type: str
    reason: str
    message: str
    share: str | None = None
    courtesy: bool = False

    @property
    def kind(self) -> str:
        return self.about.kind

    @property
    def namespace(self) -> str:
        return self.about.namespace

    @property
    def name(self) -> str:
        return self.about.name


class FakeRecorder:
    """Takes Events while `room` is not 0, None: it never ends; and none of the shares that are in `full`."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.full = set[str | None]()
        self.taken: list[Taken] = []
        self.refused = 0
        self.lost = 0

    def emit(self, about: ObjectReference, type_: str, reason: str, message: str, **more: Any) -> None:
        if not self.offer(about, type_, reason, message, **more):
            self.lost += 1

    def offer(self, about: ObjectReference, type_: str, reason: str, message: str, **more: Any) -> bool:
        if self.room == 0 or more.get("share") in self.full:
            self.refused += 1
            return False
        if self.room is not None:
            self.room -= 1
        self.taken.append(Taken(about, type_, reason, message, **more))
        return True

    def dropped(self) -> None:
        self.lost += 1

    def of(self, kind: str) -> list[Taken]:
        """Those about objects of a kind."""
        return [one for one in self.taken if one.kind == kind]

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.taken]

    @property
    def typed(self) -> EventRecorder:
        """The same, for what wants the real one."""
        return cast("EventRecorder", self)
