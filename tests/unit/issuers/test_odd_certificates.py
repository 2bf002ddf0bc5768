"""CAs with odd certificates: what our strict reader takes, the library reads without a warning; what is odd is told."""

import itertools
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.authority import clock_here, load_authority
from issuers.errors import InvalidAuthority
from tests import pki
from tests.vectors import craft

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
KEY = craft.p256()
BASIC = craft.extension(craft.BC, craft.seq(craft.TRUE), craft.TRUE)

SERIALS = (-(1 << 63), -1, 0, 1, 127, 128, (1 << 159) - 1, 1 << 159, 1 << 200)
SUBJECTS = {
    "a name": craft.rdn((craft.CN, craft.tlv(0x0C, b"root"))),
    "a long name": craft.rdn((craft.CN, craft.tlv(0x0C, b"x" * 65))),
    "a country of three letters": craft.rdn(("2.5.4.6", craft.tlv(0x13, b"DEU"))),
    "an empty organization": craft.rdn((craft.ORGANIZATION, craft.tlv(0x0C, b""))),
    "two in one": craft.rdn((craft.CN, craft.tlv(0x0C, b"a")), (craft.UNIT, craft.tlv(0x0C, b"b" * 70))),
    "T61": craft.rdn((craft.CN, craft.tlv(0x14, b"root"))),
    "BMP": craft.rdn((craft.CN, craft.tlv(0x1E, "root".encode("utf-16-be")))),
    "none": b"",
}
_READ = """
import sys
from issuers.x509 import loading
for line in sys.stdin:
    one = loading.certificate(bytes.fromhex(line))
    assert loading.signed_by(one, one) or not one.subject
    one.subject.rfc4514_string(), one.issuer == one.subject, one.extensions, one.serial_number, one.public_key()
"""


def root(serial: int, subject: bytes) -> bytes:
    """A self-signed CA certificate, DER."""
    name, validity = craft.seq(subject), craft.seq(craft.tlv(0x17, b"261121120000Z"), craft.tlv(0x17, b"271121120000Z"))
    tbs = craft.seq(
        b"\xa0\x03\x02\x01\x02",
        craft.integer(serial),
        craft.SHA256_ECDSA,
        name,
        validity,
        name,
        craft.spki(KEY),
        craft.tlv(0xA3, craft.seq(BASIC)),
    )
    return craft.seq(tbs, craft.SHA256_ECDSA, craft.bits(KEY.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def loaded(data: bytes) -> tuple[str, ...]:
    text = craft.pem(data, "CERTIFICATE")
    return load_authority(text, pki.key_pem(KEY), text, now=NOW).doubts


@pytest.mark.heavy
def test_the_library_warns_of_nothing_that_we_take() -> None:
    """With Python's warnings as errors, each certificate that may sign here is read by the library as well."""
    taken = []
    for serial, subject in itertools.product(SERIALS, SUBJECTS.values()):
        data = root(serial, subject)
        try:
            loaded(data)
        except InvalidAuthority:
            continue
        taken.append(data)
    assert len(taken) > 40
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _READ],
        input="\n".join(data.hex() for data in taken),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("serial", SERIALS)
def test_an_odd_serial_number_is_told(serial: int) -> None:
    """0 is told as a doubt, for strict verifiers refuse it; a negative one is refused, in words that say what it is."""
    data = root(serial, SUBJECTS["a name"])
    if serial < 0:
        with pytest.raises(InvalidAuthority, match="its serial number is negative"):
            loaded(data)
        return
    assert any("the serial number 0" in doubt for doubt in loaded(data)) is (serial == 0)


@pytest.mark.parametrize("minutes", range(0, 60, 7))
def test_the_clock_is_not_told_beyond_the_beginning(minutes: int) -> None:
    """Near its beginning the clock that is named is never a time by which the CA would have been valid, or ten minutes before it."""
    begins = NOW + timedelta(minutes=minutes, seconds=1)
    for ahead in range(1, 7200, 97):
        now = begins - timedelta(seconds=ahead)
        said = clock_here(now, begins)
        assert ("in less than ten minutes" in said) is (ahead < 600)
        if ahead >= 600:
            about = datetime.strptime(said.split("about ")[1][:17], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
            assert now - timedelta(minutes=10) < about <= now
