"""Which ways lead up from a CA, and which of them is its own: where CAs are cross-signed, there are several.

A CA's root is changed without an outage by cross certificates, and then one key has two certificates, or a root stands beside
a certificate of its key by another root. So a line that has a place for each certificate is too little: what is looked for is a
path to an anchor. What is on no path but shares name and key with one that is belongs there too, and so does what is above it.
Pure functions over frozen values, safe in any thread.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from issuers.chain import was_signed_with
from issuers.errors import InvalidAuthority
from issuers.inspection import CertificateFields
from issuers.line import Member

MOST_VERIFIED = 64
"""Signatures that are verified for one CA: a chain of ten takes some twenty, each further root of the same name one."""
MOST_ABOVE = 32
"""Certificates of a CA and of all above it; what is recorded of a mesh signer's CA has room for so many."""
# Each cross certificate may double the ways up, and whoever writes a Secret chooses how many there are.
_MOST_PATHS = 256

Judge = Callable[[tuple[Member, ...]], InvalidAuthority | None]


class Signatures:
    """Which certificate was signed with which key: each pair is verified once, and so many at most.

    Whoever writes a Secret may fill it with certificates of one name, each of which might have signed each other one.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], bool] = {}

    def of(self, member: Member, above: Member) -> bool:
        """Tell whether one certificate was signed by another, by name and key. Raises InvalidAuthority."""
        return member.fields.issuer == above.fields.subject and self.with_key(member.fields, above.fields.spki)

    def with_key(self, fields: CertificateFields, spki: bytes) -> bool:
        """Tell whether a certificate was signed with a key. Raises InvalidAuthority when too many were verified."""
        pair = (fields.der, spki)
        if pair not in self._known:
            if len(self._known) >= MOST_VERIFIED:
                message = (
                    f"more than {MOST_VERIFIED} signatures would have to be verified to find what is above the CA: leave out "
                    "certificates of the same name that are not above it"
                )
                raise InvalidAuthority("ChainBroken", "ca.crt", message)
            self._known[pair] = was_signed_with(fields, spki)
        return self._known[pair]


@dataclass(frozen=True, slots=True)
class Above:
    """What was found above a CA.

    `path` leads from the CA to `root`, which is its last one, or as far as is shown where `root` is None. `everything` are all
    that are above the CA, or issues of it or of one of them, an issue of the CA first; of one root's issues there is one. `links`
    say which of `everything` was signed with whose key, by place; `roots` which of it are self-signed.
    """

    path: tuple[Member, ...]
    root: Member | None
    everything: tuple[Member, ...]
    links: frozenset[tuple[int, int]]
    roots: frozenset[int]

    @property
    def beside(self) -> tuple[Member, ...]:
        """What is above the CA, and neither on the path nor a root."""
        return tuple(
            member for at, member in enumerate(self.everything) if at not in self.roots and member not in self.path
        )


def find_above(
    members: Sequence[Member], above: Sequence[Member], now: datetime, signatures: Signatures, judge: Judge
) -> Above:
    """Find what is above the first of `members`, the certificates of tls.crt; `above` are those of ca.crt. `now` is UTC.

    Every one of tls.crt must be above the CA, or an issue of it or of one that is. Of ca.crt, one must be on the path: the others
    are roots that come or go. A path that `judge` finds no fault with counts before others, then one that ends at a root. Raises
    InvalidAuthority: what `judge` found, where it found a fault with each.
    """
    search = _Search(members, above, now, signatures)
    reached = search.reached()
    path: tuple[Member, ...] = ()
    fault: InvalidAuthority | None = None
    score = (False, False, False)
    for tried in islice(search.paths(), _MOST_PATHS):
        anchored = not above or any(search.trusted(member) for member in tried)
        found = judge(tried) if anchored else None
        worth = (anchored, anchored and found is None, search.is_root(tried[-1]))
        if not path or worth > score:
            path, fault, score = tried, found, worth
        if all(worth):
            break
    if strangers := [member for member in members if member not in reached]:
        message = f"{strangers[0].subject!r} did not sign {path[-1].subject!r} of tls.crt"
        raise InvalidAuthority("ChainBroken", strangers[0].field, message)
    if not score[0]:
        message = f"{above[0].subject!r} did not sign {path[-1].subject!r} of tls.crt"
        raise InvalidAuthority("RootMismatch", above[0].field, message)
    if fault is not None:
        raise fault
    return _above(path, search)


def _above(path: tuple[Member, ...], search: "_Search") -> Above:
    others = [member for member in search.reached(spare=False) if member not in path]
    # Whoever looks at the last one only, or at the first, finds the end of the path and the CA.
    issues = [member for member in others if _name(member) == _name(path[0])]
    beside = [member for member in others if member not in issues]
    everything = (*issues, *beside, *path) if len(path) == 1 else (path[0], *issues, *path[1:-1], *beside, path[-1])
    if len(everything) > MOST_ABOVE:
        message = f"{len(everything)} certificates of the CA and of those above it; at most {MOST_ABOVE} are looked at"
        raise InvalidAuthority("ChainBroken", "ca.crt", message)
    links = frozenset(
        (below, at)
        for below, member in enumerate(everything)
        for at, upper in enumerate(everything)
        if _name(upper) == search.signer(member)
    )
    roots = frozenset(at for at, member in enumerate(everything) if search.is_root(member))
    return Above(path, path[-1] if search.is_root(path[-1]) else None, everything, links, roots)


_Name = tuple[bytes, bytes]


def _name(member: Member) -> _Name:
    """What a certificate is an issue of: verifiers go by subject and key."""
    return member.fields.subject, member.fields.spki


class _Search:
    """The certificates that are shown, by what they are issues of, and who signed each."""

    def __init__(
        self, members: Sequence[Member], above: Sequence[Member], now: datetime, signatures: Signatures
    ) -> None:
        mine = {member.fields.der for member in members}
        self._shown = [*members, *(member for member in above if member.fields.der not in mine)]
        self._mine, self._anchors = mine, {member.fields.der for member in above}
        self._now, self._signatures = now, signatures
        self._issues: dict[_Name, list[Member]] = defaultdict(list)
        self._signed_by: dict[bytes, _Name | None] = {}
        for member in self._shown:
            self._issues[_name(member)].append(member)
        self._own = _name(members[0])

    def is_root(self, member: Member) -> bool:
        """Tell whether a certificate is self-signed."""
        return self._signatures.of(member, member)

    def trusted(self, member: Member) -> bool:
        """Tell whether ca.crt has a certificate, or of a root another issue: they verify the same."""
        issues = self._issues[_name(member)] if self.is_root(member) else [member]
        return any(one.fields.der in self._anchors and (one is member or self.is_root(one)) for one in issues)

    def signer(self, member: Member) -> _Name | None:
        """Whose key signed a certificate, of those that are shown; once it is found, the others are not tried."""
        data = member.fields.der
        if self.is_root(member):
            return _name(member)
        if data not in self._signed_by:
            found = next((one for one in _likely(member, self._shown) if self._signatures.of(member, one)), None)
            self._signed_by[data] = _name(found) if found is not None else None
        return self._signed_by[data]

    def reached(self, *, spare: bool = True) -> list[Member]:
        """The CA's own certificate, all that are above it, and their other issues, of roots the `spare` ones only if wanted."""
        names, found = [self._own], list[Member]()
        for name in names:
            issues = self._issues[name] if spare else self._choices(name)
            found += issues
            uppers = (self.signer(member) for member in issues)
            names += [upper for upper in dict.fromkeys(uppers) if upper is not None and upper not in names]
        return found

    def paths(self) -> Iterator[tuple[Member, ...]]:
        """All ways up, those first that lead over what tls.crt shows."""
        return self._paths(self._own, frozenset())

    def _paths(self, name: _Name, below: frozenset[_Name]) -> Iterator[tuple[Member, ...]]:
        below |= {name}
        for member in self._choices(name):
            upper = self.signer(member)
            if upper is None or upper in below:
                yield (member,)
            else:
                yield from ((member, *rest) for rest in self._paths(upper, below))

    def _choices(self, name: _Name) -> list[Member]:
        """The issues of one subject and key: those of tls.crt, the root, then what ca.crt has of others."""
        issues = self._issues[name]
        roots = [member for member in issues if self.is_root(member)]
        mine = [member for member in issues if member not in roots and member.fields.der in self._mine]
        others = [member for member in issues if member not in roots and member not in mine]
        others.sort(key=lambda member: (self._valid(member), member.fields.not_after), reverse=True)
        return [*mine, *sorted(roots, key=self._worth, reverse=True)[:1], *others]

    def _worth(self, root: Member) -> tuple[bool, bool, datetime]:
        """Order the issues of one root, which verify the same: one in ca.crt, while it is valid, is there to be trusted."""
        return self._valid(root), root.fields.der in self._anchors, root.fields.not_after

    def _valid(self, member: Member) -> bool:
        return member.fields.not_before <= self._now < member.fields.not_after


def _likely(member: Member, others: Sequence[Member]) -> list[Member]:
    """Put those first whose key is named by the certificate: a guess that saves work, and decides nothing."""
    named = member.authority_key.key_id if member.authority_key is not None else None
    return sorted(others, key=lambda one: named is None or one.subject_key_id != named)
