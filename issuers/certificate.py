"""Signs what was decided, and checks what was signed before anyone sees it.

The certificate follows cert-manager (pkg/util/pki) and Go's x509.CreateCertificate to the byte;
tests/integration/test_differential.py holds it against cert-manager's own code. The check reads the finished bytes
back and compares every field with the template: of the usual kinds once for each CA, after which they are held by equality
with what was checked (issuers/seal.py). It does not verify the signature again: that would cost more than
making it, and a key that signs wrongly is found when its authority is loaded (a trial signature over fresh bytes).

Pure, given the time and the serial number; `new_serial` is the one source of chance. Safe in any thread.
"""

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from issuers import assembly
from issuers.authority import Authority
from issuers.errors import SigningFailed, TemplateError
from issuers.inspection import CertificateFields, read_certificate
from issuers.seal import Kind, Seal, kind_of, seal
from issuers.template import CertificateTemplate, template_for
from issuers.x509 import der, extensions, keys, pem
from issuers.x509.keys import PrivateKey
from issuers.x509.subject import same_name
from issuers.x509.usages import EXTENDED_USAGES, decode_extended_key_usage, decode_key_usage, split_usages

__all__ = [
    "CertificateTemplate",
    "IssuedCertificate",
    "new_serial",
    "self_sign",
    "sign",
    "template_for",
]

