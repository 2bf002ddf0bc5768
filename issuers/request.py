"""A CSR's bytes become a SigningRequest: one strict reading, cheap checks first, proof of possession last.

What is refused here: anything that Go and we could read differently, and keys and signatures that are too weak or too
dear. No honest client of the API is known to send any of it. What is read is a claim; who may have it is decided
elsewhere. Pure: safe in any thread.
"""

from dataclasses import dataclass, field

from issuers.errors import MalformedRequest
from issuers.x509 import der, extensions, keys, pem, usages
from issuers.x509.general_names import GeneralNames, read_general_names
from issuers.x509.keys import KeyRefused, PublicKey
from issuers.x509.name_constraints import normalize_name_constraints
from issuers.x509.subject import RelativeName, name_text, read_name

# Above what cert-manager takes (36,500 bytes), far below what etcd stores.
MAX_PEM_BYTES = 64 * 1024

_VERSION_0 = b"\x02\x01\x00"
_ATTRIBUTES = 0xA0
_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")
# Microsoft's own attribute for extensions: Go passes over it, other parsers take it, so it may name someone else.
_MICROSOFT_EXTENSIONS = bytes.fromhex("060a2b06010401823702010e")


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What a CSR says, read once. Names and usages are claims; only the key is proven.

    None means that the extension is not there. Usages carry Kubernetes' names. `by_shape`: it was found to be Istio's own form to
    the byte when it was read (issuers/shape.py).
    """

    der: bytes
    public_key: PublicKey
    spki: bytes
    subject_der: bytes
    subject_names: tuple[RelativeName, ...]
    san_der: bytes | None
    san_critical: bool | None
    names: GeneralNames
    is_ca: bool | None
    path_length: int | None
    key_usage_bits: int | None
    extended_key_usages: tuple[str, ...] | None
    unknown_extended_key_usages: tuple[str, ...]
    name_constraints_der: bytes | None
    name_constraints_critical: bool
    signature_algorithm: str
    by_shape: bool = field(default=False, repr=False, compare=False)

    @property
    def subject(self) -> str:
        """The subject as text (RFC 4514); "" when it is empty."""
        return name_text(self.subject_names)

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names, in order."""
        return self.names.dns_names

    @property
    def ip_addresses(self) -> tuple[str, ...]:
        """The IP addresses as text, in order."""
        return self.names.ip_addresses

    @property
    def email_addresses(self) -> tuple[str, ...]:
        """The email addresses, in order."""
        return self.names.email_addresses

    @property
    def uris(self) -> tuple[str, ...]:
        """The URIs as they are spelt, in order."""
        return self.names.uris

    @property
    def other_names(self) -> int:
        """How many names of other kinds there are (otherName, directoryName, registeredID)."""
        return self.names.others

    @property
    def key_usages(self) -> tuple[str, ...] | None:
        """The KeyUsage bits by Kubernetes' names."""
        return None if self.key_usage_bits is None else usages.key_usage_names(self.key_usage_bits)


_NO_NAMES = GeneralNames()


def read_request(text: bytes, *, one_block: bool = True) -> SigningRequest:
    """Read a PEM CSR (RFC 2986) of at most 64 KiB, strictly, and verify its signature last.

    `one_block`: the text is one PEM block and nothing else, as for every request of a mesh; else the block is found as Go
    finds it (pem.find_request). What is in the block is read strictly either way.

    Raises MalformedRequest, with the field that is at fault; nothing else, whatever the bytes.
    """
    if len(text) > MAX_PEM_BYTES:
        raise MalformedRequest("request", f"{len(text)} bytes; at most {MAX_PEM_BYTES} are accepted")
    try:
        return _read(pem.read_request(text) if one_block else pem.find_request(text))
    except pem.PemError as error:
        raise MalformedRequest("request", str(error)) from None


def read_der(data: bytes) -> SigningRequest:
    """Read a DER CSR as strictly as `read_request` reads what is in its block; how long it may be, the caller says.

    Raises MalformedRequest, with the field that is at fault; nothing else, whatever the bytes.
    """
    return _read(data)


class _Place:
    """Names the field that is being read, so that one handler can tell it."""

    __slots__ = ("field",)

    def __init__(self) -> None:
        self.field = "request"


@dataclass(slots=True)
class _Wanted:
    """What the requested extensions say that means something to us."""

    names: GeneralNames = _NO_NAMES
    san_der: bytes | None = None
    san_critical: bool | None = None
    is_ca: bool | None = None
    path_length: int | None = None
    key_usage_bits: int | None = None
    extended_key_usages: tuple[str, ...] | None = None
    unknown_extended_key_usages: tuple[str, ...] = ()
    name_constraints_der: bytes | None = None
    name_constraints_critical: bool = False


def _read(data: bytes) -> SigningRequest:
    place = _Place()
    try:
        return _walk(data, place)
    except (der.DerError, KeyRefused) as error:
        raise MalformedRequest(place.field, str(error)) from None


