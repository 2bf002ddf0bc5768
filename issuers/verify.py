"""Would anybody accept this certificate? Asked before it is signed, as a verifier asks, of the CA and all above it.

A certificate that nobody can verify is worse than none: it is stored, served and trusted to work. So what RFC 5280 (6.1)
has a verifier check is checked here on the decision: path lengths, name constraints, usages, dates, key identifiers,
critical extensions. The judges are Go (istiod, cert-manager, ztunnel's control plane) and OpenSSL, which stands for
BoringSSL (Envoy) too; tests/integration/test_verifiable.py holds every verdict against both. Where they differ the
stricter one counts, and a finding says that the other would accept. Go by itself is not asked, nor is pyca's verifier:
it wants DNS names or IP addresses and knows no constraints of URIs, which is what workloads are named by (ADR 37).

What hangs on the kind of a certificate alone is found once for each CA and kind, and held by equality afterwards; names
cost time only below CAs with name constraints. Pure functions over frozen values, safe in any thread.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from issuers.inspection import CertificateFields
from issuers.template import CertificateTemplate
from issuers.x509 import der, extensions, keys, usages
from issuers.x509.general_names import GeneralNames, read_general_names
from issuers.x509.subject import EMPTY_NAME, RelativeName, name_text, read_name, same_name
from issuers.x509.subtrees import EMAIL_ATTRIBUTE, Excluded, Subtrees, read_subtrees

Level = Literal["nobody", "go", "openssl", "part", "strict"]
_WORST_FIRST: tuple[Level, ...] = ("nobody", "go", "openssl", "part", "strict")
_WHO: dict[Level, str] = {
    "nobody": "",
    "go": "; programs written in Go refuse it",
    "openssl": "; OpenSSL and Envoy refuse it",
    "part": "",
    "strict": "; strict verifiers refuse it",
}

_CERT_SIGN = 1 << usages.KEY_USAGES.index(usages.CERT_SIGN)
_CRL_SIGN = 1 << usages.KEY_USAGES.index("crl sign")
_TLS_SERVER = sum(
    1 << usages.KEY_USAGES.index(name) for name in ("digital signature", "key encipherment", "key agreement")
)
_TLS_CLIENT = sum(1 << usages.KEY_USAGES.index(name) for name in ("digital signature", "key agreement"))
_ANY = usages.EXTENDED_USAGES["any"]
_SERVER = usages.EXTENDED_USAGES["server auth"]
_CLIENT = usages.EXTENDED_USAGES["client auth"]
_EMAIL = usages.EXTENDED_USAGES["email protection"]
_GATED = frozenset({usages.EXTENDED_USAGES["microsoft sgc"], usages.EXTENDED_USAGES["netscape sgc"]})

_TLS = (_SERVER, _CLIENT, _EMAIL)
_ANY_IS_NONE = "extended key usage any in a CA counts for no purpose of TLS"

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
    asked; `strict` ones do not accept it (RFC 5280 to the letter, as `openssl verify -x509_strict`). `field` is the one
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
    return tuple(finding for finding in findings if finding.level != "strict")


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
    names: GeneralNames
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
        names=GeneralNames() if san is None else read_general_names(san),
        subject_key_id=None if own is None else extensions.decode_subject_key_id(own),
        authority_key=None if above is None else extensions.read_authority_key(above),
        explicit_policy=None if policy is None else extensions.decode_explicit_policy(policy),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What a CA and those above it mean for a certificate below: the CA first, the root last, where it is known.

    `spare` says how many CAs there may be between the CA and a leaf, and which certificate says so (None: any number);
    `spare_for_go` the same where self-issued ones count, as in Go. `purposes` are the extended usages of each that has
    any, with its name; `without_key_id` subject and kind of key of those that do not name it. Times are UTC.
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
    """Put a line together from its members, each signed by the next, with keys of a kind that is taken. What is wrong with it whatever is below: `findings`."""
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


def findings_of(template: CertificateTemplate, line: Line | None) -> tuple[Finding, ...]:
    """Tell what keeps verifiers from accepting what was decided, the worst first; () when nothing does.

    `line` is the signing CA's, None for a certificate that its own key signs. What holds for every certificate of the CA
    is in `line.findings` and not here, but for what its certificates themselves say wrong.
    """
    found = list(_of_kind(line, _kind_of(template)))
    if line is not None:
        found += _of_dates(template, line)
        if line.subtrees:
            found += _of_names(template, line)
    found.sort(key=lambda finding: _WORST_FIRST.index(finding.level))
    return tuple(found)


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
    purposes = _purposes(members)
    if not _common(purposes):
        yield Finding("nobody", members[0].field, f"no purpose is left: {_allowed(purposes)}")
    elif _usable(_TLS, purposes, go=True) and not _usable(_TLS, purposes, go=False):
        yield Finding("openssl", members[0].field, _ANY_IS_NONE)


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
    for excluded in upper.subtrees.refused(member.names, _emails_alone(member.subject_names)):
        text = (
            f"{upper.subject!r} does not let the name {excluded.name!r} of {member.subject!r} pass (name constraints)"
        )
        yield Finding(_level(excluded), member.field, text)
        return


def _level(excluded: Excluded) -> Level:
    if excluded.go and excluded.openssl:
        return "nobody"
    return "go" if excluded.go else "openssl"


def _emails_alone(names: tuple[RelativeName, ...]) -> tuple[RelativeName, ...]:
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


class _Kind(NamedTuple):
    is_ca: bool
    usages: tuple[str, ...]
    unknown: tuple[str, ...]
    subject: bool
    names: bool
    ca_name: bytes
    ca_key: str


def _kind_of(template: CertificateTemplate) -> _Kind:
    return _Kind(
        template.is_ca,
        template.usages,
        template.unknown_extended_key_usages,
        template.subject_der != EMPTY_NAME,
        template.san_der is not None,
        # Its name and the kind of its key matter in a CA alone.
        template.subject_der if template.is_ca else b"",
        keys.check_public_key(template.spki) if template.is_ca else "",
    )


@functools.lru_cache(maxsize=1024)
def _of_kind(line: Line | None, kind: _Kind) -> tuple[Finding, ...]:
    bits, extended = usages.split_usages(kind.usages)
    asked = (*(usages.EXTENDED_USAGES[name] for name in extended), *kind.unknown)
    return (*_of_usages(line, kind, bits, asked), *_of_form(line, kind, bits), *_of_path(line, kind))


def _of_path(line: Line | None, kind: _Kind) -> Iterator[Finding]:
    if line is None or not kind.is_ca:
        return
    self_issued = kind.ca_name == line.subject_der
    for spare, needed, level in ((line.spare, int(not self_issued), "nobody"), (line.spare_for_go, 1, "go")):
        if spare is not None and spare[0] < needed:
            text = f"{spare[1]!r} allows no CA below {line.subject!r} (path length of its basic constraints)"
            if spare[1] == line.subject:
                text = f"{line.subject!r} allows no CA below it (path length 0 of its basic constraints)"
            yield Finding("nobody" if level == "nobody" else "go", "isCA", text)
            return


def _of_usages(line: Line | None, kind: _Kind, bits: int, asked: tuple[str, ...]) -> Iterator[Finding]:
    if kind.is_ca and bits and not bits & _CERT_SIGN:
        yield Finding("nobody", "usages", "a CA without the usage cert sign: nobody accepts what it signs")
    if not kind.is_ca and bits & _CERT_SIGN:
        yield Finding("strict", "usages", "cert sign for a certificate that is no CA (RFC 5280, 4.2.1.3)")
    if line is not None and line.purposes:
        yield from _of_purposes(line, kind, asked)
    if bits and not kind.is_ca:
        for oid, needed, name in ((_SERVER, _TLS_SERVER, "server"), (_CLIENT, _TLS_CLIENT, "client")):
            if oid in asked and not bits & needed:
                yield Finding("openssl", "usages", f"{name} auth without digital signature, a key usage that TLS needs")


def _of_purposes(line: Line, kind: _Kind, asked: tuple[str, ...]) -> Iterator[Finding]:
    if kind.is_ca or not asked or _ANY in asked:
        own: Purposes = (("the request", frozenset(asked)),) if asked else ()
        every = (*line.purposes, *own)
        if not _common(every):
            wanted = _names(asked) if asked else "all"
            yield Finding("nobody", "usages", f"{wanted} asked for, but {_allowed(line.purposes)}")
        elif asked and _usable(_TLS, every, go=True) and not _usable(_TLS, every, go=False):
            yield Finding("openssl", "usages", _ANY_IS_NONE)
        return
    go, openssl = _usable(asked, line.purposes, go=True), _usable(asked, line.purposes, go=False)
    if not go and not openssl:
        yield Finding("nobody", "usages", f"{_names(asked)} asked for, but {_allowed(line.purposes)}")
    elif not go:
        yield Finding("go", "usages", f"{_names(asked)} asked for, but {_allowed(line.purposes)}")
    elif not openssl:
        yield Finding("openssl", "usages", f"{_names(asked)} asked for, but {_ANY_IS_NONE}")
    elif lost := [oid for oid in asked if oid not in go or oid not in openssl]:
        yield Finding("part", "usages", f"not to be used for {_names(lost)}: {_allowed(line.purposes)}")


def _of_form(line: Line | None, kind: _Kind, bits: int) -> Iterator[Finding]:
    if line is None and not kind.subject:
        text = "a self-signed certificate without a subject has an empty issuer name (RFC 5280, 4.1.2.4)"
        yield Finding("strict", "subject", text)
    elif line is not None and line.subject_der == EMPTY_NAME:
        text = "its CA has no subject, so the issuer name is empty (RFC 5280, 4.1.2.4)"
        yield Finding("strict", "subject", text)
    rivals = line.without_key_id if line is not None and kind.is_ca else ()
    if any(key == kind.ca_key and same_name(kind.ca_name, name) for name, key in rivals):
        text = "a CA with the name of one above it that has no subject key identifier: the two are taken for one"
        yield Finding("openssl", "subject", text)
    if not kind.subject and (kind.is_ca or bits & _CRL_SIGN or not kind.names):
        what = (
            "a CA" if kind.is_ca else "a certificate that signs CRLs" if kind.names else "a certificate without names"
        )
        yield Finding("strict", "subject", f"{what} needs a subject (RFC 5280, 4.1.2.6)")


def _of_dates(template: CertificateTemplate, line: Line) -> Iterator[Finding]:
    if template.not_after <= template.not_before:
        yield Finding("nobody", "duration", "nothing is left of the life of the CA")
    elif template.not_before < line.not_before or template.not_after > line.not_after:
        text = (
            f"from {template.not_before:%Y-%m-%dT%H:%M:%SZ} to {template.not_after:%Y-%m-%dT%H:%M:%SZ}, its CA and those "
            f"above it only from {line.not_before:%Y-%m-%dT%H:%M:%SZ} to {line.not_after:%Y-%m-%dT%H:%M:%SZ}"
        )
        yield Finding("nobody", "duration", text)


def _of_names(template: CertificateTemplate, line: Line) -> Iterator[Finding]:
    names = GeneralNames() if template.san_der is None else read_general_names(template.san_der)
    subject_names = read_name(template.subject_der, 0, len(template.subject_der))
    if template.is_ca:
        subject_names = _emails_alone(subject_names)
    told: set[Level] = set()
    for subject, subtrees in line.subtrees:
        for excluded in subtrees.refused(names, subject_names):
            if (level := _level(excluded)) not in told:  # one of each is enough to tell
                told.add(level)
                yield Finding(level, "names", f"{subject!r} does not let {excluded.name!r} pass (name constraints)")


Purposes = tuple[tuple[str, frozenset[str]], ...]


def _purposes(members: Sequence[Member]) -> Purposes:
    return tuple((member.subject, member.purposes) for member in members if member.purposes is not None)


def _common(allowed: Purposes) -> bool:
    """Whether there is a purpose that all allow."""
    listed = [purposes for _, purposes in allowed if _ANY not in purposes]
    return not listed or bool(frozenset.intersection(*listed))


def _usable(wanted: tuple[str, ...], allowed: Purposes, *, go: bool) -> frozenset[str]:
    """Which of the wanted purposes all CAs allow, as Go or as OpenSSL reads them."""
    return frozenset(oid for oid in wanted if all(_allows(purposes, oid, go=go) for _, purposes in allowed))


def _allows(purposes: frozenset[str], oid: str, *, go: bool) -> bool:
    if oid in purposes:
        return True
    if go:
        return _ANY in purposes
    # OpenSSL looks at a CA's usages for these alone, and takes the old names of server auth there.
    if oid not in _TLS:
        return True
    return oid == _SERVER and bool(purposes & _GATED)


def _allowed(allowed: Purposes) -> str:
    return ", ".join(f"{subject!r} allows only {_names(sorted(oids))}" for subject, oids in allowed)


def _names(oids: Sequence[str]) -> str:
    return " and ".join(usages.extended_usage_name(oid) or oid for oid in oids)
