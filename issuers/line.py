"""A CA and all above it, as verifiers read them: what they allow below, and what is wrong with them whatever is below.

Read once for each change of a CA (issuers/authority.py). Pure functions over frozen values, safe in any thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from issuers.inspection import CertificateFields
from issuers.x509 import der, extensions, keys, usages
from issuers.x509.general_names import read_general_names
from issuers.x509.purposes import ANY_IS_NONE, TLS, allowed_text, common, usable
from issuers.x509.subject import EMPTY_NAME, RelativeName, name_text, read_name
from issuers.x509.subtrees import EMAIL_ATTRIBUTE, Excluded, Name, Subtrees, names_of, read_subtrees

Level = Literal["nobody", "go", "openssl", "part", "strict", "host"]
_WHO: dict[Level, str] = {
    "nobody": "",
    "go": "; programs written in Go refuse it",
    "openssl": "; OpenSSL and Envoy refuse it",
    "part": "",
    "strict": "; strict verifiers refuse it",
    "host": "",
}

# What Go and OpenSSL both handle when it is critical (crypto/x509 processExtensions; X509_supported_extension).
_KNOWN = frozenset(
    {
        extensions.SUBJECT_ALT_NAME,
        extensions.KEY_USAGE,
        extensions.BASIC_CONSTRAINTS,
        extensions.NAME_CONSTRAINTS,
        extensions.EXTENDED_KEY_USAGE,
        extensions.CRL_DISTRIBUTION_POINTS,
        extensions.CERTIFICATE_POLICIES,
        extensions.POLICY_MAPPINGS,
        extensions.POLICY_CONSTRAINTS,
        extensions.INHIBIT_ANY_POLICY,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why verifiers would not accept a certificate, or what a CA signs.

    `level`: `nobody` accepts it; programs in `go` do not, or those with `openssl`; it is good for a `part` of what is
    asked; `strict` ones do not accept it (RFC 5280 to the letter, as `openssl verify -x509_strict`); all accept it, but a
    name of it is no `host`'s for them. `field` is the one
    of the wish ("isCA", "usages", "names", "subject", "duration"), or the Secret's.
    """

    level: Level
    field: str
    text: str

    def __str__(self) -> str:
        """Field, what is wrong with it, and for whom."""
        return f"{self.field}: {self.text}{_WHO[self.level]}"


