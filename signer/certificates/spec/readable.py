"""Would our own reader take the request that a Certificate stands for? Asked before a key is made or anything is written.

issuers/request.py is stricter than cert-manager's API, whose webhook looks at few of these texts. A request that it refuses
would be made, thrown away and made again for ever. So each text is written alone, as it would be in the request, and read
by the code that will read it there: there is no second list of what is allowed. Pure, and bounded by the size of a request.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from issuers.errors import TemplateError
from issuers.request import MAX_PEM_BYTES
from issuers.x509.general_names import MAX_NAMES, encode_general_names, read_general_names
from issuers.x509.literal_subject import encode_literal_subject, read_literal_subject
from issuers.x509.name_constraints import encode_name_constraints, normalize_name_constraints
from issuers.x509.subject import Subject, read_name
from issuers.x509.usages import CERT_SIGN, DEFAULT_USAGES, split_usages
from signer.api import certificate as api

# An RSA 8192 key and its signature have 2.1 kB; the rest of a request but for its names and texts is small.
_REST = 4096
# Bytes around one text: identifiers, tags and lengths. More than there are, so that what passes here fits.
_AROUND = 24
_SHOWN = 80


def unreadable(spec: api.CertificateSpec) -> Iterator[str]:
    """Say, with the field, what would be written into the request and be refused when it is read."""
    texts = {**_subject_texts(spec), **_name_texts(spec), **_constraint_texts(spec)}
    if too_large := _too_large(spec, texts):
        yield too_large
        return
    for field, listed in _subject_texts(spec).items():
        yield from _each(field, listed, _read_subject)
        if len(set(listed)) < len(listed):
            yield f"{field}: a text appears twice"
    yield from _each("spec.literalSubject", (spec.literal_subject,) if spec.literal_subject else (), _read_literal)
    for field, listed in _name_texts(spec).items():
        yield from _each(field, listed, _NAME_READERS[field])
    for index, other in enumerate(spec.other_names):
        yield from _each(f"spec.otherNames[{index}]", [(other.oid, other.utf8_value)], _read_other_name)
    for field, listed in _constraint_texts(spec).items():
        yield from _each(field, listed, _CONSTRAINT_READERS[field.rpartition(".")[2]])
    try:
        split_usages((*(spec.usages or DEFAULT_USAGES), *((CERT_SIGN,) if spec.is_ca else ())))
    except TemplateError as error:
        yield f"spec.{error}"


def _subject_texts(spec: api.CertificateSpec) -> dict[str, tuple[str, ...]]:
    subject = spec.subject or api.Subject()
    return {
        "spec.commonName": (spec.common_name,) if spec.common_name else (),
        "spec.subject.countries": subject.countries,
        "spec.subject.provinces": subject.provinces,
        "spec.subject.localities": subject.localities,
        "spec.subject.streetAddresses": subject.street_addresses,
        "spec.subject.postalCodes": subject.postal_codes,
        "spec.subject.organizations": subject.organizations,
        "spec.subject.organizationalUnits": subject.organizational_units,
        "spec.subject.serialNumber": (subject.serial_number,) if subject.serial_number else (),
    }


def _name_texts(spec: api.CertificateSpec) -> dict[str, tuple[str, ...]]:
    return {
        "spec.dnsNames": spec.dns_names,
        "spec.ipAddresses": spec.ip_addresses,
        "spec.uris": spec.uris,
        "spec.emailAddresses": spec.email_addresses,
    }


def _constraint_texts(spec: api.CertificateSpec) -> dict[str, tuple[str, ...]]:
    constraints = spec.name_constraints or api.NameConstraints()
    return {
        f"spec.nameConstraints.{side}.{kind}": listed
        for side, item in (("permitted", constraints.permitted), ("excluded", constraints.excluded))
        if item is not None
        for kind, listed in (
            ("dnsDomains", item.dns_domains),
            ("ipRanges", item.ip_ranges),
            ("emailAddresses", item.email_addresses),
            ("uriDomains", item.uri_domains),
        )
    }


def _too_large(spec: api.CertificateSpec, texts: Mapping[str, tuple[str, ...]]) -> str:
    """Say which field makes too many names, or too large a request; "" when it fits."""
    names = {**_name_texts(spec), "spec.otherNames": spec.other_names}
    count = sum(map(len, names.values()))
    if count > MAX_NAMES:
        longest = max(names, key=lambda field: len(names[field]))
        return f"{longest}: with the other names {count}; at most {MAX_NAMES} are accepted"
    sizes = {
        field: sum(len(text.encode(errors="replace")) + _AROUND for text in listed) for field, listed in texts.items()
    }
    sizes["spec.otherNames"] = sum(
        len(one.oid) + len(one.utf8_value.encode(errors="replace")) + 2 * _AROUND for one in spec.other_names
    )
    sizes["spec.literalSubject"] = _literal_size(spec.literal_subject)
    size = sum(sizes.values()) * 65 // 48 + _REST  # base64, in lines
    if size > MAX_PEM_BYTES:
        largest = max(sizes, key=lambda field: sizes[field])
        return f"{largest}: the request would have {size} bytes; at most {MAX_PEM_BYTES} are accepted"
    return ""


def _literal_size(text: str) -> int:
    """Bytes of the subject; where it cannot be read, that is told of it, and its size is not asked for."""
    try:
        return len(encode_literal_subject(text))
    except ValueError:
        return 0


def _each(field: str, values: Sequence[object], read: Callable[..., bool]) -> Iterator[str]:
    """Say what of these cannot be read back; `read` tells whether it says the same again, or raises ValueError."""
    for index, value in enumerate(values):
        # Texts of a list are told by their place; commonName, serialNumber and one otherName are no lists.
        where = f"{field}[{index}]" if field.endswith("s") else field
        try:
            why = "" if read(value) else "it would be read as something else"
        except UnicodeError:
            why = f"{ascii(value)[:_SHOWN]} is not text that may stand there"
        except ValueError as error:
            why = str(error)
        if why:
            yield f"{where}: {why}"


def _read_subject(text: str) -> bool:
    # Which part of the subject it is makes no difference.
    written = Subject(organizations=(text,)).encode()
    ((pair,),) = read_name(written, 0, len(written))
    return pair[1] == text


def _read_literal(text: str) -> bool:
    written = encode_literal_subject(text)
    # A set's order is the encoding's.
    read = read_name(written, 0, len(written))
    return [sorted(pairs) for pairs in read] == [sorted(pairs) for pairs in read_literal_subject(text)]


def _read_dns_name(text: str) -> bool:
    return read_general_names(encode_general_names(dns_names=[text])).dns_names == (text,)


def _read_ip_address(text: str) -> bool:
    return len(read_general_names(encode_general_names(ip_addresses=[text])).ip_addresses) == 1


def _read_uri(text: str) -> bool:
    return read_general_names(encode_general_names(uris=[text])).uris == (text,)


def _read_email_address(text: str) -> bool:
    return read_general_names(encode_general_names(email_addresses=[text])).email_addresses == (text,)


def _read_other_name(name: tuple[str, str]) -> bool:
    return read_general_names(encode_general_names(other_names=[name])).others == 1


def _constraint_reader(kind: str) -> Callable[[str], bool]:
    def read(text: str) -> bool:
        written = encode_name_constraints(permitted={kind: [text]}, excluded=None)
        return written is not None and normalize_name_constraints(written) == written

    return read


_NAME_READERS: Mapping[str, Callable[[str], bool]] = {
    "spec.dnsNames": _read_dns_name,
    "spec.ipAddresses": _read_ip_address,
    "spec.uris": _read_uri,
    "spec.emailAddresses": _read_email_address,
}
_CONSTRAINT_READERS: Mapping[str, Callable[[str], bool]] = {
    "dnsDomains": _constraint_reader("dns"),
    "ipRanges": _constraint_reader("ip"),
    "emailAddresses": _constraint_reader("email"),
    "uriDomains": _constraint_reader("uri"),
}
