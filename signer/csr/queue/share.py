"""How many writes one flow may have under way at once.

Alone, an eighth of the window. While others ask too, as many as do not slow the API server down for them: one at first, one
more as long as a write takes little longer than it did when there was little to do (after TCP Vegas, Brakmo and Peterson
1995: what is under way beyond that only waits in the server's queues, in front of other tenants' writes).

Pure but for its own numbers; time and durations in seconds, of one monotonic clock. Used on the loop only. Constant time.
"""

from collections.abc import Hashable

# Of the window for one flow, however well the API server bears it (ADR 25).
_PART = 8
# Others count for so many seconds after they were seen.
_RECENT = 5.0
# A write may take so many times what it took at best; the best is that of the last one to two of these periods.
_SLOWER = 1.25
_PERIOD = 60.0
# The weight of the newest write, and how many of them are looked at before the number of places changes again.
_WEIGHT = 0.125
_STEP = 8


class Share:
    """Knows who asked lately, and how long writes take."""

    def __init__(self) -> None:
        self._last: tuple[Hashable, float] = (None, float("-inf"))
        self._before: tuple[Hashable, float] = (None, float("-inf"))
        self._places = 1
        self._taken = 0.0
        self._best = self._former = float("inf")
        self._period_ends = float("-inf")
        self._writes = 0

    def seen(self, flow: Hashable, now: float) -> None:
        """A request of this flow was begun, or has ended."""
        if flow != self._last[0]:
            self._before = self._last
        self._last = (flow, now)

    def alone(self, flow: Hashable, now: float) -> bool:
        """Tell whether no other flow was seen of late."""
        latest = self._before[1] if self._last[0] == flow else self._last[1]
        return now - latest > _RECENT

    def places(self, flow: Hashable, window: int, now: float, *, others: bool) -> int:
        """Return how many writes this flow may have under way, of a window of so many; at least one.

        `others` says that another flow has something under way now.
        """
        most = max(window // _PART, 1)
        return min(self._places, most) if others or not self.alone(flow, now) else most

    def wrote(self, seconds: float, window: int, now: float) -> None:
        """A write was answered after so many seconds."""
        self._taken += (seconds - self._taken) * (_WEIGHT if self._taken else 1.0)
        self._writes += 1
        if self._writes < _STEP:
            return
        self._writes = 0
        if now >= self._period_ends:
            self._former = self._best if now - self._period_ends < _PERIOD else self._taken
            self._best, self._period_ends = self._taken, now + _PERIOD
        self._best = min(self._best, self._taken)
        if self._taken > _SLOWER * min(self._best, self._former):
            self._places = max(self._places - 1, 1)
        else:
            self._places = min(self._places + 1, max(window // _PART, 1))
