"""The protobuf walk: what is well-formed is read, whatever is not raises ProtobufError and nothing else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.encoding import protobuf
from signer.kube.encoding.protobuf import FIXED32, FIXED64, LENGTH, VARINT, Field, ProtobufError
from tests.fakes.envelopes import unwrap, wrap

uint64 = st.integers(0, 2**64 - 1)
numbers = st.integers(1, 2**29 - 1)
one_field = st.one_of(
    st.builds(lambda n, v: Field(n, VARINT, v), numbers, uint64),
    st.builds(lambda n, v: Field(n, LENGTH, v), numbers, st.binary(max_size=300)),
    st.builds(lambda n, v: Field(n, FIXED64, v), numbers, st.binary(min_size=8, max_size=8)),
    st.builds(lambda n, v: Field(n, FIXED32, v), numbers, st.binary(min_size=4, max_size=4)),
)


def encode(fields: list[Field]) -> bytes:
    out = b""
    for number, wire_type, value in fields:
        out += protobuf.write_tag(number, wire_type)
        if isinstance(value, int):
            out += protobuf.varint(value)
        else:
            out += (protobuf.varint(len(value)) if wire_type == LENGTH else b"") + value
    return out


class TestVarint:
    @given(uint64)
    def test_round_trip(self, value: int) -> None:
        """What is written is read back, with the position after it."""
        encoded = protobuf.varint(value)
        assert protobuf.read_varint(b"x" + encoded + b"\xff", 1) == (value, 1 + len(encoded))

    def test_known(self) -> None:
        """150 is 96 01, as in the specification; -1 is ten bytes."""
        assert protobuf.varint(150) == b"\x96\x01"
        assert protobuf.varint(-1) == b"\xff" * 9 + b"\x01"

    @pytest.mark.parametrize(
        "hostile",
        [
            b"",
            b"\x80",
            b"\xff" * 9,
            b"\x80" * 10 + b"\x01",
            b"\x80" * 10 + b"\x00",
            b"\xff" * 9 + b"\x02",
            b"\xff" * 100,
        ],
    )
    def test_hostile(self, hostile: bytes) -> None:
        """Truncated, overlong and too large varints are errors."""
        with pytest.raises(ProtobufError):
            protobuf.read_varint(hostile, 0)

    @pytest.mark.parametrize("value", [2**64, -(2**63) - 2**64])
    def test_too_large_to_write(self, value: int) -> None:
        """Only 64 bits can be written."""
        with pytest.raises(ValueError, match="64 bits"):
            protobuf.varint(value)


class TestScan:
    @given(st.lists(one_field, max_size=8), st.binary(max_size=5), st.binary(max_size=5))
    def test_round_trip(self, fields: list[Field], before: bytes, after: bytes) -> None:
        """Every field of every kind is found with its payload, within the bounds given."""
        body = encode(fields)
        start, end = len(before), len(before) + len(body)
        assert list(protobuf.fields(before + body + after, start, end)) == fields
        for (tag, a, b), field in zip(protobuf.scan(body), fields, strict=True):
            assert tag == field.number << 3 | field.wire_type
            assert (a if field.wire_type == VARINT else body[a:b]) == field.value

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Arbitrary bytes give fields that lie within them, or ProtobufError."""
        try:
            found = protobuf.scan(data)
        except ProtobufError:
            return
        for tag, a, b in found:
            assert tag >= 8
            if tag & 7 != VARINT:
                assert 0 <= a <= b <= len(data)

    @given(st.lists(one_field, min_size=1, max_size=4), st.data())
    def test_truncated(self, fields: list[Field], data: st.DataObject) -> None:
        """A message that ends inside a field is an error, also when more bytes follow in the buffer."""
        body = encode(fields)
        last = len(encode(fields[:-1]))
        cut = data.draw(st.integers(last + 1, len(body) - 1))
        with pytest.raises(ProtobufError):
            protobuf.scan(body[:cut])
        with pytest.raises(ProtobufError):
            protobuf.scan(body, 0, cut)

    @pytest.mark.parametrize("wire_type", [3, 4, 6, 7])
    def test_groups(self, wire_type: int) -> None:
        """Groups and unknown wire types are errors."""
        with pytest.raises(ProtobufError, match="wire type"):
            protobuf.scan(bytes([1 << 3 | wire_type]) + b"\x00" * 20)

    @pytest.mark.parametrize(
        ("hostile", "why"),
        [
            (b"\x00\x01", "field number 0"),
            (b"\x02\x01a", "field number 0"),
            (b"\x80\x00\x01", "field number 0"),
            (b"\xf8\xff\xff\xff\xff\x01\x00", "too large"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "past the end"),
            (b"\x0a\xff\xff\xff\xff\x0f", "past the end"),
            (b"\x0a", "truncated"),
        ],
    )
    def test_hostile(self, hostile: bytes, why: str) -> None:
        """Field number 0, numbers beyond 29 bits, huge lengths and a tag alone are errors that say why."""
        with pytest.raises(ProtobufError, match=why):
            protobuf.scan(hostile)

    def test_end_beyond_the_buffer(self) -> None:
        """A caller's wrong bound is an error, not a read of less."""
        with pytest.raises(ProtobufError):
            protobuf.scan(b"\x08\x01", 0, 9)
        with pytest.raises(ProtobufError):
            protobuf.scan(b"\x0a\x05ab", 0, 7)

    def test_text(self) -> None:
        """Strings are UTF-8."""
        assert protobuf.text("xäx".encode(), 1, 3) == "ä"
        with pytest.raises(ProtobufError, match="UTF-8"):
            protobuf.text(b"\xff", 0, 1)


class TestEnvelope:
    @given(st.binary(max_size=300))
    def test_round_trip(self, raw: bytes) -> None:
        """What is wrapped is unwrapped, type and all."""
        body = wrap("certificates.k8s.io/v1", "CertificateSigningRequest", raw)
        assert unwrap(body) == ("certificates.k8s.io/v1", "CertificateSigningRequest", raw)
        start, end = protobuf.raw_span(b"xx" + body, 2)
        assert (b"xx" + body)[start:end] == raw

    def test_bytes(self) -> None:
        """The envelope is what the API server expects: magic, TypeMeta in field 1, the object in field 2."""
        assert wrap("v1", "Pod", b"abc") == b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x03abc"

    def test_no_raw(self) -> None:
        """An envelope without content is an empty object."""
        assert unwrap(protobuf.MAGIC).raw == b""

    @pytest.mark.parametrize(
        "body", [b"", b"k8s", b"K8s\x00\x12\x00", b"\x12\x00", b"k8s\x00\x12\x05ab", b"k8s\x00\x1a\x04gzip\x12\x00"]
    )
    def test_hostile(self, body: bytes) -> None:
        """No magic, half an envelope, or an encoded one is an error."""
        with pytest.raises(ProtobufError):
            protobuf.raw_span(body)

    @given(st.binary(max_size=100))
    def test_any_bytes(self, data: bytes) -> None:
        """Arbitrary content of an envelope gives an envelope or ProtobufError."""
        with contextlib.suppress(ProtobufError):
            unwrap(protobuf.MAGIC + data)
