"""Which names a CA's name constraints let pass, as Go reads them and as OpenSSL does.

The two differ: Go takes `example.com` for a host and all below it in URIs and email addresses too, OpenSSL for that
host alone (RFC 5280, 4.2.1.10); OpenSSL looks at common names that look like host names, Go never does; Go takes no
URI without a host below any constraint. What both refuse nobody accepts; what one refuses is doubtful.
Why not pyca's verifier (cryptography.x509.verification): it knows constraints of DNS names and IP addresses alone, and
the names of workloads are URIs. Sources: Go 1.26 crypto/x509/constraints.go, OpenSSL 3 crypto/x509/v3_ncons.c.

Looking a name up costs at most as many steps as a constraint may have labels, however many constraints there are and
however long the name is. Pure functions over frozen values; the ends of the last names are remembered.
"""

import functools
import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from issuers.x509 import der, subject
from issuers.x509.general_names import GeneralNames
from issuers.x509.name_constraints import mailbox_text

_PERMITTED, _EXCLUDED = 0xA0, 0xA1
_KINDS = {0x81: "email", 0x82: "dns", 0x86: "uri", 0x87: "ip"}
EMAIL_ATTRIBUTE = "1.2.840.113549.1.9.1"
_AUTHORITY = re.compile(r"[^:]*:(?://([^/?#]*))?")
LONGEST = 255
"""Characters of a constraint that is a domain or a mailbox's host: no host name is longer (RFC 1035, 2.3.4)."""
_HOST_LETTERS = re.compile(r"[A-Za-z0-9_\-.]+")


class Name(NamedTuple):
    """One name of a certificate: its kind, as it is spelt, and what Go holds against constraints (None: it cannot)."""

    kind: str
    text: str
    host: str | None


def names_of(found: GeneralNames) -> tuple[Name, ...]:
    """The names that constraints may mean, once for all CAs that they are held against."""
    return (
        *(Name("dns", name, name) for name in found.dns_names),
        *(Name("ip", name, name) for name in found.ip_addresses),
        *(Name("email", name, mailbox_text(name.encode("ascii", "replace"))) for name in found.email_addresses),
        *(Name("uri", name, _go_host(name)) for name in found.uris),
    )


@dataclass(frozen=True, slots=True)
class Excluded:
    """A name that constraints do not let pass, and who says so."""

    name: str
    go: bool
    openssl: bool


@dataclass(frozen=True, slots=True)
class _Domains:
    """Constraints of one kind that are domains, lower case. `parents` are they without their first label, for wildcards."""

    exact: frozenset[str]
    parents: frozenset[str]

    @staticmethod
    def of(texts: Iterable[str]) -> "_Domains":
        exact = frozenset(text.lower() for text in texts)
        return _Domains(exact, frozenset(text[text.index(".") :] for text in exact if "." in text))

    def hold(self, host: str, *, below: bool, empty: bool = True) -> bool:
        """Whether a host is in one of them. `below`: a domain without a leading dot holds what is below it too."""
        if empty and "" in self.exact:
            return True
        # Only a constraint can be found, and none is longer: what stands before cannot matter, however long it is.
        tail = host[-LONGEST - 2 :].lower()
        dotted, bare = _ends(tail)
        return tail in self.exact or not self.exact.isdisjoint(dotted) or (below and not self.exact.isdisjoint(bare))


