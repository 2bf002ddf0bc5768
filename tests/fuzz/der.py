"""DER: one reading, DerError, or KeyRefused; and what is read is written again as the same bytes.

The first byte of an input chooses the reader, the rest is what it reads.
"""

import random
from collections.abc import Callable

from issuers.x509 import der, extensions, usages
from issuers.x509.general_names import encode_general_names, read_general_names
from issuers.x509.keys import KeyRefused, check_public_key, load_public_key, read_signature_algorithm
from issuers.x509.name_constraints import normalize_name_constraints
from issuers.x509.subject import name_text, read_name
from tests.fuzz import mutate as mutations
from tests.fuzz.csr import WORDS as ELEMENTS


def _elements(data: bytes) -> None:
    assert all(uri in data for uri in extensions.decode_uris(data))
    der.check_depth(data, 0, len(data))


def _identifier(data: bytes) -> None:
    start, stop = der.only(data, 0, len(data), der.OBJECT_IDENTIFIER)
    assert der.encode_object_identifier(der.object_identifier(data[start:stop])) == data


def _integer(data: bytes) -> None:
    start, stop = der.only(data, 0, len(data), der.INTEGER)
    assert der.integer(der.unsigned(data, start, stop)) == data


def _name(data: bytes) -> None:
    assert len(name_text(read_name(data, 0, len(data)))) <= 12 * len(data)


def _general_names(data: bytes) -> None:
    names = read_general_names(data)
    again = read_general_names(data) if names.others else None
    if again is None:
        again = read_general_names(
            encode_general_names(
                dns_names=names.dns_names,
                email_addresses=names.email_addresses,
                ip_addresses=names.ip_addresses,
                uris=names.uris,
            )
        )
        # An IPv4 address within IPv6 is written as what it is.
        assert (again.dns_names, again.email_addresses, again.uris) == (
            names.dns_names,
            names.email_addresses,
            names.uris,
        )


def _constraints(data: bytes) -> None:
    once = normalize_name_constraints(data)
    assert normalize_name_constraints(once) == once


def _key_usage(data: bytes) -> None:
    bits = usages.decode_key_usage(data)
    # Zeros at the end are taken, and never written.
    assert not bits or usages.decode_key_usage(usages.encode_key_usage(bits)) == bits


def _extended_key_usage(data: bytes) -> None:
    assert usages.encode_extended_key_usage((), usages.decode_extended_key_usage(data)) == data


def _basic_constraints(data: bytes) -> None:
    is_ca, length = extensions.decode_basic_constraints(data)
    assert extensions.encode_basic_constraints(is_ca=is_ca, path_length=length) == data


def _extensions(data: bytes) -> None:
    found = extensions.read_extensions(data, 0, len(data))
    assert b"".join(extensions.encode_extension(i, v, critical=c) for i, (c, v) in found.items()) == data


def _key_ids(data: bytes) -> None:
    tag = data[:1]
    identifier = (extensions.decode_authority_key_id if tag == b"0" else extensions.decode_subject_key_id)(data)
    assert identifier in data


def _public_key(data: bytes) -> None:
    check_public_key(data)
    load_public_key(data)


def _algorithm(data: bytes) -> None:
    assert read_signature_algorithm(data).identifier == data


READERS: tuple[Callable[[bytes], None], ...] = (
    _elements,
    _identifier,
    _integer,
    _name,
    _general_names,
    _constraints,
    _key_usage,
    _extended_key_usage,
    _basic_constraints,
    _extensions,
    _key_ids,
    _public_key,
    _algorithm,
)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except (der.DerError, KeyRefused) as error:
        assert str(error).isprintable()


def mutate(data: bytes, chance: random.Random, change: mutations.Bytes) -> bytes:
    """Change one element, rarely the reader."""
    if not data or chance.random() < 0.05:
        return change(data)
    return data[:1] + mutations.der(data[1:], chance, change, ELEMENTS)