_SERIAL_BITS = 159  # RFC 5280, 4.1.2.2: positive and at most 20 bytes


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A signed certificate. `pem` is it and what follows it up to, but not with, a self-signed root. Times are UTC."""

    pem: bytes
    der: bytes
    serial: int
    not_before: datetime
    not_after: datetime


def new_serial() -> int:
    """Draw a serial number: positive, with 159 bits of chance as in Go."""
    return secrets.randbelow((1 << _SERIAL_BITS) - 1) + 1


def sign(template: CertificateTemplate, authority: Authority, *, serial: int) -> IssuedCertificate:
    """Build the certificate, sign it with the CA's key, check the result against the template.

    It always names the CA's key, which Go leaves out for a CA that does not name it itself, or where issuer and subject
    are one name; it names its own then too, or OpenSSL would take it for self-signed. Whether anybody accepts it is
    asked before (issuers/verify.py). Raises SigningFailed when what came out is not what was decided; then nothing may
    be stored.
    """
    if not (template.names_key or template.is_ca) and same_name(template.subject_der, authority.subject_der):
        template = replace(template, names_key=True)
    kind = kind_of(template, serial)
    sealed = _sealed(authority, kind) if kind is not None else None
    if sealed is None:
        return _in_full(template, authority, serial)
    tbs = sealed.fill(template, serial)
    data = der.sequence(tbs, authority.algorithm, der.bit_string(authority.signer(tbs)))
    text = pem.encode("CERTIFICATE", data) + authority.chain_pem
    return IssuedCertificate(text, data, serial, template.not_before, template.not_after)


# A CA has a handful of kinds: keys, usages, with a policy or without.
@functools.lru_cache(maxsize=2048)
def _sealed(authority: Authority, kind: Kind) -> Seal | None:
    """The seal of a kind of certificates of one CA, made when the first one is asked for. Raises SigningFailed."""
    return seal(kind, lambda template, serial: read_certificate(_in_full(template, authority, serial).der).tbs)


def _in_full(template: CertificateTemplate, authority: Authority, serial: int) -> IssuedCertificate:
    """Build, sign, and read back and compare every field. Raises SigningFailed."""
    return _issue(
        template,
        issuer=authority.subject_der,
        authority_key_id=authority.authority_key_id,
        algorithm=authority.algorithm,
        signer=authority.signer,
        serial=serial,
        chain=authority.chain_pem,
    )


def self_sign(template: CertificateTemplate, key: PrivateKey, *, serial: int) -> IssuedCertificate:
    """Build a certificate that its own key signs: issuer and subject are one, there is no chain.

    Raises TemplateError when `key` is not the key that the template is for or must not sign, SigningFailed as `sign`.
    """
    if keys.public_bytes(key.public_key()) != template.spki:
        raise TemplateError("privateKey", "it is not the key of the request")
    try:
        algorithm = keys.algorithm_for(key)
    except keys.KeyRefused as error:
        raise TemplateError("privateKey", str(error)) from None
    return _issue(
        template,
        issuer=template.subject_der,
        authority_key_id=None,
        algorithm=algorithm.identifier,
        signer=algorithm.signer(key),
        serial=serial,
        chain=b"",
    )


def _issue(
    template: CertificateTemplate,
    *,
    issuer: bytes,
    authority_key_id: bytes | None,
    algorithm: bytes,
    signer: Callable[[bytes], bytes],
    serial: int,
    chain: bytes,
) -> IssuedCertificate:
    identifier = None if authority_key_id is None else assembly.authority_key_extension(authority_key_id)
    tbs = assembly.to_be_signed(
        template, issuer=issuer, authority_key_id=identifier, algorithm=algorithm, serial=serial
    )
    data = der.sequence(tbs, algorithm, der.bit_string(signer(tbs)))
    try:
        fields = read_certificate(data)
    except der.DerError as error:
        raise SigningFailed(f"what was signed cannot be read: {error}") from None
    wrong = _differences(fields, template, issuer, authority_key_id, algorithm, serial)
    if wrong:
        raise SigningFailed(f"what was signed differs from what was decided: {', '.join(wrong)}")
    text = pem.encode("CERTIFICATE", data) + chain
    return IssuedCertificate(text, data, serial, template.not_before, template.not_after)


def _differences(
    fields: CertificateFields,
    template: CertificateTemplate,
    issuer: bytes,
    authority_key_id: bytes | None,
    algorithm: bytes,
    serial: int,
) -> list[str]:
    """Name every field of a certificate that is not as decided; nothing that was not decided may be in it."""
    wrong = [
        name
        for name, same in (
            ("serialNumber", fields.serial == serial),
            ("signature", fields.algorithm == algorithm),
            ("issuer", fields.issuer == issuer),
            ("notBefore", fields.not_before == template.not_before),
            ("notAfter", fields.not_after == template.not_after),
            ("subject", fields.subject == template.subject_der),
            ("subjectPublicKeyInfo", fields.spki == template.spki),
        )
        if not same
    ]
    expected = _expected(template, authority_key_id)
    for identifier, (critical, value) in fields.extensions.items():
        if identifier not in expected or expected[identifier] != (critical, _reading(identifier, value)):
            wrong.append(f"extension {der.object_identifier(identifier[2:])}")
    wrong.extend(
        f"missing extension {der.object_identifier(identifier[2:])}"
        for identifier in expected.keys() - fields.extensions.keys()
    )
    return wrong


def _expected(template: CertificateTemplate, authority_key_id: bytes | None) -> dict[bytes, tuple[bool, object]]:
    """What each extension must say once it is read back (see `_reading`)."""
    bits, extended = split_usages(template.usages)
    purposes = (*(EXTENDED_USAGES[name] for name in extended), *template.unknown_extended_key_usages)
    expected: dict[bytes, tuple[bool, object]] = {
        extensions.BASIC_CONSTRAINTS: (True, (template.is_ca, template.path_length)),
    }
    if bits:
        expected[extensions.KEY_USAGE] = (True, bits)
    if purposes:
        expected[extensions.EXTENDED_KEY_USAGE] = (False, purposes)
    if template.is_ca or template.names_key:
        expected[extensions.SUBJECT_KEY_IDENTIFIER] = (False, assembly.subject_key_id(template.spki))
    if authority_key_id is not None:
        expected[extensions.AUTHORITY_KEY_IDENTIFIER] = (False, authority_key_id)
    if template.san_der is not None:
        expected[extensions.SUBJECT_ALT_NAME] = (template.san_critical, template.san_der)
    if template.name_constraints_der is not None:
        expected[extensions.NAME_CONSTRAINTS] = (template.name_constraints_critical, template.name_constraints_der)
    if template.crl_distribution_points:
        expected[extensions.CRL_DISTRIBUTION_POINTS] = (False, _texts(template.crl_distribution_points))
    if template.ocsp_servers or template.issuing_certificate_urls:
        access = (*template.ocsp_servers, *template.issuing_certificate_urls)
        expected[extensions.AUTHORITY_INFORMATION_ACCESS] = (False, _texts(access))
    return expected


def _texts(urls: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(url.encode("ascii") for url in urls)


def _reading(identifier: bytes, value: bytes) -> object:
    try:
        if identifier == extensions.KEY_USAGE:
            return decode_key_usage(value)
        if identifier == extensions.EXTENDED_KEY_USAGE:
            return decode_extended_key_usage(value)
        if identifier == extensions.BASIC_CONSTRAINTS:
            return extensions.decode_basic_constraints(value)
        if identifier == extensions.SUBJECT_KEY_IDENTIFIER:
            return extensions.decode_subject_key_id(value)
        if identifier == extensions.AUTHORITY_KEY_IDENTIFIER:
            return extensions.decode_authority_key_id(value)
        if identifier in (extensions.CRL_DISTRIBUTION_POINTS, extensions.AUTHORITY_INFORMATION_ACCESS):
            return extensions.decode_uris(value)
    except der.DerError:
        return None
    return value
