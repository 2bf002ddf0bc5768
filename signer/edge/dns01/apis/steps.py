"""What a DNS product's client is made of: requests that it gives out, one after the other, and answers that it is given. Pure.

A client is a generator: it yields a Call and is sent the Reply to it, and raises Refusal or Changed. So all that it decides can
be tried without a network; caller.py is the one that has one.
"""

import re
import string
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

Shape = TypeVar("Shape")
_CREDENTIAL = re.compile(r"[!-~]{1,4096}", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True)
class TxtValue:
    """One value of a TXT record. `zone` and `name` are in lower case, without a trailing dot; the value needs no escaping."""

    zone: str
    name: str
    value: str

    @property
    def relative(self) -> str:
        """The name as it stands inside its zone, "@" for the zone's own."""
        return "@" if self.name == self.zone else self.name.removesuffix(f".{self.zone}")

    @property
    def quoted(self) -> str:
        """The value as zone files have it."""
        return f'"{self.value}"'


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `fine`: statuses of 300 and more to which the client has an answer itself; all others end its steps."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    fine: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: bytes = field(default=b"", repr=False)


Steps = Generator[Call, Reply, None]
"""One change of a record, from first request to last answer."""


class Refusal(Exception):
    """What keeps a record from being changed, for people. `wait`: seconds for which the product asks to be left alone."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Changed(Exception):
    """Somebody else wrote the record in between: the steps are to begin again."""


class Client(Protocol):
    """One product with one issuer's credentials. `now` is aware UTC, `nonce` a text that was never used before."""

    def add(self, record: TxtValue, now: datetime, nonce: Callable[[], str]) -> Steps:
        """Have the value at the name, beside all others that are there; nothing is done where it is there already."""

    def remove(self, record: TxtValue, now: datetime, nonce: Callable[[], str]) -> Steps:
        """Take the value away and no other."""


def read(reply: Reply, shape: type[Shape]) -> Shape:
    """Return an answer's JSON as this type. Raises Refusal."""
    try:
        return msgspec.json.decode(reply.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("gives an answer that cannot be read") from None


def identifier(text: str) -> str:
    """Return a product's name of a thing, which is to stand in a URL. Raises Refusal for any other text."""
    if not _IDENTIFIER.fullmatch(text):
        raise Refusal("gives an answer that cannot be read")
    return text


def credential(secret: bytes) -> str:
    """Return a Secret's value as a header can have it, without space around it. Raises ValueError, without a word of it."""
    text = secret.strip().decode("ascii", "replace")
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError("is not one line of ASCII")
    return text


def folded(name: str) -> str:
    """Return a name as it is compared in the DNS: letters' case and a dot at its end say nothing (RFC 4343; RFC 1034, 3.1)."""
    return name.removesuffix(".").translate(_LOWER)


def no_zone(record: TxtValue) -> Refusal:
    """What is told where a zone is not there."""
    return Refusal(f"has no zone {record.zone} that these credentials may see")


def plain(data: str) -> str:
    """A value without the quotes around it."""
    return data[1:-1] if len(data) > 1 and data.startswith('"') and data.endswith('"') else data
