"""Key usages: Kubernetes' names, the bits of KeyUsage and the identifiers of ExtendedKeyUsage.

Names: k8s.io/api/certificates/v1 KeyUsage; what each means: cert-manager pkg/api/util/usages.go and RFC 5280,
4.2.1.3 and 4.2.1.12. Pure functions and constants.
"""

import functools
from collections.abc import Sequence

from issuers.errors import TemplateError
from issuers.x509 import der

# Bit n of KeyUsage stands at index n.
KEY_USAGES = (
    "digital signature",
    "content commitment",
    "key encipherment",
    "data encipherment",
    "key agreement",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
)
_BITS = {name: index for index, name in enumerate(KEY_USAGES)} | {"signing": 0}

_KEY_PURPOSES = "1.3.6.1.5.5.7.3."
EXTENDED_USAGES = {
    "any": "2.5.29.37.0",
    "server auth": _KEY_PURPOSES + "1",
    "client auth": _KEY_PURPOSES + "2",
    "code signing": _KEY_PURPOSES + "3",
    "email protection": _KEY_PURPOSES + "4",
    "s/mime": _KEY_PURPOSES + "4",
    "ipsec end system": _KEY_PURPOSES + "5",
    "ipsec tunnel": _KEY_PURPOSES + "6",
    "ipsec user": _KEY_PURPOSES + "7",
    "timestamping": _KEY_PURPOSES + "8",
    "ocsp signing": _KEY_PURPOSES + "9",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
    "netscape sgc": "2.16.840.1.113730.4.1",
}
# Go knows these two, Kubernetes has no name for them: a CSR that carries them can never match what is asked.
_NAMELESS = ("1.3.6.1.4.1.311.2.1.22", "1.3.6.1.4.1.311.61.1.1")

_NAME_OF = {oid: name for name, oid in reversed(EXTENDED_USAGES.items())} | {oid: oid for oid in _NAMELESS}

# There are 23 names. The limits also keep hostile values from filling the caches below.
MAX_USAGES = 64
_KEY_USAGE_BYTES = 2

DEFAULT_USAGES = ("digital signature", "key encipherment")
CERT_SIGN = "cert sign"


def extended_usage_name(oid: str) -> str | None:
    """Kubernetes' name of an extended usage (the identifier itself for two that have none), None if nobody knows it."""
    return _NAME_OF.get(oid)


def key_usage_names(bits: int) -> tuple[str, ...]:
    """Names of the bits that are set, in the order of the bits (bit n of the extension is 1 << n here)."""
    return tuple(name for index, name in enumerate(KEY_USAGES) if bits >> index & 1)


@functools.lru_cache(maxsize=1024)
def _split(usages: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    if len(usages) > MAX_USAGES:
        raise TemplateError("usages", f"{len(usages)} usages; at most {MAX_USAGES} are accepted")
    bits = 0
    extended: list[str] = []
    unknown: list[str] = []
    for usage in usages:
        if usage in _BITS:
            bits |= 1 << _BITS[usage]
        elif usage in EXTENDED_USAGES:
            extended.append(_NAME_OF[EXTENDED_USAGES[usage]])
        else:
            unknown.append(usage)
    if unknown:
        raise TemplateError("usages", f"unknown key usages: {', '.join(repr(name[:64]) for name in unknown)}")
    return bits, tuple(extended)


def split_usages(usages: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Give (KeyUsage bits, extended usages by their canonical names, in order and as often as asked).

    Raises TemplateError for a name that Kubernetes does not have.
    """
    return _split(tuple(usages))


def encode_key_usage(bits: int) -> bytes:
    """Write the KeyUsage BIT STRING without trailing zero bits (X.690, 11.2.2). `bits` are not 0: RFC 5280 wants one."""
    text = f"{bits:b}"[::-1]
    unused = -len(text) % 8
    return der.tlv(
        der.BIT_STRING, bytes((unused,)) + int(text + "0" * unused, 2).to_bytes((len(text) + unused) // 8, "big")
    )


@functools.lru_cache(maxsize=256)
def decode_key_usage(value: bytes) -> int:
    """Read a KeyUsage extension's value into bits. Raises der.DerError; a bit that has no meaning is refused."""
    start, stop = der.only(value, 0, len(value), der.BIT_STRING)
    if start == stop:
        raise der.DerError("a BIT STRING without content")
    unused = value[start]
    content = value[start + 1 : stop]
    if len(content) > _KEY_USAGE_BYTES:
        raise der.DerError("a KeyUsage with bits that have no meaning")
    number = int.from_bytes(content, "big")
    if unused > 7 or (unused and not content) or number & ((1 << unused) - 1):
        raise der.DerError("a BIT STRING with broken unused bits")
    width = len(content) * 8
    bits = sum(1 << index for index in range(width) if number >> (width - 1 - index) & 1)
    if bits >> len(KEY_USAGES):
        raise der.DerError("a KeyUsage with bits that have no meaning")
    return bits


def encode_extended_key_usage(extended: Sequence[str], unknown: Sequence[str]) -> bytes:
    """Write ExtKeyUsageSyntax: names as of `split_usages`, then dotted identifiers that no one has a name for."""
    oids = [EXTENDED_USAGES.get(name, name) for name in extended]
    return der.sequence(*[der.encode_object_identifier(oid) for oid in (*oids, *unknown)])


@functools.lru_cache(maxsize=256)
def decode_extended_key_usage(value: bytes) -> tuple[str, ...]:
    """Read ExtKeyUsageSyntax into dotted identifiers. Raises der.DerError, also for an empty list."""
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    if pos == end:
        raise der.DerError("an empty list of extended key usages")
    oids: list[str] = []
    while pos < end:
        if len(oids) == MAX_USAGES:
            raise der.DerError(f"more than {MAX_USAGES} extended key usages")
        start, pos = der.expect(value, pos, end, der.OBJECT_IDENTIFIER)
        oids.append(der.object_identifier(value[start:pos]))
    return tuple(oids)
