"""A planted fault as a value, and how it is planted. Pure."""

from dataclasses import dataclass


class Stale(Exception):
    """The code has changed so that a fault cannot be planted any more: the catalogue must follow."""


@dataclass(frozen=True)
class Mutant:
    """One fault: in `file` the text `old`, which stands there exactly once, becomes `new`.

    `fault` says in a sentence what is then wrong; `tests` are the paths of the unit tests, of which one must fail.
    """

    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def plant(self, source: str) -> str:
        """Give the source with the fault in it. Raises Stale."""
        count = source.count(self.old)
        if count != 1:
            raise Stale(f"{self.file}: {self.old!r} stands there {count} times, not once ({self.fault})")
        return source.replace(self.old, self.new)
