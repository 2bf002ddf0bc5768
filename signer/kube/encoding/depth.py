"""How deep JSON is nested, and what is left of it where it is too deep: whatever reads it goes as deep as it is.

The API server takes objects of 10,000 levels, and managedFields of as many; msgspec raises RecursionError at about a thousand
(Python 3.11) or 9,500 (3.13), also where it only skips them, so one object would cost a list, and who reads it. Pure, without
recursion, and linear: 40 ms for 1.5 MB of nothing but brackets, 10 µs for a usual object of more than DEEPEST of them.
"""

from array import array
from collections.abc import Callable
from itertools import accumulate
from operator import indexOf
from typing import TypeVar

import msgspec

T = TypeVar("T")

DEEPEST = 100
"""Levels of an object that is read. Real ones have fewer than 30; the largest schemas of definitions fewer than 60."""
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep, and no such object is read; make it flatter"

# An object is two levels inside a list, its metadata's own fields two levels inside the object: they are never cut.
_WRAPPED, _KEPT = 2, 4
_CUT = {
    ord("["): b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
    ord("{"): b'{"":' * DEEPEST + b"{}" + b"}" * DEEPEST,
}
_BRACKETS = b"[]{}"
_OTHERS = bytes(sorted(set(range(256)) - set(_BRACKETS)))
_OTHERS_BUT_QUOTES = bytes(sorted(set(_OTHERS) - set(b'"')))
_NO_BRACKET = bytes(0x20 if one in _BRACKETS else one for one in range(256))
# One level more, one level less (-1 as a signed byte), or neither.
_STEP = bytes(1 if one in b"[{" else 0xFF if one in b"]}" else 0 for one in range(256))
_STEP_BACK = bytes(0xFF if one in b"[{" else 1 if one in b"]}" else 0 for one in range(256))


def deeper(body: bytes, most: int = DEEPEST) -> bool:
    """Whether JSON is nested in more than so many levels. What is no JSON may be said to be deep."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    rest = _unescaped(body).translate(None, _OTHERS_BUT_QUOTES).replace(b'""', b"")
    # What is left of a text: the brackets in it.
    rest = b"".join(rest.split(b'"')[::2])
    return max(accumulate(array("b", rest.translate(_STEP))), default=0) > most


def cut(body: bytes) -> bytes:
    """Give JSON in which no object is too deep for msgspec, whatever is around it.

    Where more than DEEPEST levels of an object are, the fourth-level part around them stands for as many levels with
    nothing in them, so that `deeper` says of the object what it said before. What lies less deep than that, names and versions among it, is as it was.
    """
    text = _without_brackets_in_texts(body)
    levels = accumulate(array("b", text.translate(_STEP)))
    pieces: list[bytes] = []
    start = done = 0
    while True:
        try:
            at = done + indexOf(levels, DEEPEST + _WRAPPED + 1)
        except ValueError:
            break
        # Back to where that part began: its bracket is the last one before which there were _KEPT levels.
        back = accumulate(array("b", text[done:at].translate(_STEP_BACK)[::-1]), initial=DEEPEST + _WRAPPED)
        begin = at - indexOf(back, _KEPT)
        pieces += (body[start:begin], _CUT[body[begin]])
        try:
            start = done = at + 2 + indexOf(levels, _KEPT)
        except ValueError:
            start = len(body)  # it has no end: no JSON
            break
    pieces.append(body[start:])
    return b"".join(pieces)


def reader(decode: Callable[[bytes | msgspec.Raw], T]) -> Callable[[bytes | msgspec.Raw], T]:
    """Make a decoder of msgspec's read the names in what is too deep for it as well."""

    def read(body: bytes | msgspec.Raw) -> T:
        try:
            return decode(body)
        except RecursionError:
            return decode(cut(bytes(body)))

    return read


def _unescaped(body: bytes) -> bytes:
    r"""Of the same length, without `\"` and `\\` in texts."""
    return body.replace(rb"\\", b"__").replace(rb"\"", b"__") if b"\\" in body else body


def _without_brackets_in_texts(body: bytes) -> bytes:
    """Of the same length: every bracket that is left is one of a list or of a mapping."""
    # Two quotes side by side begin and end nothing: the text, or what is between two of them, goes on without them.
    parts = _unescaped(body).replace(b'""', b"__").split(b'"')
    if len(parts) > 1:
        parts[1::2] = b'"'.join(parts[1::2]).translate(_NO_BRACKET).split(b'"')
    return b'"'.join(parts)
