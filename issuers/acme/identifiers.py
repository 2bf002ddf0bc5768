"""What a certificate is ordered for: DNS names, wildcards and IP addresses, in the one form that is compared.

Names are A-labels (RFC 5890) in lower case without a trailing dot; addresses as RFC 5952 and RFC 8738 write them. Pure.
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

# RFC 8738 has addresses; CAs allow 100 names (Let's Encrypt; 25 in some profiles, which they say themselves).
MAX_IDENTIFIERS = 100
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_DNS = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")


class Identifier(NamedTuple):
    """One name: `type` is "dns" or "ip". A wildcard is a dns name that begins with "*."."""

    type: str
    value: str

    @property
    def wildcard(self) -> bool:
        """Whether it is a wildcard."""
        return self.value.startswith("*.")

    @property
    def base(self) -> str:
        """The name whose owner is asked: the wildcard's name without "*."."""
        return self.value.removeprefix("*.")


class BadIdentifier(ValueError):
    """A name that no CA can be asked for; the message names it."""


def identifier(name: str) -> Identifier:
    """A name or an address in its one form. Raises BadIdentifier."""
    text = name.strip().lower()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        if getattr(address, "scope_id", None):
            raise BadIdentifier(f"{name[:300]!r} is an address of one machine's own network")
        return Identifier("ip", str(address))
    text = text.removesuffix(".")
    if len(text.removeprefix("*.")) > 253 or not _DNS.fullmatch(text):
        raise BadIdentifier(f"{name[:300]!r} is not a DNS name with a dot, a wildcard of one, or an IP address")
    if text.rsplit(".", 1)[-1].isdigit():
        raise BadIdentifier(f"{name[:300]!r} ends in a number, but is not an IP address")
    return Identifier("dns", text)


def identifiers(names: Iterable[str]) -> tuple[Identifier, ...]:
    """The names in their one form, each once, sorted. Raises BadIdentifier for one that is none, none or over 100."""
    found = tuple(sorted({identifier(name) for name in names}))
    if not found:
        raise BadIdentifier("there is no name to order a certificate for")
    if len(found) > MAX_IDENTIFIERS:
        raise BadIdentifier(f"{len(found)} names; a certificate has {MAX_IDENTIFIERS} at most")
    return found


def set_key(names: Iterable[Identifier]) -> str:
    """A short name for a set of identifiers, whatever their order: limits and backoff are kept by it."""
    return hashlib.sha256("\n".join(sorted({f"{one.type}:{one.value}" for one in names})).encode()).hexdigest()[:32]
