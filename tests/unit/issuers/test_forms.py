"""DER and PEM, read and written: each limit at its edge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.x509 import der, pem
from tests.vectors import craft


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536, 70000])
def test_elements_of_every_length_are_written_as_der(size: int) -> None:
    """Our writer and the tests' own one agree on every form of length, and the reader takes it back."""
    content = b"x" * size
    written = der.tlv(0x04, content)
    assert written == craft.tlv(0x04, content)
    assert der.only(written, 0, len(written), 0x04) == (len(written) - size, len(written))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "truncated"),
        ("04", "truncated"),
        ("0401", "truncated"),
        ("048201", "truncated"),
        ("0481ff00", "truncated"),
        ("04810100", "longer than needed"),
        ("04817f" + "00" * 127, "longer than needed"),
        ("04820080" + "00" * 128, "longer than needed"),
        ("0480", "indefinite"),
        ("048400000001", "indefinite or too long"),
        ("1f0100", "more than one byte"),
        ("050000", "trailing data"),
        ("0500", "tag 0x05 where 0x04"),
    ],
)
def test_what_is_not_der_is_refused(data: str, message: str) -> None:
    """Each second spelling of a length, each cut and each surplus has its own message."""
    raw = bytes.fromhex(data)
    with pytest.raises(der.DerError, match=message):
        der.only(raw, 0, len(raw), 0x05 if message == "trailing data" else 0x04)


def test_reading_stops_at_the_given_end() -> None:
    """An element may not reach beyond the element around it, though there are more bytes behind."""
    data = bytes.fromhex("04020000ffff")
    assert der.element(data, 0, 4) == (0x04, 2, 4)
    for end in (0, 1, 2, 3):
        with pytest.raises(der.DerError, match="truncated"):
            der.element(data, 0, end)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 2**31, 2**158, 2**159 - 1])
def test_integers_come_back(value: int) -> None:
    """What is written is the shortest form, positive, and is read back."""
    written = der.integer(value)
    assert written == craft.integer(value)
    assert der.unsigned(written, 2, len(written)) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("0001", "longer"),
        ("007f", "longer"),
        ("ffff", "longer"),
        ("ff80", "longer"),
        ("ff8000", "longer"),
        ("000100", "longer"),
        ("80", "negative"),
    ],
)
def test_integers_in_another_form_are_refused(content: str, message: str) -> None:
    """Padding and negative numbers are refused, 0x00 before a high bit is not."""
    raw = bytes.fromhex(content)
    with pytest.raises(der.DerError, match=message):
        der.unsigned(raw, 0, len(raw))
    assert der.unsigned(b"\x00\x80", 0, 2) == 128
    der.check_integer(b"\xff\x7f", 0, 2)


@pytest.mark.parametrize(
    "dotted",
    [
        "0.0",
        "0.39",
        "1.0",
        "1.39",
        "2.5.4.3",
        "2.40",
        "2.999.1",
        "1.2.840.113549.1.1.1",
        "1.3.127.128.16383.16384.2147483647",
    ],
)
def test_object_identifiers_come_back(dotted: str) -> None:
    """Written and read identifiers agree with the tests' own writer."""
    written = der.encode_object_identifier(dotted)
    assert written == craft.oid(dotted)
    assert der.object_identifier(written[2:]) == dotted


@pytest.mark.parametrize(
    "dotted", ["", "1", "1.", ".1", "3.1", "0.40", "1.40", "1.2.-3", "1.2.x", "1.2.٣", "1.2.2147483648", "1..2"]
)
def test_what_is_no_object_identifier_is_refused(dotted: str) -> None:
    """A text that is not an identifier is refused and not guessed at."""
    with pytest.raises(der.DerError, match="is not an object identifier"):
        der.encode_object_identifier(dotted)


def test_the_length_of_an_object_identifier_is_limited() -> None:
    """64 bytes are read, 65 are not: what is read is cached."""
    assert der.object_identifier(b"\x2a" + b"\x01" * 63) == "1.2" + ".1" * 63
    with pytest.raises(der.DerError, match="of more than 64 bytes"):
        der.object_identifier(b"\x2a" + b"\x01" * 64)


@given(st.binary(max_size=12))
def test_an_object_identifier_has_one_spelling(content: bytes) -> None:
    """Whatever is read as an identifier is written back with the same bytes."""
    try:
        dotted = der.object_identifier(content)
    except der.DerError:
        return
    try:
        written = der.encode_object_identifier(dotted)
    except der.DerError:
        # 2.x may have a first byte beyond what arcs allow (2.2147483648 - 80): read, never written.
        assert dotted.startswith("2.")
        return
    assert written[2:] == content