def by_nobody(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings that together leave nobody who accepts the certificate; () when somebody does."""
    if alone := tuple(finding for finding in findings if finding.level == "nobody"):
        return alone
    apart = tuple(finding for finding in findings if finding.level in ("go", "openssl"))
    return apart if {finding.level for finding in apart} == {"go", "openssl"} else ()


def by_some(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings for which one of the two does not accept the certificate, or not for all that is asked."""
    return tuple(finding for finding in findings if finding.level not in ("strict", "host"))


@dataclass(frozen=True, slots=True)
class Member:
    """One certificate of a line as a verifier reads it. `field` is the Secret's key that it stands in."""

    field: str
    fields: CertificateFields
    subject: str
    subject_names: tuple[RelativeName, ...]
    is_ca: bool
    path_length: int | None
    key_usage: int | None
    purposes: frozenset[str] | None
    subtrees: Subtrees | None
    names: tuple[Name, ...]
    subject_key_id: bytes | None
    authority_key: extensions.AuthorityKey | None
    explicit_policy: int | None

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are one name: such a CA does not count against path lengths (RFC 5280, 6.1)."""
        return self.fields.issuer == self.fields.subject


def read_member(field: str, fields: CertificateFields) -> Member:
    """Read what a verifier looks at. Raises der.DerError."""
    found = fields.extensions
    names = read_name(fields.subject, 0, len(fields.subject))
    is_ca, path_length = False, None
    if extensions.BASIC_CONSTRAINTS in found:
        is_ca, path_length = extensions.decode_basic_constraints(found[extensions.BASIC_CONSTRAINTS][1])

    def value(identifier: bytes) -> bytes | None:
        entry = found.get(identifier)
        return None if entry is None else entry[1]

    usage, purposes = value(extensions.KEY_USAGE), value(extensions.EXTENDED_KEY_USAGE)
    constraints, san = value(extensions.NAME_CONSTRAINTS), value(extensions.SUBJECT_ALT_NAME)
    policy = value(extensions.POLICY_CONSTRAINTS)
    own, above = value(extensions.SUBJECT_KEY_IDENTIFIER), value(extensions.AUTHORITY_KEY_IDENTIFIER)
    return Member(
        field=field,
        fields=fields,
        subject=name_text(names) or "the certificate without a subject",
        subject_names=names,
        is_ca=is_ca,
        path_length=path_length,
        key_usage=None if usage is None else usages.decode_key_usage(usage),
        purposes=None if purposes is None else frozenset(usages.decode_extended_key_usage(purposes)),
        subtrees=None if constraints is None else read_subtrees(constraints),
        names=() if san is None else names_of(read_general_names(san)),
        subject_key_id=None if own is None else extensions.decode_subject_key_id(own),
        authority_key=None if above is None else extensions.read_authority_key(above),
        explicit_policy=None if policy is None else extensions.decode_explicit_policy(policy),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What a CA and those above it mean for a certificate below: the CA first, the root last, where it is known.

    `spare` says how many CAs there may be between the CA and a leaf, and which certificate says so (None: any number);
    `spare_for_go` the same where self-issued ones count, as in Go. `purposes` are the extended usages of each that has
    any, with its name; `without_key_id` subject and kind of key of those that do not name it; `findings` what is wrong
    with the line, whatever is below it. Times are UTC.
    """

    subject: str
    subject_der: bytes
    not_before: datetime
    not_after: datetime
    spare: tuple[int, str] | None
    spare_for_go: tuple[int, str] | None
    purposes: tuple[tuple[str, frozenset[str]], ...]
    subtrees: tuple[tuple[str, Subtrees], ...]
    without_key_id: tuple[tuple[bytes, str], ...]
    findings: tuple[Finding, ...]


def line_of(members: Sequence[Member]) -> Line:
    """Put a line together from its members: each is signed by the next, and their keys are of a kind that is taken."""
    below = 0
    spare: tuple[int, str] | None = None
    spare_for_go: tuple[int, str] | None = None
    for for_go, member in enumerate(members):
        if member.path_length is not None:
            if spare is None or member.path_length - below < spare[0]:
                spare = (member.path_length - below, member.subject)
            if spare_for_go is None or member.path_length - for_go < spare_for_go[0]:
                spare_for_go = (member.path_length - for_go, member.subject)
        below += not member.self_issued
    return Line(
        subject=members[0].subject,
        subject_der=members[0].fields.subject,
        not_before=max(member.fields.not_before for member in members),
        not_after=min(member.fields.not_after for member in members),
        spare=spare,
        spare_for_go=spare_for_go,
        purposes=tuple((member.subject, member.purposes) for member in members if member.purposes is not None),
        subtrees=tuple((member.subject, member.subtrees) for member in members if member.subtrees is not None),
        without_key_id=tuple(
            (member.fields.subject, keys.check_public_key(member.fields.spki))
            for member in members
            if member.subject_key_id is None
        ),
        findings=tuple(_of_members(members, spare, spare_for_go)),
    )


def _of_members(
    members: Sequence[Member], spare: tuple[int, str] | None, spare_for_go: tuple[int, str] | None
) -> Iterator[Finding]:
    for index, member in enumerate(members):
        yield from _of_member(member)
        if member.explicit_policy is not None and member.explicit_policy <= index + 1:
            text = f"{member.subject!r} requires certificate policies, which are never written here"
            yield Finding("go", member.field, text)
        if index + 1 < len(members):
            yield from _of_key_ids(member, members[index + 1])
        for upper in members[index + 1 :]:
            yield from _of_own_names(member, upper)
    if spare is not None and spare_for_go is not None and spare_for_go[0] < 0 <= spare[0]:
        text = f"{spare_for_go[1]!r} allows fewer CAs below it than there are, where renewed ones count too"
        yield Finding("go", members[0].field, text)
    purposes = tuple((member.subject, member.purposes) for member in members if member.purposes is not None)
    if not common(purposes):
        yield Finding("nobody", members[0].field, f"no purpose is left: {allowed_text(purposes)}")
    elif usable(TLS, purposes, go=True) and not usable(TLS, purposes, go=False):
        yield Finding("openssl", members[0].field, ANY_IS_NONE)


def _of_member(member: Member) -> Iterator[Finding]:
    quoted = repr(member.subject)
    for identifier, (critical, _) in member.fields.extensions.items():
        if critical and identifier not in _KNOWN:
            oid = der.object_identifier(identifier[2:])
            yield Finding("nobody", member.field, f"{quoted} has the critical extension {oid}, which is not known")
    if member.subtrees is not None and member.subtrees.others:
        constraints = member.fields.extensions[extensions.NAME_CONSTRAINTS]
        text = f"{quoted} has name constraints of a kind that is not looked at here"
        yield Finding("go" if constraints[0] else "strict", member.field, text)
    if member.fields.serial == 0:
        yield Finding(
            "strict", member.field, f"{quoted} has the serial number 0, where RFC 5280 wants a positive one (4.1.2.2)"
        )
    if member.fields.subject == EMPTY_NAME:
        yield Finding("strict", member.field, "a CA without a subject: what it signs has an empty issuer name")
    if member.key_usage is None:
        yield Finding("strict", member.field, f"{quoted} has no key usage")
    if member.subject_key_id is None:
        yield Finding("strict", member.field, f"{quoted} has no subject key identifier")
    basic = member.fields.extensions.get(extensions.BASIC_CONSTRAINTS)
    if basic is not None and not basic[0]:
        yield Finding("strict", member.field, f"{quoted} has basic constraints that are not critical")


def _of_own_names(member: Member, upper: Member) -> Iterator[Finding]:
    if upper.subtrees is None:
        return
    for excluded in upper.subtrees.refused(member.names, emails_alone(member.subject_names)):
        text = (
            f"{upper.subject!r} does not let the name {excluded.name!r} of {member.subject!r} pass (name constraints)"
        )
        yield Finding(level_of(excluded), member.field, text)
        return


def level_of(excluded: Excluded) -> Level:
    """Who refuses a name that constraints do not let pass."""
    if excluded.go and excluded.openssl:
        return "nobody"
    return "go" if excluded.go else "openssl"


def emails_alone(names: tuple[RelativeName, ...]) -> tuple[RelativeName, ...]:
    """A common name is read as a host in leaves alone; email addresses in a subject count everywhere."""
    return tuple(tuple(pair for pair in pairs if pair[0] == EMAIL_ATTRIBUTE) for pairs in names)


def _of_key_ids(member: Member, above: Member) -> Iterator[Finding]:
    said = member.authority_key
    if said is None or said.key_id is None:
        yield Finding("strict", member.field, f"{member.subject!r} does not name the key of the CA above it")
    if said is None:
        return
    other_key = said.key_id is not None and above.subject_key_id is not None and said.key_id != above.subject_key_id
    other_serial = said.serial is not None and said.serial != above.fields.serial
    if other_key or other_serial:
        text = f"{member.subject!r} names another key or certificate than that of {above.subject!r} above it"
        yield Finding("openssl", member.field, f"{text} (authority key identifier)")