def _walk(data: bytes, place: _Place) -> SigningRequest:
    start, end = der.only(data, 0, len(data), der.SEQUENCE)
    info, info_end = der.expect(data, start, end, der.SEQUENCE)
    to_be_signed = data[start:info_end]

    place.field = "request.signatureAlgorithm"
    _, after = der.expect(data, info_end, end, der.SEQUENCE)
    algorithm = keys.read_signature_algorithm(data[info_end:after])
    place.field = "request.signature"
    inner, stop = der.only(data, after, end, der.BIT_STRING)
    if data[inner : inner + 1] != b"\x00":
        raise der.DerError("a BIT STRING that is not whole bytes")
    signature = data[inner + 1 : stop]

    place.field = "request.version"
    if data[info : info + 3] != _VERSION_0:
        raise der.DerError("it must be 0")
    pos = info + 3

    place.field = "request.subject"
    _, after = der.expect(data, pos, info_end, der.SEQUENCE)
    subject_names = read_name(data, pos, after)
    subject_der = data[pos:after]
    pos = after

    place.field = "request.publicKey"
    _, after = der.expect(data, pos, info_end, der.SEQUENCE)
    spki = data[pos:after]
    kind = keys.check_public_key(spki)
    if kind != algorithm.kind:
        raise KeyRefused(f"an {kind} key cannot sign with {algorithm.name}")

    place.field = "request.attributes"
    inner, stop = der.only(data, after, info_end, _ATTRIBUTES)
    wanted = _read_extensions(_read_attributes(data, inner, stop, place), place)

    place.field = "request.publicKey"
    public_key = keys.load_public_key(spki)
    place.field = "request.signature"
    if not algorithm.verify(public_key, signature, to_be_signed):  # last: it costs four times all the rest
        raise KeyRefused("it was not made with the key in the request")
    return SigningRequest(
        der=data,
        public_key=public_key,
        spki=spki,
        subject_der=subject_der,
        subject_names=subject_names,
        san_der=wanted.san_der,
        san_critical=wanted.san_critical,
        names=wanted.names,
        is_ca=wanted.is_ca,
        path_length=wanted.path_length,
        key_usage_bits=wanted.key_usage_bits,
        extended_key_usages=wanted.extended_key_usages,
        unknown_extended_key_usages=wanted.unknown_extended_key_usages,
        name_constraints_der=wanted.name_constraints_der,
        name_constraints_critical=wanted.name_constraints_critical,
        signature_algorithm=algorithm.name,
    )


def _read_attributes(data: bytes, pos: int, end: int, place: _Place) -> extensions.Extensions:
    """Find the one extensionRequest (RFC 2985, 5.4.2) among the attributes; others are passed over, well-formed."""
    wanted: extensions.Extensions | None = None
    while pos < end:
        start, stop = der.expect(data, pos, end, der.SEQUENCE)
        content, inner = der.expect(data, start, stop, der.OBJECT_IDENTIFIER)
        der.object_identifier(data[content:inner])
        kind = data[start:inner]
        value, after = der.only(data, inner, stop, der.SET)
        if kind == _EXTENSION_REQUEST:
            if wanted is not None:
                raise der.DerError("two extensionRequest attributes")
            place.field = "request.extensions"
            inner, after = der.expect(data, value, after, der.SEQUENCE)
            if after != stop:
                raise der.DerError("an extensionRequest with two values")
            wanted = extensions.read_extensions(data, inner, after)
            place.field = "request.attributes"
        elif kind == _MICROSOFT_EXTENSIONS:
            raise der.DerError("Microsoft's attribute for extensions is not accepted, only extensionRequest of PKCS#9")
        else:
            der.check_depth(data, value, after)
        pos = stop
    return {} if wanted is None else wanted


def _read_extensions(found: extensions.Extensions, place: _Place) -> _Wanted:
    """Read the extensions that mean something to us. Others are not copied into certificates, so they stay unread."""
    wanted = _Wanted()
    for identifier, (critical, value) in found.items():
        if identifier == extensions.SUBJECT_ALT_NAME:
            place.field = "request.extensions.subjectAltName"
            wanted.names, wanted.san_der, wanted.san_critical = read_general_names(value), value, critical
        elif identifier == extensions.KEY_USAGE:
            place.field = "request.extensions.keyUsage"
            wanted.key_usage_bits = usages.decode_key_usage(value)
        elif identifier == extensions.EXTENDED_KEY_USAGE:
            place.field = "request.extensions.extendedKeyUsage"
            named = [(oid, usages.extended_usage_name(oid)) for oid in usages.decode_extended_key_usage(value)]
            wanted.extended_key_usages = tuple(name for _, name in named if name is not None)
            wanted.unknown_extended_key_usages = tuple(oid for oid, name in named if name is None)
        elif identifier == extensions.BASIC_CONSTRAINTS:
            place.field = "request.extensions.basicConstraints"
            wanted.is_ca, wanted.path_length = extensions.decode_basic_constraints(value)
        elif identifier == extensions.NAME_CONSTRAINTS:
            place.field = "request.extensions.nameConstraints"
            wanted.name_constraints_der = normalize_name_constraints(value)
            wanted.name_constraints_critical = critical
    return wanted
