"""Certificates read back: a good one field by field, and every broken form of one."""

from datetime import UTC, datetime

import pytest

from issuers.inspection import read_certificate
from issuers.x509 import der
from tests.vectors import craft

TIME = craft.tlv(0x17, b"261122120000Z")
END = craft.tlv(0x18, b"20501122120000Z")
ALGORITHM = craft.SHA256_ECDSA
SPKI = craft.spki(craft.p256())
PARTS: dict[str, bytes] = {
    "version": b"\xa0\x03\x02\x01\x02",
    "serial": craft.integer(7),
    "algorithm": ALGORITHM,
    "issuer": craft.EMPTY_O,
    "validity": craft.seq(TIME, END),
    "subject": craft.seq(),
    "spki": SPKI,
    "extensions": craft.tlv(0xA3, craft.seq(craft.extension("1.2.3", b"x", craft.TRUE))),
    "rest": b"",
}


def certificate(
    *, outer: bytes = ALGORITHM, signature: bytes = craft.bits(b"sig"), after: bytes = b"", **parts: bytes
) -> bytes:
    return craft.seq(craft.seq(*(PARTS | parts).values()), outer, signature, after)


def test_a_certificate_is_read_field_by_field() -> None:
    """Nothing is swapped and nothing is lost."""
    data = certificate()
    fields = read_certificate(data)
    assert fields.tbs == craft.seq(*PARTS.values())
    assert fields.serial == 7
    assert fields.algorithm == ALGORITHM
    assert fields.issuer == craft.EMPTY_O
    assert fields.not_before == datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
    assert fields.not_after == datetime(2050, 11, 22, 12, 0, 0, tzinfo=UTC)
    assert fields.subject == craft.seq()
    assert fields.spki == SPKI
    assert fields.extensions == {craft.oid("1.2.3"): (True, b"x")}
    assert fields.signature == b"sig"


def test_extensions_may_be_missing() -> None:
    """A certificate of version 3 without any is still one."""
    assert read_certificate(certificate(extensions=b"")).extensions == {}


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x17, b"991231235958Z", datetime(1999, 12, 31, 23, 59, 58, tzinfo=UTC)),
        (0x17, b"000102030405Z", datetime(2000, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (0x18, b"20500102030405Z", datetime(2050, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (0x18, b"99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_read(tag: int, text: bytes, expected: datetime) -> None:
    """Both forms, to the second, in UTC."""
    assert read_certificate(certificate(validity=craft.seq(craft.tlv(tag, text), END))).not_before == expected


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x17, b""),
        (0x17, b"2611221200Z"),
        (0x17, b"20261122120000Z"),
        (0x18, b"261122120000Z"),
        (0x18, b"20261122120000.5Z"),
        (0x17, b"261122120000z"),
        (0x17, b"2611221200000"),
        (0x17, b"261322120000Z"),
        (0x17, b"260022120000Z"),
        (0x17, b"260230120000Z"),
        (0x17, b"261122240000Z"),
        (0x17, b"261122126000Z"),
        (0x17, b"261122120060Z"),
        (0x17, b"2x1122120000Z"),
        (0x17, b"261122 20000Z"),
        (0x17, b"-11122120000Z"),
        (0x18, b"00000101000000Z"),
        (0x18, b"2026112212000+Z"),
        (0x13, b"261122120000Z"),
        (0x04, b"20261122120000Z"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_time_is_refused(tag: int, text: bytes, place: int) -> None:
    """Other lengths, zones, fractions, days that do not exist, other kinds of text."""
    times = [TIME, END]
    times[place] = craft.tlv(tag, text)
    with pytest.raises(der.DerError, match=r"^validity: not a time$"):
        read_certificate(certificate(validity=craft.seq(*times)))


BROKEN: dict[str, tuple[bytes, str]] = {
    "version 1": (certificate(version=b""), "version: it is not 3"),
    "version 2": (certificate(version=b"\xa0\x03\x02\x01\x01"), "version: it is not 3"),
    "version 4": (certificate(version=b"\xa0\x03\x02\x01\x03"), "version: it is not 3"),
    "negative serial": (certificate(serial=craft.integer(-1)), "its serial number is negative"),
    "padded serial": (certificate(serial=b"\x02\x02\x00\x01"), "an INTEGER that is longer than needed"),
    "serial of another kind": (certificate(serial=b"\x04\x01\x01"), "tag 0x04 where 0x02 is expected"),
    "two algorithms": (certificate(outer=craft.ED25519), "signatureAlgorithm: inside and outside differ"),
    "algorithm of another kind": (certificate(outer=b"\x05\x00"), "tag 0x05 where 0x30 is expected"),
    "inner algorithm of another kind": (certificate(algorithm=b"\x05\x00"), "tag 0x05 where 0x30 is expected"),
    "issuer of another kind": (certificate(issuer=b"\x31\x00"), "tag 0x31 where 0x30 is expected"),
    "three times": (certificate(validity=craft.seq(TIME, END, END)), "validity: trailing data"),
    "one time": (certificate(validity=craft.seq(TIME)), "truncated"),
    "subject of another kind": (certificate(subject=b"\x31\x00"), "tag 0x31 where 0x30 is expected"),
    "key of another kind": (certificate(spki=b"\x31\x00"), "tag 0x31 where 0x30 is expected"),
    "unique identifier": (certificate(extensions=craft.tlv(0xA1, b"")), "tag 0xa1 where 0xa3 is expected"),
    "after the extensions": (certificate(rest=b"\x05\x00"), "trailing data"),
    "in the extensions": (
        certificate(extensions=craft.tlv(0xA3, craft.seq(), b"\x05\x00")),
        "trailing data",
    ),
    "after the signature": (certificate(after=b"\x05\x00"), "trailing data"),
    "after the certificate": (certificate() + b"\x00", "trailing data"),
    "unused bits": (certificate(signature=craft.bits(b"x", 1)), "signature: not whole bytes"),
    "no bits": (certificate(signature=b"\x03\x00"), "signature: not whole bytes"),
    "signature of another kind": (certificate(signature=b"\x04\x00"), "tag 0x04 where 0x03 is expected"),
    "nothing": (b"", "truncated"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_certificate_is_refused(name: str) -> None:
    """One fault each in a certificate that is good otherwise."""
    data, message = BROKEN[name]
    with pytest.raises(der.DerError) as refused:
        read_certificate(data)
    assert str(refused.value) == message
