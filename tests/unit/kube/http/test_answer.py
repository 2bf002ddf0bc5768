"""The reader of HTTP answers: whatever the splitting, the same answer; whatever the bytes, an answer or Malformed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.kube.http.answer import LARGEST_ERROR, LONGEST_HEAD, Answer, AnswerReader, Malformed
from tests.examples import examples

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, *, step: int = 0, largest: int = 1000) -> Answer | None:
    """Feed all at once, or `step` bytes at a time."""
    reader = AnswerReader(largest)
    step = step or max(1, len(data))
    answer = None
    for start in range(0, len(data), step):
        assert answer is None, "whole before its end"
        answer = reader.feed(data[start : start + step])
    return answer


WHOLE = {
    "length": (OK + b"Content-Length: 5\r\nContent-Type: a/b\r\n\r\nhello", 200, b"hello"),
    "no reason phrase": (b"HTTP/1.1 201\r\ncontent-length:0\r\n\r\n", 201, b""),
    "chunks": (CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", 200, b"hello!"),
    "trailers": (CHUNKED + b"00A\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n", 200, b"0123456789"),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", 200, b"{}"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n", 304, b""),
    "refusal": (b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno", 409, b"no"),
}  # fmt: skip


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("case", WHOLE)
def test_whole(case: str, step: int) -> None:
    """An answer is read the same in one piece and byte by byte, and is whole exactly at its last byte."""
    data, status, body = WHOLE[case]
    answer = read(data, step=step)
    assert answer is not None
    assert (answer.status, answer.body, answer.reusable) == (status, body, True)


def test_headers() -> None:
    """The headers that callers need have lower-case names, however they came; others are left out; `close` is found in a list."""
    answer = read(OK + b"RETRY-AFTER: \t7 \r\nX-Other: 1\r\nConnection: x, Close\r\ncontent-length: 0\r\n\r\n")
    assert answer is not None
    assert (answer.headers["retry-after"], answer.headers.get("x-other")) == ("7", None)
    assert not answer.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        OK + b"\r\n",
        OK + b"Content-Length: x\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: +1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"no colon\r\nContent-Length: 0\r\n\r\n",
        OK + b"A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length : 0\r\n\r\n",
        OK + b"A: b\nContent-Length: 1\r\nContent-Length: 0\r\n\r\n",
        OK + b"A: \0\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: 1001\r\n\r\n",
        OK + b"Content-Length: 1\r\n\r\nab",
        OK + b"A: " + b"a" * LONGEST_HEAD,
        CHUNKED + b"0\r\nno colon\r\n\r\n",
        CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"5 \r\nhelloX\n",
        CHUNKED + b"fffffffff\r\n",
        CHUNKED + b"3e9\r\n",
        CHUNKED + b"1;" + b"x" * 300,
        CHUNKED + (b"1;" + b"x" * 250 + b"\r\na\r\n") * 900,
        CHUNKED + b"0\r\nA: " + b"a" * LONGEST_HEAD,
        CHUNKED + b"0\r\n\r\nmore",
    ],
)
def test_malformed(data: bytes) -> None:
    """What is not a plain answer within the limits is refused, in one piece and byte by byte, with a reason that quotes nothing."""
    for step in (0, 1):
        with pytest.raises(Malformed) as caught:
            _feed_on(data, step)
        assert len(str(caught.value)) < 100


def _feed_on(data: bytes, step: int) -> None:
    reader = AnswerReader(1000)
    step = step or len(data)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])


@pytest.mark.parametrize(
    "frame",
    [
        b"Content-Length: 900000000\r\n\r\n" + b"n" * 100_000,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"7000\r\n" + b"n" * 0x7000 + b"\r\nfffffff\r\n" + b"n" * 100_000,
    ],
    ids=["length", "chunks"],
)
def test_long_refusals_are_cut(frame: bytes) -> None:
    """Of a refusal with a long body the beginning is given, and the connection is not used again."""
    answer = AnswerReader(10).feed(b"HTTP/1.1 500 No\r\n" + frame)
    assert answer is not None
    assert (answer.body, answer.reusable) == (b"n" * LARGEST_ERROR, False)


PIECES = [
    *(data for data, _, _ in WHOLE.values()),
    OK,
    CHUNKED,
    b"\r\n",
    b"0\r\n",
    b"5\r\n",
    b"Content-Length: 3\r\n",
    b": ",
]


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=30)), max_size=6), st.integers(1, 50))
def test_hostile_bytes(pieces: list[bytes], step: int) -> None:
    """No bytes make the reader raise anything but Malformed, and splitting does not change the first answer."""
    data = b"".join(pieces)

    def outcome(step: int) -> object:
        reader = AnswerReader(1000)
        for start in range(0, len(data), step):
            try:
                answer = reader.feed(data[start : start + step])
            except Malformed:
                return None
            if answer is not None:
                # Bytes after the end make a difference only when they come together with it.
                return None if start + step < len(data) else (answer.status, dict(answer.headers), answer.body)
        return None

    assert outcome(step) == outcome(max(1, len(data)))
