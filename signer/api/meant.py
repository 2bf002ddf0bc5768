"""Which name was meant by one that is nearly it: help for people, at a price that is small whoever wrote the names. Pure.

difflib needs a third of a millisecond for 26 letters and another order of them, and others write as many names as an object
holds. So what cannot be near is passed over by its length and its letters, and the rest is compared while there is effort
left: one that is shared by all names of an object, or of all that is looked at together. Who has spent it gets no help.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

LONGEST = 80
"""Characters; a longer name is near nothing."""
_NO_LETTER = re.compile(r"[^a-z]")
_LONGEST_WORD = 64
# Two letters exchanged, one too many, missing or another: anything further may be somebody else's own word.
_SLIP = 0.9


@dataclass(slots=True)
class Effort:
    """What is left: `names` to look at, and `characters`, of one name times those of the other, to compare."""

    names: int = 1000
    characters: int = 20_000

    def of(self, names: Iterable[str]) -> Iterable[str]:
        """The names, as long as there is effort left."""
        for one in itertools.takewhile(lambda _: self.names > 0 and self.characters > 0, names):
            self.names -= 1
            yield one


def near(name: str, known: Iterable[str], cutoff: float, effort: Effort | None = None) -> list[str]:
    """Return the known names that are at least so near (0 to 1, as difflib reckons), the nearest first."""
    left = effort if effort is not None else Effort()
    if not name or len(name) > LONGEST:
        return []
    found: list[tuple[float, str]] = []
    letters = Counter(name)
    matcher = SequenceMatcher(None, "", name)
    for one in itertools.islice(known, left.names):
        both = len(one) + len(name)
        if 2 * min(len(one), len(name)) < cutoff * both or 2 * _common(letters, one) < cutoff * both:
            continue
        left.characters -= len(one) * len(name)
        if left.characters < 0:
            break
        matcher.set_seq1(one)
        if (ratio := matcher.ratio()) >= cutoff:
            found.append((ratio, one))
    return [one for _, one in sorted(found, reverse=True)]


def nearest(name: str, known: Iterable[str], cutoff: float, effort: Effort | None = None) -> str:
    """Return the known name that is nearest, "" where none is near."""
    return next(iter(near(name, known, cutoff, effort)), "")


def letters_of(word: str) -> str:
    """The beginning of a word by what does not change with how it is written: its letters, small."""
    return _NO_LETTER.sub("", word[:_LONGEST_WORD].lower())


def nearly(word: str, meant: str) -> bool:
    """Tell whether one word is another but for a slip, or but for how it is written."""
    found, wanted = letters_of(word), letters_of(meant)
    return abs(len(found) - len(wanted)) <= 1 and bool(near(found, (wanted,), _SLIP))


def _common(letters: Counter[str], other: str) -> int:
    theirs = _letters(other)
    return sum(min(count, theirs[one]) for one, count in letters.items())


@lru_cache(maxsize=256)
def _letters(name: str) -> Counter[str]:
    return Counter(name)