def test_sets_are_sorted() -> None:
    """DER wants the elements of a SET OF in order."""
    assert der.set_of([b"\x05\x00", b"\x02\x01\x00"]) == bytes.fromhex("31050201000500")


def test_depth_is_limited() -> None:
    """Nested elements are followed to a depth that no honest value has, and no further."""
    nested = b""
    for _ in range(16):
        nested = craft.seq(nested)
    der.check_depth(nested, 0, len(nested))
    nested = craft.seq(nested)
    with pytest.raises(der.DerError, match="nested too deeply"):
        der.check_depth(nested, 0, len(nested))


CERT = pem.encode("CERTIFICATE", b"0123456789" * 10)


def test_pem_is_written_as_go_writes_it() -> None:
    """Lines of 64 characters, a newline at the end; no empty line when the last one is full."""
    assert craft.pem(b"0123456789" * 10, "CERTIFICATE") == CERT
    assert pem.encode("X", b"x" * 48) == b"-----BEGIN X-----\n" + b"eHh4" * 16 + b"\n-----END X-----\n"


def test_blocks_are_found_between_comments() -> None:
    """Comments and CRLF are passed over; the blocks come in order."""
    text = b"subject=a\n" + CERT + b"# more\n" + CERT.replace(b"\n", b"\r\n") + pem.encode("EC PRIVATE KEY", b"k")
    data = b"0123456789" * 10
    assert pem.read_blocks(text) == [("CERTIFICATE", data), ("CERTIFICATE", data), ("EC PRIVATE KEY", b"k")]
    assert pem.read_blocks(b"nothing here") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x" + CERT, "broken BEGIN line"),
        (CERT.replace(b"-----\n", b"----- x\n", 1), "broken BEGIN line"),
        (CERT.replace(b"BEGIN CERT", b"BEGIN cert"), "broken BEGIN line"),
        (CERT.replace(b"END CERT", b"END SERT"), "without its END"),
        (CERT[:60], "without its END"),
        (CERT[:60] + b"\n" + CERT, "without its END"),
        (CERT.replace(b"-----\n", b"-----\nA: b\n\n", 1), "with headers$"),
        (CERT.replace(b"-----\n", b"-----\nProc-Type: 4,ENCRYPTED\n\n", 1), "it is encrypted"),
        (CERT.replace(b"MDEy", b"MD*y"), "not canonical base64"),
        (CERT.replace(b"\n-----END", b"-----END"), "without its END"),
        (CERT.replace(b"MDEy", b"\x0cMDEy"), "not canonical base64"),
        (CERT.replace(b"-----END CERTIFICATE-----", b"-----END CERTIFICATE-----BEGIN X-----"), "more on its END line"),
        (b"-----BEGIN X-----\n-----END X-----\n", "is empty"),
    ],
)
def test_broken_blocks_are_refused(text: bytes, message: str) -> None:
    """A stored text is read whole or not at all: no block is silently left out."""
    with pytest.raises(pem.PemError, match=message):
        pem.read_blocks(text)


def test_the_size_limit_of_a_request_is_exact() -> None:
    """A text of 64 KiB is read, one byte more is not."""
    from issuers.errors import MalformedRequest  # noqa: PLC0415 - only this test reads a whole request
    from issuers.request import read_request  # noqa: PLC0415

    good = craft.Csr().pem()
    fill = 65536 - len(good)
    assert read_request(good + b"\n" * fill).uris == (craft.FOO,)
    with pytest.raises(MalformedRequest, match="65537 bytes; at most 65536"):
        read_request(good + b"\n" * (fill + 1))


@pytest.mark.parametrize("rest", [b"\r ", b"\x0b", b" \x0c\n", b"\r\r\n"])
def test_white_space_that_go_does_not_take_for_a_lines_end(rest: bytes) -> None:
    """What follows END on its line is nothing to Go but spaces and tabs; else it finds no request there."""
    text = pem.encode("CERTIFICATE REQUEST", b"\x30\x00").rstrip(b"\n")
    assert pem.read_request(text + b" \t\r\n\n \n") == pem.read_request(text) == b"\x30\x00"
    with pytest.raises(pem.PemError, match="data after the PEM block"):
        pem.read_request(text + rest)
