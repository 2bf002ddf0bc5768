"""Certificates of one kind from one CA, put together from constants and slots.

All that a CA signs for keys of one kind and the same usages differs in serial number, times, key, the key's hash and names
alone. So for each kind two are made in the ordinary way, with other contents in each slot, read back and compared whole
(issuers/certificate.py). What surrounds the slots becomes the constants; they count only when they lead from the first of the
two to the second, byte for byte. So what is put together afterwards is equal to what was checked but for its slots, and
what goes into these was decided. Pure functions over frozen values, safe in any thread.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from issuers import assembly
from issuers.template import CertificateTemplate
from issuers.x509 import der, extensions

_EXTENSIONS = 0xA3
_SERIAL_BYTES = 20
_KEY_ID_BYTES = 20
# By the length of a SubjectPublicKeyInfo: all of it before the bits of the key. P-256, and RSA with 2048 bits.
_KEY_HEADS = {
    91: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    294: bytes.fromhex("30820122300d06092a864886f70d01010105000382010f00"),
}
_UTC_TIMES = 30
"""Bytes of two times before 2050: later ones are written otherwise."""
_SAMPLE_TIMES = (datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2042, 11, 12, 13, 14, 15, tzinfo=UTC))


class Kind(NamedTuple):
    """What is the same in all certificates of one seal."""

    key_size: int
    subject_der: bytes
    usages: tuple[str, ...]
    unknown_extended_key_usages: tuple[str, ...]
    names_key: bool
    crl_distribution_points: tuple[str, ...]
    ocsp_servers: tuple[str, ...]
    issuing_certificate_urls: tuple[str, ...]


def kind_of(template: CertificateTemplate, serial: int) -> Kind | None:
    """The kind of a certificate; None for one that is made in the ordinary way.

    That are CAs, those with constraints or without names, other keys than the usual two, dates from 2050 on, and the one serial
    number in 256 that is shorter.
    """
    if template.is_ca or template.san_der is None or template.name_constraints_der is not None:
        return None
    head = _KEY_HEADS.get(len(template.spki))
    # An INTEGER of 20 bytes.
    if head is None or not template.spki.startswith(head) or not 152 <= serial.bit_length() < 160:
        return None
    if template.not_after.year >= 2050 or template.not_before.year < 1950 or template.path_length is not None:
        return None
    return Kind(
        len(template.spki),
        template.subject_der,
        template.usages,
        template.unknown_extended_key_usages,
        template.names_key,
        template.crl_distribution_points,
        template.ocsp_servers,
        template.issuing_certificate_urls,
    )


@dataclass(frozen=True, slots=True)
class Seal:
    """The constants of a kind: around serial number, times and key, then around the key's hash among the extensions."""

    head: bytes
    behind_serial: bytes
    behind_times: bytes
    before_id: bytes
    behind_id: bytes

    def fill(self, template: CertificateTemplate, serial: int) -> bytes:
        """Write the TBSCertificate for a template and a serial number of this kind."""
        return der.sequence(
            self.head,
            serial.to_bytes(_SERIAL_BYTES),
            self.behind_serial,
            _times(template),
            self.behind_times,
            template.spki,
            der.tlv(_EXTENSIONS, der.sequence(self.before_id, _key_id(template), self.behind_id, _names(template))),
        )


def _times(template: CertificateTemplate) -> bytes:
    return assembly.encode_time(template.not_before) + assembly.encode_time(template.not_after)


def _names(template: CertificateTemplate) -> bytes:
    return extensions.encode_extension(
        extensions.SUBJECT_ALT_NAME, template.san_der or b"", critical=template.san_critical
    )


def _key_id(template: CertificateTemplate) -> bytes:
    """As assembly.subject_key_id, for a key whose bits are where those of its kind are."""
    if not template.names_key:
        return b""
    return hashlib.sha256(template.spki[len(_KEY_HEADS[len(template.spki)]) :]).digest()[:_KEY_ID_BYTES]


def seal(kind: Kind, make: Callable[[CertificateTemplate, int], bytes]) -> Seal | None:
    """Make the seal of a kind. `make` signs and checks a whole certificate, and gives its TBSCertificate.

    None where it does not lead to what `make` gives: then each certificate is made in the ordinary way. Raises what that raises.
    """
    (template, serial), second = _sample(kind, b"one", 40), _sample(kind, b"other", 300)
    whole = make(template, serial)
    pos, _ = der.only(whole, 0, len(whole), der.SEQUENCE)
    parts = []
    for slot in (serial.to_bytes(_SERIAL_BYTES), _times(template), template.spki):
        found = whole.find(slot, pos)
        if found < 0:
            return None
        parts.append(whole[pos:found])
        pos = found + len(slot)
    start, _ = der.only(whole, pos, len(whole), _EXTENSIONS)
    start, _ = der.only(whole, start, len(whole), der.SEQUENCE)
    fixed = whole[start : len(whole) - len(_names(template))]
    before, _, behind = fixed.partition(_key_id(template)) if kind.names_key else (fixed, b"", b"")
    made = Seal(parts[0], parts[1], parts[2], before, behind)
    return made if made.fill(template, serial) == whole and made.fill(*second) == make(*second) else None


def _sample(kind: Kind, seed: bytes, names: int) -> tuple[CertificateTemplate, int]:
    """A certificate of a kind with made-up contents, which are found nowhere else in it."""
    head = _KEY_HEADS[kind.key_size]
    noise = hashlib.shake_256(seed).digest(kind.key_size + names + _SERIAL_BYTES)
    begin, end = _SAMPLE_TIMES if seed == b"one" else (_SAMPLE_TIMES[0], _SAMPLE_TIMES[1].replace(second=59))
    template = CertificateTemplate(
        spki=head + noise[: kind.key_size - len(head)],
        subject_der=kind.subject_der,
        san_der=der.sequence(der.tlv(0x86, noise[-names:].hex().encode())),
        not_before=begin,
        not_after=end,
        usages=kind.usages,
        unknown_extended_key_usages=kind.unknown_extended_key_usages,
        names_key=kind.names_key,
        crl_distribution_points=kind.crl_distribution_points,
        ocsp_servers=kind.ocsp_servers,
        issuing_certificate_urls=kind.issuing_certificate_urls,
    )
    return template, 1 << 158 | int.from_bytes(noise[:19])
