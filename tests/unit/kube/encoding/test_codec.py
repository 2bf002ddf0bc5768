"""Frames, lists and events, in JSON and in Kubernetes protobuf."""

import contextlib
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.encoding import framing
from signer.kube.encoding.codec import JsonCodec
from signer.kube.encoding.framing import CodecError, LengthFramer, LineFramer
from signer.kube.encoding.protobuf import MAGIC, scan, text, write_bytes_field, write_varint_field
from signer.kube.encoding.protobuf_codec import ProtobufCodec, _opened, _walked
from signer.kube.errors import Gone
from tests.fakes.envelopes import wrap
from tests.fakes.following import Thing


@dataclass(frozen=True)
class Raw:
    key: tuple[str, str]
    body: bytes


def meta(name: str, namespace: str = "", rv: str = "") -> bytes:
    parts = [(1, name), (2, ""), (3, namespace), (4, ""), (5, "uid"), (6, rv)]
    return write_bytes_field(1, b"".join(write_bytes_field(n, v.encode()) for n, v in parts))


def decode(raw: bytes) -> Raw | None:
    found = list(scan(raw))
    spec = {tag: raw[a:b] for tag, a, b in found if tag & 7 == 2}
    if spec.get(2 << 3 | 2) == b"dull":
        return None
    if spec.get(2 << 3 | 2) == b"bad":
        raise KeyError("unforeseen")
    name = namespace = ""
    for tag, a, b in scan(spec[1 << 3 | 2]):
        if tag == 10:
            name = text(spec[10], a, b)
        elif tag == 26:
            namespace = text(spec[10], a, b)
    return Raw((namespace, name), raw)


def protobuf_codec() -> ProtobufCodec[Raw]:
    return ProtobufCodec(decode, lambda raw: raw.key)


def frame(kind: str, body: bytes) -> bytes:
    return write_bytes_field(1, kind.encode()) + write_bytes_field(2, write_bytes_field(1, body))


lines = st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b and bool(b.strip())), max_size=6)


class TestLineFramer:
    @given(lines, st.integers(1, 50))
    def test_any_cut(self, frames: list[bytes], size: int) -> None:
        """However the network cuts the bytes, the lines come out whole and in order."""
        stream = b"".join(line + b"\n" for line in frames)
        framer = LineFramer()
        found = [line for n in range(0, len(stream), size) for line in framer.feed(stream[n : n + size])]
        assert found == frames

    def test_blank_lines(self) -> None:
        """Blank lines are no events."""
        assert LineFramer().feed(b"\n \n{}\r\n\n") == [b"{}\r"]

    def test_endless_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line without end is an error before it fills the memory."""
        monkeypatch.setattr(framing, "LARGEST_FRAME", 1000)
        framer = LineFramer()
        for _ in range(10):
            framer.feed(b"x" * 100)
        with pytest.raises(CodecError, match="larger"):
            framer.feed(b"x")

    def test_long_stream(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The limit is for one line, not for the stream."""
        monkeypatch.setattr(framing, "LARGEST_FRAME", 1000)
        framer = LineFramer()
        assert sum(len(framer.feed(b"x" * 50 + b"\n" + b"y" * 50)) for _ in range(40)) == 40


class TestLengthFramer:
    @given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 50))
    def test_any_cut(self, frames: list[bytes], size: int) -> None:
        """However the network cuts the bytes, the frames come out whole and in order."""
        stream = b"".join(len(f).to_bytes(4, "big") + f for f in frames)
        framer = LengthFramer()
        found = [f for n in range(0, len(stream), size) for f in framer.feed(stream[n : n + size])]
        assert found == frames

    def test_huge_length(self) -> None:
        """A frame of gigabytes is an error as soon as its length is read."""
        with pytest.raises(CodecError, match="larger"):
            LengthFramer().feed(b"\xff\xff\xff\xff")


