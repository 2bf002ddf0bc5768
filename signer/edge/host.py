"""The grammar of public host names: what a CA would refuse anyway must not cost an order, nor a claim.

Pure. Lengths are checked first, so that no pattern meets a long text.
Sources: RFC 1123; RFC 5890, 2.3.1 (reserved LDH labels); CA/Browser Forum Baseline Requirements, 7.1.4.2.1 (no internal
names) and 3.2.2.6 (no wildcard directly below a public suffix, by the ICANN part of publicsuffix.org's list); RFC 6761,
6762, and ICANN's resolution on .internal for the names that are nobody's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from publicsuffixlist import PublicSuffixList

from signer.api.names import is_subdomain
from signer.api.text import shown

MAX_NAMES = 100
"""Names in one certificate: Let's Encrypt's limit; profiles without a common name have 25."""

MAX_HOST = 242
"""Characters: the name of a wildcard's claim is longer than the wildcard, and must fit into 253."""
WILDCARD_CLAIM = "wc--wildcard."
"""Stands for "*." in the name of a claim: no host's label may look like this (RFC 5890, 2.3.1)."""
_INTERNAL = ("local", "localhost", "internal", "svc", "onion", "invalid", "arpa", "alt")


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A public host: `name` without "*."; a wildcard stands for the names one label below."""

    name: str
    wildcard: bool = False

    def __str__(self) -> str:
        """Write it as in a certificate."""
        return f"*.{self.name}" if self.wildcard else self.name

    @property
    def claim_name(self) -> str:
        """Name its HostClaim: no two hosts have the same, since no host has a label like that of a wildcard's."""
        return f"{WILDCARD_CLAIM}{self.name}" if self.wildcard else self.name

    def below(self, other: str) -> bool:
        """Tell whether it is this name or below it."""
        return self.name == other or self.name.endswith(f".{other}")

    def is_in(self, names: Iterable[str]) -> bool:
        """Tell whether a certificate for these names serves it: a wildcard stands for one label (RFC 9525, 6.3)."""
        listed = {name.lower() for name in names}
        over = Host(self.name.partition(".")[2], wildcard=True)
        return str(self) in listed or (not self.wildcard and str(over) in listed)


def read_host(text: str) -> Host | str:
    """Read a host in any case, as `shop.example.com` or `*.example.com`; a sentence says why it is none."""
    if len(text) > MAX_HOST:
        return f"{shown(text)} is longer than {MAX_HOST} characters"
    host = Host(text.lower().removeprefix("*."), wildcard=text.startswith("*."))
    if text.strip("*") == "":
        return f"{shown(text)} names no host"
    if not text.isascii():
        return f"{shown(text)} is not ASCII; write it in its xn-- form"
    if host.name.endswith(".") or not is_subdomain(host.name):
        return f"{shown(text)} is not a valid DNS name"
    labels = host.name.split(".")
    if any(len(label) > 63 for label in labels):
        return f"{shown(text)} has a label of more than 63 characters"
    if any(label[2:4] == "--" and not label.startswith("xn--") for label in labels):
        return f"{shown(text)} has a label of a reserved form (-- in third place)"
    if labels[-1].isdigit():
        return f"{shown(text)} is an IP address, not a name"
    if len(labels) < 2:
        return f"{shown(text)} is not public: it has one label" + (" below the wildcard" if host.wildcard else "")
    if labels[-1] in _INTERNAL or "svc" in labels[-3:]:
        return f"{shown(text)} is an internal name, for which no public CA issues certificates"
    if host.wildcard and public_suffixes().is_public(host.name):
        return f"{shown(text)} stands for all names below a public suffix, {host.name}, which belong to many"
    return host


@cache
def public_suffixes() -> PublicSuffixList:
    """Read the list that comes with the library: half a second's work, once."""
    return PublicSuffixList(only_icann=True)
