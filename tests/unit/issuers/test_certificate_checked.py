"""A certificate that is not what was decided never gets out: the finished bytes are read back."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from issuers import assembly
from issuers.certificate import sign
from issuers.errors import SigningFailed
from issuers.x509.subject import EMPTY_NAME
from tests.unit.issuers.signing import SUBJECT, authority, decide, parsed, request
from tests.vectors import craft

BASE = dataclasses.replace(
    decide(
        request(
            craft.extension(craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a.example")))), craft.TRUE),
            subject=SUBJECT,
        ),
        is_ca=True,
        usages=("cert sign", "client auth", "server auth"),
        crl_distribution_points=["http://crl"],
        ocsp_servers=["http://ocsp"],
        issuing_certificate_urls=["http://ca"],
    ),
    path_length=1,
    unknown_extended_key_usages=("1.2.3.4",),
)


OTHER_NAMES = craft.seq(craft.uri(craft.BAR))


# What is signed instead of what was decided, and what the check must say.
SLIPS: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"spki": craft.spki(craft.p256(2))}, "subjectPublicKeyInfo, extension 2.5.29.14"),
    "subject": ({"subject_der": craft.EMPTY_O}, "subject"),
    "no subject": ({"subject_der": EMPTY_NAME}, "subject, extension 2.5.29.17"),
    "names": ({"san_der": OTHER_NAMES}, "extension 2.5.29.17"),
    "no names": ({"san_der": None}, "missing extension 2.5.29.17"),
    "start": ({"not_before": BASE.not_before - timedelta(seconds=1)}, "notBefore"),
    "end": ({"not_after": BASE.not_after + timedelta(seconds=1)}, "notAfter"),
    "no CA": ({"is_ca": False}, "extension 2.5.29.19, missing extension 2.5.29.14"),
    "path length": ({"path_length": 2}, "extension 2.5.29.19"),
    "no path length": ({"path_length": None}, "extension 2.5.29.19"),
    "key usage": ({"usages": ("crl sign", "client auth", "server auth")}, "extension 2.5.29.15"),
    "more key usage": ({"usages": ("cert sign", "crl sign", "client auth", "server auth")}, "extension 2.5.29.15"),
    "no key usage": ({"usages": ("client auth", "server auth")}, "missing extension 2.5.29.15"),
    "extended usage": ({"usages": ("cert sign", "client auth")}, "extension 2.5.29.37"),
    "order of usages": ({"usages": ("cert sign", "server auth", "client auth")}, "extension 2.5.29.37"),
    "unknown usage": ({"unknown_extended_key_usages": ()}, "extension 2.5.29.37"),
    "name constraints": (
        {"name_constraints_der": craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("b.example"))))},
        "extension 2.5.29.30",
    ),
    "no name constraints": ({"name_constraints_der": None}, "missing extension 2.5.29.30"),
    "constraints not critical": ({"name_constraints_critical": False}, "extension 2.5.29.30"),
    "revocation list": ({"crl_distribution_points": ("http://evil",)}, "extension 2.5.29.31"),
    "no revocation list": ({"crl_distribution_points": ()}, "missing extension 2.5.29.31"),
    "ocsp": ({"ocsp_servers": ("http://evil",)}, "extension 1.3.6.1.5.5.7.1.1"),
    "issuer url": ({"issuing_certificate_urls": ("http://evil",)}, "extension 1.3.6.1.5.5.7.1.1"),
    "no access": (
        {"ocsp_servers": (), "issuing_certificate_urls": ()},
        "missing extension 1.3.6.1.5.5.7.1.1",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_was_not_decided_does_not_get_out(slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever field the builder got wrong, the certificate is thrown away and the field is named."""
    changes, named = SLIPS[slip]
    build = assembly.to_be_signed
    monkeypatch.setattr(
        assembly,
        "to_be_signed",
        lambda template, **others: build(dataclasses.replace(template, **changes), **others),
    )
    with pytest.raises(SigningFailed) as failed:
        sign(BASE, authority(), serial=1)
    assert str(failed.value) == f"what was signed differs from what was decided: {named}"


WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "serial": ({"serial": 2}, "serialNumber"),
    "issuer": ({"issuer": craft.EMPTY_O}, "issuer"),
    "algorithm": ({"algorithm": craft.SHA256_RSA}, "signatureAlgorithm: inside and outside differ"),
    "authority key": (
        {"authority_key_id": assembly.authority_key_extension(b"x" * 20)},
        "extension 2.5.29.35",
    ),
    "no authority key": ({"authority_key_id": None}, "missing extension 2.5.29.35"),
    "one more extension": (
        {"authority_key_id": assembly.authority_key_extension(b"x" * 20) + craft.extension("1.2.3.4", b"")},
        "extension 2.5.29.35, extension 1.2.3.4",
    ),
    "an extension twice": (
        {"authority_key_id": craft.extension("1.2.3.4", b"") * 2},
        "extension 1.2.3.4 appears twice",
    ),
    "an authority key of another form": (
        {"authority_key_id": craft.extension("2.5.29.35", craft.seq())},
        "extension 2.5.29.35",
    ),
}


@pytest.mark.parametrize("slip", WORDS)
def test_the_signers_part_is_checked_too(slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serial number, issuer, algorithm and key identifier are held against what was decided; nothing may be added."""
    changes, named = WORDS[slip]
    build = assembly.to_be_signed
    monkeypatch.setattr(assembly, "to_be_signed", lambda template, **others: build(template, **(others | changes)))
    with pytest.raises(SigningFailed) as failed:
        sign(BASE, authority(), serial=1)
    assert str(failed.value).endswith(f": {named}")


def test_the_baseline_of_the_slips_is_signed() -> None:
    """Without a slip the same template is signed."""
    assert parsed(sign(BASE, authority(), serial=1)).serial_number == 1


GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda tbs: tbs[:0],
    "a cut": lambda tbs: tbs[:-1],
    "no version": lambda tbs: tbs.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"),
    "a time without Z": lambda tbs: tbs.replace(b"120000Z", b"120000z"),
    "a month 13": lambda tbs: tbs.replace(b"261122", b"261322"),
    "a time in letters": lambda tbs: tbs.replace(b"261122", b"2611x2"),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_cannot_be_read_does_not_get_out(garbage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no certificate are not passed on because someone signed them."""
    build, spoil = assembly.to_be_signed, GARBAGE[garbage]
    monkeypatch.setattr(assembly, "to_be_signed", lambda template, **others: spoil(build(template, **others)))
    with pytest.raises(SigningFailed, match=r"^what was signed cannot be read: "):
        sign(BASE, authority(), serial=1)
