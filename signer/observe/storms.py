"""One line a minute for what is said again and again, with how often: a log that repeats itself hides what is new. Pure.

Equal are two warnings or errors of one text, where numbers do not count. Of one kind (the same words of ours about different
objects) twenty different ones are told a minute. Whoever holds a Storms gives the time, and asks for what has ended.
"""

import logging
from collections import OrderedDict

import msgspec

from signer.kube.errors import shape

MINUTE = 60.0
OF_A_KIND = 20
_REMEMBERED = 1000


class _Minute(msgspec.Struct):
    began: float
    last: logging.LogRecord
    more: int = 0
    different: int = 0


class Storms:
    """What was said in the last minute."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, str], _Minute] = OrderedDict()
        self._kinds: OrderedDict[tuple[str, str], _Minute] = OrderedDict()

    def take(self, record: logging.LogRecord, now: float) -> list[logging.LogRecord]:
        """Return what is to be written now that this was said at `now` (seconds): it, nothing, or first what has ended."""
        if record.levelno < logging.WARNING:
            return [record]
        ended = self.ended(now)
        said, words = (record.name, shape(record.getMessage())), (record.name, str(record.msg))
        text = self._texts.get(said)
        if text is not None:
            text.more, text.last = text.more + 1, record
            return ended
        kind = self._kinds.get(words)
        if kind is None:
            kind = self._kinds[words] = _Minute(now, record)
            _bound(self._kinds)
        if kind.different >= OF_A_KIND:
            kind.more, kind.last = kind.more + 1, record
            return ended
        kind.different += 1
        self._texts[said] = _Minute(now, record)
        _bound(self._texts)
        return [*ended, record]

    def ended(self, now: float) -> list[logging.LogRecord]:
        """Forget what is a minute old at `now`; returns a line with a count for each that was said more than once."""
        found = []
        for remembered, words in ((self._texts, "the same"), (self._kinds, "others like it")):
            for key, minute in tuple(remembered.items()):
                if now - minute.began < MINUTE:
                    break  # those behind it are younger
                del remembered[key]
                if minute.more:
                    found.append(_summary(minute, words))
        return found

    def close(self) -> list[logging.LogRecord]:
        """Forget everything; returns the lines with what was counted so far."""
        return self.ended(float("inf"))


def _summary(minute: _Minute, words: str) -> logging.LogRecord:
    """As the last of them, with a count before it."""
    last = minute.last
    text = f"{minute.more} more of {words} within a minute, the last: {last.getMessage()}"
    return logging.makeLogRecord(vars(last) | {"msg": text, "args": (), "exc_info": None, "exc_text": None})


def _bound(remembered: "OrderedDict[tuple[str, str], _Minute]") -> None:
    if len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
