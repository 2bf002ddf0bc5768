"""What is made from a seal is, byte for byte, what is made and checked in the ordinary way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.certificate import _in_full, _sealed, sign
from issuers.errors import SigningFailed
from issuers.inspection import read_certificate
from issuers.seal import kind_of, seal
from issuers.template import CertificateTemplate
from issuers.x509 import der
from issuers.x509.keys import public_bytes
from issuers.x509.subject import EMPTY_NAME
from tests import pki
from tests.unit.issuers.signing import NOW, SUBJECT, authority

CA = authority()
SERIAL = 1 << 158 | 12345
SPKI = {kind: public_bytes(pki.key(kind).public_key()) for kind in ("rsa", "p256", "p384", "ed25519", "rsa3072")}
BEGIN = NOW.replace(microsecond=0)


def template(**fields: object) -> CertificateTemplate:
    usual = CertificateTemplate(
        spki=SPKI["p256"],
        subject_der=EMPTY_NAME,
        san_der=der.sequence(der.tlv(0x86, b"spiffe://cluster.local/ns/foo/sa/default")),
        not_before=BEGIN,
        not_after=BEGIN + timedelta(days=1),
        usages=pki.WORKLOAD_USAGES,
        names_key=True,
    )
    return replace(usual, **fields)  # type: ignore[arg-type]


urls = st.lists(st.sampled_from(["http://a", "http://b/c"]), max_size=2).map(tuple)
templates = st.builds(
    template,
    spki=st.sampled_from(sorted(SPKI.values())),
    subject_der=st.sampled_from([EMPTY_NAME, SUBJECT]),
    san_der=st.none() | st.integers(0, 70_000).map(lambda size: der.sequence(der.tlv(0x86, b"x" * size))),
    not_before=st.integers(-2000, 7000).map(lambda days: BEGIN + timedelta(days=days, seconds=days)),
    not_after=st.integers(7001, 12_000).map(lambda days: BEGIN + timedelta(days=days, seconds=-days)),
    is_ca=st.booleans(),
    usages=st.sampled_from([pki.WORKLOAD_USAGES, pki.WORKLOAD_USAGES[:2], ("server auth",), ("any",), ()]),
    unknown_extended_key_usages=st.sampled_from([(), ("1.2.3.4",)]),
    names_key=st.booleans(),
    crl_distribution_points=urls,
    ocsp_servers=urls,
    issuing_certificate_urls=urls,
)


@given(templates, st.integers(1, (1 << 159) - 1))
def test_any_certificate(wish: CertificateTemplate, serial: int) -> None:
    """Whatever is decided, the bytes that are signed are those of the ordinary way."""
    assert (
        read_certificate(sign(wish, CA, serial=serial).der).tbs == read_certificate(_in_full(wish, CA, serial).der).tbs
    )


@given(st.integers(0, 159))
def test_serial_numbers_of_each_length(bits: int) -> None:
    """A serial number of any length is written in its shortest form."""
    serial = 1 << bits if bits < 159 else (1 << 159) - 1
    assert read_certificate(sign(template(), CA, serial=serial).der).serial == serial


def test_what_has_a_seal() -> None:
    """A workload's certificate has one, which is made once; all others are read back one by one."""
    _sealed.cache_clear()
    for n in range(5):
        sign(template(san_der=der.sequence(der.tlv(0x86, b"x" * n * 60))), CA, serial=SERIAL + n)
    assert _sealed.cache_info()[:2] == (4, 1)
    for fields in (
        {"is_ca": True},
        {"san_der": None},
        {"name_constraints_der": b"x"},
        {"spki": SPKI["p384"]},
        {"not_after": datetime(2050, 1, 1, tzinfo=UTC)},
        {"path_length": 0},
    ):
        assert kind_of(template(**fields), SERIAL) is None
    assert kind_of(template(), 1 << 150) is None
    assert kind_of(template(), SERIAL) is not None


def test_each_ca_has_its_own() -> None:
    """A renewed CA, and another tenant's, never sign with the constants of the former."""
    others = [CA, authority(pki.CA("other", now=NOW)), authority(pki.CA("root", now=NOW))]
    for one in others:
        fields = read_certificate(sign(template(), one, serial=SERIAL).der)
        assert (fields.issuer, fields.algorithm) == (one.subject_der, one.algorithm)
        assert fields.tbs == read_certificate(_in_full(template(), one, SERIAL).der).tbs


@pytest.mark.parametrize("wrong", ["a byte more", "another byte", "another serial number", "the first again"])
def test_a_seal_that_would_lead_elsewhere(wrong: str) -> None:
    """When the two samples differ in more than their slots there is no seal."""
    calls = []

    def make(wish: CertificateTemplate, serial: int) -> bytes:
        calls.append((wish, serial))
        made = read_certificate(_in_full(wish, CA, serial + (wrong == "another serial number")).der).tbs
        if len(calls) == 1:
            return made
        if wrong == "the first again":
            return read_certificate(_in_full(*calls[0][:1], CA, calls[0][1]).der).tbs
        return made + b"\0" if wrong == "a byte more" else made[:60] + bytes([made[60] ^ 1]) + made[61:]

    kind = kind_of(template(), SERIAL)
    assert kind is not None
    assert seal(kind, make) is None


def test_what_is_wrong_in_a_sample_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is not as decided makes no seal, and is not given out."""
    _sealed.cache_clear()
    monkeypatch.setattr("issuers.certificate.assembly.authority_key_extension", lambda _: b"")
    with pytest.raises(SigningFailed, match="missing extension"):
        sign(template(), CA, serial=SERIAL)
    assert _sealed.cache_info().currsize == 0
