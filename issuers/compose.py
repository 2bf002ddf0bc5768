"""Writes the CSR of a Certificate as cert-manager's controller does (pkg/util/pki GenerateCSR and EncodeCSR).

Pure but for the signature's own randomness. Safe in any thread; an RSA-8192 signature takes 10 ms.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from issuers.errors import TemplateError
from issuers.x509 import der, extensions, keys, pem
from issuers.x509.general_names import encode_general_names
from issuers.x509.keys import PrivateKey
from issuers.x509.literal_subject import common_name_of, read_literal_subject
from issuers.x509.name_constraints import Constraints, encode_name_constraints
from issuers.x509.subject import EMPTY_NAME, Subject, encode_name
from issuers.x509.usages import (
    CERT_SIGN,
    DEFAULT_USAGES,
    encode_extended_key_usage,
    encode_key_usage,
    split_usages,
)

_VERSION_0 = b"\x02\x01\x00"
_ATTRIBUTES = 0xA0
_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")

T = TypeVar("T")


def compose_request(
    key: PrivateKey,
    *,
    subject: Subject | None = None,
    literal_subject: str = "",
    dns_names: Sequence[str] = (),
    ip_addresses: Sequence[str] = (),
    email_addresses: Sequence[str] = (),
    uris: Sequence[str] = (),
    other_names: Sequence[tuple[str, str]] = (),
    usages: Sequence[str] = (),
    is_ca: bool = False,
    encode_usages: bool = True,
    encode_basic_constraints: bool = False,
    permitted: Constraints | None = None,
    excluded: Constraints | None = None,
    name_constraints_critical: bool = False,
    signature_algorithm: str | None = None,
) -> bytes:
    """Write the CSR (PEM) that a Certificate stands for.

    `usages` are Kubernetes' names, none means digital signature and key encipherment, a CA gets cert sign as well.
    `other_names` are (dotted identifier, UTF-8 text); `literal_subject` is the whole subject as text (RFC 4514), and
    `subject` is not looked at where there is one. BasicConstraints are left out by default as cert-manager's
    feature gate has it. Raises TemplateError with the Certificate's field for a value that cannot be written.
    """
    literal = _encoded("literalSubject", lambda: read_literal_subject(literal_subject))
    if literal:
        name = _encoded("literalSubject", lambda: encode_name(literal))
        common_name = common_name_of(literal)
    else:
        name = _encoded("subject", (subject or Subject()).encode)
        common_name = subject.common_name if subject else ""
    wanted: list[bytes] = []
    if dns_names or ip_addresses or email_addresses or uris or other_names:
        value = _encoded(
            "subjectAltName",
            lambda: encode_general_names(
                dns_names=dns_names,
                ip_addresses=ip_addresses,
                email_addresses=email_addresses,
                uris=uris,
                other_names=other_names,
            ),
        )
        wanted.append(extensions.encode_extension(extensions.SUBJECT_ALT_NAME, value, critical=name == EMPTY_NAME))
    elif not common_name:
        raise TemplateError("commonName", "there must be a common name or a subject alternative name")
    if encode_usages:
        wanted += _usages((*(tuple(usages) or DEFAULT_USAGES), *((CERT_SIGN,) if is_ca else ())))
    if encode_basic_constraints:
        value = extensions.encode_basic_constraints(is_ca=is_ca, path_length=None)
        wanted.append(extensions.encode_extension(extensions.BASIC_CONSTRAINTS, value, critical=True))
    constraints = _encoded("nameConstraints", lambda: encode_name_constraints(permitted=permitted, excluded=excluded))
    if constraints is not None:
        wanted.append(
            extensions.encode_extension(extensions.NAME_CONSTRAINTS, constraints, critical=name_constraints_critical)
        )
    return pem.encode("CERTIFICATE REQUEST", _signed(key, name, wanted, signature_algorithm))


def _encoded(field: str, encode: Callable[[], T]) -> T:
    try:
        return encode()
    except ValueError as error:
        raise TemplateError(field, str(error)) from None


def _usages(wanted: tuple[str, ...]) -> list[bytes]:
    bits, extended = split_usages(wanted)
    parts = []
    if bits:
        parts.append(extensions.encode_extension(extensions.KEY_USAGE, encode_key_usage(bits), critical=True))
    if extended:
        value = encode_extended_key_usage(extended, ())
        parts.append(extensions.encode_extension(extensions.EXTENDED_KEY_USAGE, value, critical=False))
    return parts


def _signed(key: PrivateKey, name: bytes, wanted: list[bytes], signature_algorithm: str | None) -> bytes:
    try:
        algorithm = keys.ALGORITHMS[signature_algorithm] if signature_algorithm else keys.algorithm_for(key)
        signer = algorithm.signer(key)
    except KeyError:
        raise TemplateError("signatureAlgorithm", f"{signature_algorithm!r} is not known") from None
    except keys.KeyRefused as error:
        raise TemplateError("signatureAlgorithm" if signature_algorithm else "privateKey", str(error)) from None
    attributes = b""
    if wanted:
        attributes = der.sequence(_EXTENSION_REQUEST, der.set_of([der.sequence(*wanted)]))
    info = der.sequence(_VERSION_0, name, keys.public_bytes(key.public_key()), der.tlv(_ATTRIBUTES, attributes))
    return der.sequence(info, algorithm.identifier, der.bit_string(signer(info)))
