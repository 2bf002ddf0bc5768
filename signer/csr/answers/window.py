"""How many status writes may be under way at once.

The API server says "too many" with 429; then the window halves, and it grows again by one for each full window of
good writes (additive increase, multiplicative decrease, as in RFC 5681). Pure but for its own numbers; used on the
loop only.
"""

_SMALLEST = 4
# One burst answered with many 429s is one piece of news, not many.
_DEAF_SECONDS = 0.25


class Window:
    """`size` is how many writes may be under way now, between 4 and `largest`."""

    def __init__(self, largest: int) -> None:
        self.largest = max(largest, 1)
        self.size = self.largest
        self._good = 0
        self._deaf_until = float("-inf")

    def succeeded(self) -> None:
        """A write was taken."""
        if self.size >= self.largest:
            return
        self._good += 1
        if self._good >= self.size:
            self._good = 0
            self.size += 1

    def throttled(self, now: float) -> None:
        """A write was answered with 429 at `now` (monotonic seconds)."""
        self._good = 0
        if now >= self._deaf_until:
            self._deaf_until = now + _DEAF_SECONDS
            self.size = max(self.size // 2, min(_SMALLEST, self.largest))
