"""When a bridge with which something is wrong is looked at again, though no watch said anything: what it rests on may be mended.

Protection, Sidecars, Services, Pods and rights are read live, and a Secret that is somebody else's is not watched. Used on the loop;
bounded by the bridges that there are, and in all by a rate: many that are wrong are looked at as often as one in EACH seconds.
"""

from collections.abc import Hashable

FIRST, LONGEST = 5.0, 60.0
"""Seconds until the first further look, and between the later ones; each pause is twice as long as the one before."""
EACH = 0.2
LOOK_AGAIN = 300.0
"""Seconds until a bridge with which nothing is wrong is looked at again, and the longest pause of any."""


class Again:
    """Remembers what was wrong with each bridge, and how often it was seen."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[str, int]] = {}

    def seconds(self, key: Hashable, wrong: str) -> float:
        """Tell when to look again, given what is wrong now; "": it is as it should be."""
        if not wrong:
            self.forget(key)
            return LOOK_AGAIN
        before, times = self._seen.get(key, (wrong, 0))
        times = times if before == wrong else 0
        self._seen[key] = (wrong, times + 1)
        grown = min(FIRST * float(2 ** min(times, 16)), LONGEST)
        return min(max(grown, EACH * len(self._seen)), LOOK_AGAIN)

    def forget(self, key: Hashable) -> None:
        """It is gone, or nothing is wrong with it."""
        self._seen.pop(key, None)
