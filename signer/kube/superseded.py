"""The memory of what we just wrote, for controllers that decide on cached objects.

A cache lags behind our own writes; deciding on such an old object would repeat a step, so a key whose cached object we
have already replaced is left alone until the watch brings the new one. Used on one loop.
"""

Key = tuple[str, str]
"""(namespace, name)."""


class Superseded:
    """Remembers the resourceVersions that our own writes replaced, until the cache shows a later one."""

    def __init__(self) -> None:
        self._old: dict[Key, set[str]] = {}

    def replaced(self, key: Key, old: str, new: str) -> None:
        """Note that the object's version `old` is history; a write that changed nothing is none."""
        if old != new:
            self._old.setdefault(key, set()).add(old)

    def stale(self, key: Key, version: str) -> bool:
        """Tell whether the cached object is older than our last write. Its event will come: there is no need to ask."""
        if version in self._old.get(key, ()):
            return True
        self.forget(key)
        return False

    def forget(self, key: Key) -> None:
        """The object is gone or up to date."""
        self._old.pop(key, None)