@functools.lru_cache(maxsize=2048)
def _ends(tail: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a host ends with from each of its dots on, with the dot and without; kept for the other CAs of a chain."""
    dots = [position for position, letter in enumerate(tail) if letter == "."]
    return frozenset(tail[dot:] for dot in dots), frozenset(tail[dot + 1 :] for dot in dots)


@dataclass(frozen=True, slots=True)
class _Side:
    """What is permitted, or what is excluded. `kinds` tells which kinds of names it speaks of."""

    kinds: frozenset[str]
    dns: _Domains
    uri: _Domains
    email: _Domains
    mailboxes: frozenset[str]
    networks: dict[tuple[int, int], frozenset[int]]

    def go(self, kind: str, name: str, *, excluding: bool) -> bool:
        """Whether Go finds the name here; `name` is the host, the address or the mailbox."""
        if kind == "ip":
            return self._address(name)
        if kind == "email" and _mailbox(name) in self.mailboxes:
            return True
        domains: _Domains = {"dns": self.dns, "uri": self.uri, "email": self.email}[kind]
        host = name.rpartition("@")[2] if kind == "email" else name
        if domains.hold(host, below=True):
            return True
        return excluding and host.startswith("*.") and host[1:].lower() in domains.parents

    def openssl(self, kind: str, name: str) -> bool:
        """Whether OpenSSL finds the name here."""
        if kind == "ip":
            return self._address(name)
        if kind == "dns":
            return self.dns.hold(name, below=True)
        if kind == "uri":
            return self.uri.hold(name, below=False, empty=False)
        host = name.rpartition("@")[2]
        return _mailbox(name) in self.mailboxes or self.email.hold(host, below=False, empty=False)

    def _address(self, name: str) -> bool:
        packed = ipaddress.ip_address(name).packed
        number = int.from_bytes(packed, "big")
        return any(size == len(packed) and number & mask in found for (size, mask), found in self.networks.items())


@dataclass(frozen=True, slots=True)
class Subtrees:
    """The name constraints of one CA. `others`: kinds of names that only some verifiers know are constrained too."""

    permitted: _Side
    excluded: _Side
    others: bool

    def refused(self, names: Sequence[Name], subject_names: tuple[subject.RelativeName, ...]) -> Iterator[Excluded]:
        """Tell which names do not pass. `subject_names` are those of a leaf: OpenSSL looks at parts of them as well."""
        for kind, name, host in names:
            go = host is not None and (kind != "dns" or _go_reads(host)) and self._go(kind, host)
            openssl = self._openssl(kind, host, name)
            if not (go and openssl):
                yield Excluded(name, go=not go, openssl=not openssl)
        as_hosts = all(kind != "dns" for kind, _, _ in names)
        for pairs in subject_names:
            for oid, text in pairs:
                if oid == EMAIL_ATTRIBUTE and not self._openssl("email", text, text):
                    yield Excluded(text, go=False, openssl=True)
                as_host = as_hosts and oid == subject.COMMON_NAME and _looks_like_a_host(text)
                if as_host and not self._openssl("dns", text, text):
                    yield Excluded(text, go=False, openssl=True)

    def _go(self, kind: str, host: str) -> bool:
        if kind in self.permitted.kinds and not self.permitted.go(kind, host, excluding=False):
            return False
        return kind not in self.excluded.kinds or not self.excluded.go(kind, host, excluding=True)

    def _openssl(self, kind: str, host: str | None, name: str) -> bool:
        sides = self.permitted.kinds | self.excluded.kinds
        if kind not in sides:
            return True
        found = _openssl_host(name) if kind == "uri" else host
        if not found or (kind == "email" and "@" not in name):
            return False
        if kind in self.permitted.kinds and not self.permitted.openssl(kind, found):
            return False
        return kind not in self.excluded.kinds or not self.excluded.openssl(kind, found)


def read_subtrees(value: bytes) -> Subtrees:
    """Read a NameConstraints extension's value (RFC 5280, 4.2.1.10). Raises der.DerError."""
    pos, end = der.only(value, 0, len(value), der.SEQUENCE)
    sides: dict[int, list[tuple[int, bytes]]] = {_PERMITTED: [], _EXCLUDED: []}
    for tag, found in sides.items():
        if pos < end and value[pos] == tag:
            start, pos = der.expect(value, pos, end, tag)
            found.extend(_bases(value, start, pos))
    if pos != end:
        raise der.DerError("trailing data in name constraints")
    if not any(sides.values()):
        raise der.DerError("empty name constraints")
    others = any(tag not in _KINDS for found in sides.values() for tag, _ in found)
    return Subtrees(_side(sides[_PERMITTED]), _side(sides[_EXCLUDED]), others)


def _bases(value: bytes, pos: int, end: int) -> Iterator[tuple[int, bytes]]:
    while pos < end:
        start, pos = der.expect(value, pos, end, der.SEQUENCE)
        tag, inner, stop = der.element(value, start, pos)
        if stop != pos:
            raise der.DerError("a name constraint with minimum or maximum")
        yield tag, value[inner:stop]


def _side(bases: list[tuple[int, bytes]]) -> _Side:
    texts: dict[str, list[str]] = {"dns": [], "uri": [], "email": []}
    networks: dict[tuple[int, int], set[int]] = {}
    for tag, content in bases:
        kind = _KINDS.get(tag)
        if kind == "ip":
            half = len(content) // 2
            if half not in (4, 16) or len(content) != 2 * half:
                raise der.DerError(f"an IP constraint of {len(content)} bytes")
            mask = int.from_bytes(content[half:], "big")
            inverted = mask ^ ((1 << 8 * half) - 1)
            if inverted & (inverted + 1):
                raise der.DerError("an IP constraint with a broken mask")
            networks.setdefault((half, mask), set()).add(int.from_bytes(content[:half], "big") & mask)
        elif kind is not None:
            try:
                text = content.decode("ascii")
            except UnicodeDecodeError:
                raise der.DerError("a name constraint that is not ASCII") from None
            if kind == "email" and "@" in text and mailbox_text(content) is None:
                raise der.DerError("an email constraint that is not a mailbox")
            if "@" not in text and not _go_reads(text.removeprefix(".")):
                raise der.DerError("a name constraint that is not a domain")
            if len(text.rpartition("@")[2]) > LONGEST:
                raise der.DerError(f"a name constraint of over {LONGEST} characters, which no host has")
            texts[kind].append(text)
    return _Side(
        frozenset(_KINDS[tag] for tag, _ in bases if tag in _KINDS),
        _Domains.of(texts["dns"]),
        _Domains.of(texts["uri"]),
        _Domains.of(text for text in texts["email"] if "@" not in text),
        frozenset(_mailbox(text) for text in texts["email"] if "@" in text),
        {key: frozenset(found) for key, found in networks.items()},
    )


def _go_host(uri: str) -> str | None:
    found = _AUTHORITY.match(uri)
    authority = (found[1] if found else None) or ""
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        return None
    host = host.partition(":")[0].lower()
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if host and _go_reads(host) else None
    return None


def _openssl_host(uri: str) -> str:
    """The host as OpenSSL finds it: after `://` up to the first colon, else the first slash."""
    _, colon, rest = uri.partition(":")
    if not colon or not rest.startswith("//"):
        return ""
    rest = rest[2:]
    return rest.partition(":")[0] if ":" in rest else rest.partition("/")[0]


def _go_reads(host: str) -> bool:
    return host == "" or all(host.split("."))


def _mailbox(text: str) -> str:
    local, _, host = text.rpartition("@")
    return f"{local}@{host.lower()}"


def _looks_like_a_host(text: str) -> bool:
    """Whether OpenSSL takes a common name for a host (v3_ncons.c, cn2dnsid)."""
    labels = text.split(".")
    return (
        len(labels) > 1
        and _HOST_LETTERS.fullmatch(text) is not None
        and all(label and label[0] != "-" and label[-1] != "-" for label in labels)
    )
