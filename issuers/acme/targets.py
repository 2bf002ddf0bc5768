"""Where an issuer may send its requests: URLs of one origin, and addresses that are not of our own network.

Whoever may write an Issuer chooses its server, and we run inside the cluster: without these rules an Issuer would be a
way to reach the API server, cloud metadata, or a neighbour's admin port. The address is judged where it is dialled, so
a name that resolves anew to 127.0.0.1 gains nothing. Pure.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from issuers.acme.errors import ForbiddenTarget, printable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_URL = 2048
# IPv4 addresses inside of IPv6 ones, RFC 6052: a translator on the way would unwrap them.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
# All that IANA has given out of IPv6: what is elsewhere is special, reserved, or a network's own, such as the prefixes that
# RFC 8215 leaves to each network's translator (https://www.iana.org/assignments/ipv6-address-space).
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# In IANA's registries of special addresses, but global to some versions of Python.
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "2001::/23",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
    )
)


class Origin(NamedTuple):
    """Host, in lower case, and port of an https URL."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.port == 443 else f"https://{host}:{self.port}"


def origin(url: str) -> Origin:
    """The origin of an https URL. Raises ForbiddenTarget for any other, and for credentials or a fragment in it."""
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ForbiddenTarget(f"{printable(url, 200)}: not a URL of at most {_MAX_URL} ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ForbiddenTarget(f"{printable(url, 200)}: not a URL") from None
    if parts.scheme != "https":
        raise ForbiddenTarget(f"{printable(url, 200)}: only https is used")
    if not host or parts.username is not None or parts.password is not None or parts.fragment or port == 0:
        raise ForbiddenTarget(
            f"{printable(url, 200)}: a URL with a host, without credentials and fragment, is expected"
        )
    return Origin(host, port or 443)


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a CA's URLs may lead: the origin of its directory, and those that the directory itself names."""

    directory: Origin
    named: frozenset[Origin] = frozenset()

    def __contains__(self, found: Origin) -> bool:
        """Tell whether an origin is one of them."""
        return found == self.directory or found in self.named


def of_field(url: str, field: str) -> Origin:
    """The origin of a URL that an answer has in a field. Raises ForbiddenTarget, naming it."""
    try:
        return origin(url)
    except ForbiddenTarget as error:
        raise ForbiddenTarget(f"{field}: {error}") from None


def same_origin(url: str, expected: Origin | Origins, field: str) -> str:
    """The URL itself when it is of the directory's origin, or one that the directory names. Raises ForbiddenTarget, naming `field`."""
    allowed = expected if isinstance(expected, Origins) else Origins(expected)
    found = of_field(url, field)
    if found not in allowed:
        raise ForbiddenTarget(f"{field}: it leads to {found}, the directory is at {allowed.directory}: not followed")
    return url


def absolute(url: str, base: str) -> str:
    """A URL of an answer, absolute: a relative one begins at `base`, what was asked (RFC 9110, 10.2.2); "" takes none.

    One that is absolute stays as it is, byte for byte.
    """
    if not (base and url and url.isprintable()):
        return url
    try:
        return url if urlsplit(url).scheme else urljoin(base, url)
    except ValueError:
        return url  # told by whoever asks for its origin


def link(url: str, base: str, expected: Origin | Origins, field: str) -> str:
    """A URL of an answer, made absolute. Raises ForbiddenTarget, naming `field`, for one of an origin that is not expected."""
    return same_origin(absolute(url, base), expected, field)


@dataclass(frozen=True, slots=True)
class AddressRule:
    """Which addresses may be dialled.

    Attributes:
        cluster: networks of Pods and Services that are refused even where they are public addresses.
        allowed: networks that are dialled whatever they are, for a CA of one's own; they win over `cluster`.
    """

    cluster: tuple[Network, ...] = ()
    allowed: tuple[Network, ...] = ()

    def refusal(self, address: str) -> str | None:
        """Why an address is not dialled; None when it is."""
        try:
            found: Address = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        forms = [found, *_inner(found)]
        if _within(found, self.allowed) or (len(forms) > 1 and all(_within(one, self.allowed) for one in forms[1:])):
            return None
        for one in forms:
            if _within(one, self.cluster):
                return "an address of the cluster"
            if kind := _kind(one):
                return f"a {kind} address"
        return None


def kinds(address: str) -> frozenset[str]:
    """What an address is that is not public: "loopback", "link-local", "private" and the like; nothing for one that is."""
    try:
        found: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return frozenset({"malformed"})
    return frozenset(kind for one in (found, *_inner(found)) if (kind := _kind(one)))


# For issuers that only an administrator can write: a CA of one's own may well stand in the cluster.
ANYWHERE = AddressRule(allowed=(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")))


def _kind(address: Address) -> str | None:
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64 or address.ipv4_mapped is not None:
            return None  # nothing but the address inside
        if address not in _PUBLIC_V6:
            return "private"
    # is_global is IANA's list of special registries: private, shared (100.64.0.0/10), documentation, benchmarks.
    return None if address.is_global and not _within(address, _SPECIAL) else "private"


def _inner(address: Address) -> Sequence[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    # ::1 and :: are of this network too, but their own.
    if address in _NAT64 or (address in _V4_COMPATIBLE and int(address) > 1):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