class TestProtobuf:
    def test_list(self) -> None:
        """Objects come with their raw bytes, dull ones are left out, and a bad one is a problem with its name."""
        good = meta("a", "ns", "5") + write_bytes_field(2, b"fine")
        items = [
            good,
            meta("b") + write_bytes_field(2, b"dull"),
            meta("c", "ns") + write_bytes_field(2, b"bad"),
            b"\xff",
        ]
        list_meta = write_bytes_field(2, b"77") + write_bytes_field(3, b"token") + write_varint_field(4, 3)
        body = wrap("v1", "List", write_bytes_field(1, list_meta) + b"".join(write_bytes_field(2, i) for i in items))
        page = protobuf_codec().decode_list(body)
        found, problems = page.whole()
        assert found == [Raw(("ns", "a"), good)]
        assert (page.resource_version, page.continue_token) == ("77", "token")
        assert [problem.key for problem in problems] == [("ns", "c"), None]

    def test_events(self) -> None:
        """Kind, key, object and resourceVersion of an event; dull and bad objects keep key and version."""
        read = protobuf_codec().decode_event
        good = meta("a", "ns", "5") + write_bytes_field(2, b"fine")
        assert read(frame("ADDED", wrap("v1", "X", good)))[:6] == (
            "ADDED",
            ("ns", "a"),
            Raw(("ns", "a"), good),
            "5",
            None,
            "",
        )
        dull = read(frame("MODIFIED", wrap("v1", "X", meta("a", "ns", "6") + write_bytes_field(2, b"dull"))))
        assert dull[:6] == ("MODIFIED", ("ns", "a"), None, "6", None, "")
        bad = read(frame("MODIFIED", wrap("v1", "X", meta("a", "ns", "7") + write_bytes_field(2, b"bad"))))
        assert bad[:5] == ("MODIFIED", ("ns", "a"), None, "7", None)
        assert "KeyError" in bad.problem

    @given(
        st.text(min_size=1, max_size=300),
        st.text(max_size=20),
        st.text("0123456789", min_size=1, max_size=20),
        st.randoms(),
    )
    def test_metadata_in_any_order(self, name: str, namespace: str, rv: str, chance: random.Random) -> None:
        """Key and version are found whatever surrounds them, in any order of the fields."""
        parts = [
            write_bytes_field(n, v.encode())
            for n, v in ((1, name), (3, namespace), (6, rv), (5, "uid"), (17, "x" * 200))
        ]
        parts.append(write_varint_field(7, 300))
        for _ in range(3):
            raw = write_bytes_field(1, b"".join(parts)) + write_bytes_field(2, b"dull")
            found = protobuf_codec().decode_event(frame("ADDED", wrap("v1", "X", raw)))
            assert (found.key, found.resource_version) == ((namespace, name), rv)
            chance.shuffle(parts)

    def test_bookmark(self) -> None:
        """A bookmark has a version only, and is not decoded as an object."""
        found = protobuf_codec().decode_event(
            frame("BOOKMARK", wrap("v1", "X", meta("", "", "99") + write_bytes_field(2, b"bad")))
        )
        assert found[:6] == ("BOOKMARK", None, None, "99", None, "")

    def test_error(self) -> None:
        """An ERROR event carries the exception that its Status makes."""
        found = protobuf_codec().decode_event(frame("ERROR", wrap("v1", "Status", write_varint_field(6, 410))))
        assert isinstance(found.status, Gone)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Arbitrary lists and events raise CodecError or come out as values."""
        for body in (data, MAGIC + data):
            with contextlib.suppress(CodecError):
                protobuf_codec().decode_list(body).whole()
        for body in (
            data,
            frame("ADDED", data),
            frame("ADDED", MAGIC + data),
            frame("ERROR", data),
            frame("ADDED", wrap("v1", "X", data)),
        ):
            with contextlib.suppress(CodecError):
                protobuf_codec().decode_event(body)

    @given(
        st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "OTHER"]),
        st.binary(max_size=200),
        st.sampled_from([b"", b"\x1a\x00\x22\x00", b"\x1a\x00", b"\x1a\x01x", b"\x22\x01x"]),
        st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=2)), max_size=2),
    )
    def test_the_usual_form(self, kind: str, raw: bytes, rest: bytes, damage: list[tuple[int, bytes]]) -> None:
        """The short way to an event's object leads where the walk over all fields leads, on any frame that it takes."""
        made = bytearray(frame(kind, wrap("certificates.k8s.io/v1", "CertificateSigningRequest", raw) + rest))
        for place, some in damage:
            made[place : place + len(some)] = some
        data = bytes(made)
        short = _opened(data)
        if short is not None:
            assert short == _walked(data)
        usual = kind in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"} and rest in (b"", b"\x1a\x00\x22\x00")
        assert damage or (short is not None) == usual

    def test_what_is_gone_is_not_decoded(self) -> None:
        """Of an object that was deleted only its key is read."""

        def decode(_raw: bytes) -> Raw | None:
            raise AssertionError

        codec = ProtobufCodec(decode, lambda obj: obj.key)
        event = codec.decode_event(frame("DELETED", wrap("v1", "X", meta("a", "n", "7"))))
        assert (event.type, event.key, event.object, event.resource_version) == ("DELETED", ("n", "a"), None, "7")
        assert event.problem == ""

    def test_media_types(self) -> None:
        """Lists and watches ask for protobuf; a watch for its stream form."""
        assert protobuf_codec().accept == "application/vnd.kubernetes.protobuf"
        assert protobuf_codec().watch_accept == "application/vnd.kubernetes.protobuf;stream=watch"


class TestJson:
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Arbitrary lists and events raise CodecError or come out as values."""
        reader = JsonCodec(Thing)
        for body in (data, b'{"metadata":{},"items":[' + data + b"]}"):
            with contextlib.suppress(CodecError):
                reader.decode_list(body).whole()
        for body in (data, b'{"type":"ADDED","object":' + data + b"}", b'{"type":"ERROR","object":' + data + b"}"):
            with contextlib.suppress(CodecError):
                reader.decode_event(body)

    def test_bookmark_is_not_decoded(self) -> None:
        """A bookmark's object lacks everything but the version, and is not a problem."""
        found = JsonCodec(Thing).decode_event(
            b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"},"value":7}}'
        )
        assert found[:6] == ("BOOKMARK", None, None, "9", None, "")

    def test_null_items(self) -> None:
        """An empty list may be null, as Go writes it."""
        page = JsonCodec(Thing).decode_list(b'{"metadata":{"resourceVersion":"4"},"items":null}')
        assert (page.whole(), page.resource_version, page.continue_token) == (([], []), "4", "")
