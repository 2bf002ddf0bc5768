"""Would anybody accept this certificate? Asked before it is signed, as a verifier asks, of the CA and all above it.

A certificate that nobody can verify is worse than none: it is stored, served and trusted to work. So what RFC 5280 (6.1)
has a verifier check is checked here on the decision: path lengths, name constraints, usages, dates, key identifiers,
critical extensions. The judges are Go (istiod) and OpenSSL, which stands for BoringSSL (Envoy) too; where only one of them
would accept a certificate, the finding says so. tests/integration/test_verifiable.py holds every verdict against both.
Why not pyca's verifier (cryptography.x509.verification): it wants DNS names or IP addresses, has the web's rules, and knows no
constraints of URIs, which is what workloads are named by (ADR 37).

What hangs on the kind of a certificate alone is found once for each CA and kind, and held by equality afterwards; names
cost time only below CAs with name constraints. Pure functions over frozen values, safe in any thread.
"""

import functools
import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple

from issuers.authority import Authority
from issuers.line import Finding, Level, Line, emails_alone, level_of
from issuers.template import CertificateTemplate, within
from issuers.x509 import keys, usages
from issuers.x509.general_names import read_general_names
from issuers.x509.purposes import (
    ANY,
    ANY_IS_NONE,
    CLIENT,
    SERVER,
    TLS,
    Purposes,
    allowed_text,
    common,
    purposes_text,
    usable,
)
from issuers.x509.subject import EMPTY_NAME, read_name, same_name
from issuers.x509.subtrees import names_of

_WORST_FIRST: tuple[Level, ...] = ("nobody", "go", "openssl", "part", "strict", "host")
_DNS_TAG = b"\x82"
_LONGEST_NAME = 80
_GO_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*+", re.ASCII)
_INNER = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_OPENSSL_WILDCARD = re.compile(
    rf"(?!xn--)(?:\*[A-Za-z0-9-]*|[A-Za-z0-9][A-Za-z0-9-]*\*)(?<!-)(?:\.{_INNER}){{2,}}", re.ASCII | re.IGNORECASE
)
_CERT_SIGN = 1 << usages.KEY_USAGES.index(usages.CERT_SIGN)
_CRL_SIGN = 1 << usages.KEY_USAGES.index("crl sign")
_TLS_SERVER = sum(
    1 << usages.KEY_USAGES.index(name) for name in ("digital signature", "key encipherment", "key agreement")
)
_TLS_CLIENT = sum(1 << usages.KEY_USAGES.index(name) for name in ("digital signature", "key agreement"))


def as_signed(
    template: CertificateTemplate, authority: Authority | None
) -> tuple[CertificateTemplate, tuple[Finding, ...]]:
    """Return what a CA would sign of a template, with all that verifiers have against it and against the CA.

    None for the authority: a certificate that its own key signs.
    """
    if authority is None:
        return template, findings_of(template, None)
    template = within(template, not_before=authority.not_before, not_after=authority.not_after)
    return template, (*findings_of(template, authority.line), *authority.line.findings)


def findings_of(template: CertificateTemplate, line: Line | None) -> tuple[Finding, ...]:
    """Tell what keeps verifiers from accepting what was decided, the worst first; () when nothing does.

    `line` is the signing CA's, None for a certificate that its own key signs. What holds for every certificate of the CA
    is in `line.findings` and not here, but for what its certificates themselves say wrong.
    """
    kind = _of_kind(line, _kind_of(template))
    san = template.san_der
    # Workloads are named by URIs.
    hosts = _of_hosts(san, template.usages) if san is not None and _DNS_TAG in san and not template.is_ca else ()
    if line is None:
        return (*kind, *hosts)
    if not kind and not hosts and not line.subtrees and _in_time(template, line):
        return ()  # the hot path
    found = [*kind, *hosts, *_of_dates(template, line), *_of_names(template, line)]
    found.sort(key=lambda finding: _WORST_FIRST.index(finding.level))
    return tuple(found)


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
        for oid, needed, name in ((SERVER, _TLS_SERVER, "server"), (CLIENT, _TLS_CLIENT, "client")):
            if oid in asked and not bits & needed:
                yield Finding("openssl", "usages", f"{name} auth without digital signature, a key usage that TLS needs")


def _of_purposes(line: Line, kind: _Kind, asked: tuple[str, ...]) -> Iterator[Finding]:
    if kind.is_ca or not asked or ANY in asked:
        # What is below a CA meets the CA's own usages too; that a leaf is for any purpose takes none away.
        own: Purposes = (("the request", frozenset(asked)),) if asked and kind.is_ca else ()
        every = (*line.purposes, *own)
        if not common(every):
            wanted = purposes_text(asked) if asked else "all"
            yield Finding("nobody", "usages", f"{wanted} asked for, but {allowed_text(line.purposes)}")
        elif own and usable(TLS, every, go=True) and not usable(TLS, every, go=False):
            yield Finding("openssl", "usages", ANY_IS_NONE)
        return
    go, openssl = usable(asked, line.purposes, go=True), usable(asked, line.purposes, go=False)
    if not go and not openssl:
        yield Finding("nobody", "usages", f"{purposes_text(asked)} asked for, but {allowed_text(line.purposes)}")
    elif not go:
        yield Finding("go", "usages", f"{purposes_text(asked)} asked for, but {allowed_text(line.purposes)}")
    elif not openssl:
        yield Finding("openssl", "usages", f"{purposes_text(asked)} asked for, but {ANY_IS_NONE}")
    elif lost := [oid for oid in asked if oid not in go or oid not in openssl]:
        yield Finding("part", "usages", f"not to be used for {purposes_text(lost)}: {allowed_text(line.purposes)}")


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


def _in_time(template: CertificateTemplate, line: Line) -> bool:
    return line.not_before <= template.not_before < template.not_after <= line.not_after


def _of_dates(template: CertificateTemplate, line: Line) -> Iterator[Finding]:
    if template.not_after <= template.not_before:
        yield Finding("nobody", "duration", "nothing is left of the life of the CA")
    elif not _in_time(template, line):
        text = (
            f"from {template.not_before:%Y-%m-%dT%H:%M:%SZ} to {template.not_after:%Y-%m-%dT%H:%M:%SZ}, its CA and those "
            f"above it only from {line.not_before:%Y-%m-%dT%H:%M:%SZ} to {line.not_after:%Y-%m-%dT%H:%M:%SZ}"
        )
        yield Finding("nobody", "duration", text)


def _of_names(template: CertificateTemplate, line: Line) -> Iterator[Finding]:
    if not line.subtrees:
        return
    names = () if template.san_der is None else names_of(read_general_names(template.san_der))
    subject_names = read_name(template.subject_der, 0, len(template.subject_der))
    if template.is_ca:
        subject_names = emails_alone(subject_names)
    told: set[Level] = set()
    for subject, subtrees in line.subtrees:
        for excluded in subtrees.refused(names, subject_names):
            if (level := level_of(excluded)) not in told:  # one of each is enough to tell
                told.add(level)
                yield Finding(level, "names", f"{subject!r} does not let {excluded.name!r} pass (name constraints)")


@functools.lru_cache(maxsize=256)
def _of_hosts(san: bytes, asked: tuple[str, ...]) -> tuple[Finding, ...]:
    """One finding for the DNS names by which no client, or not each, would find a server's certificate to be its host's."""
    extended = usages.split_usages(asked)[1]
    if extended and not {"server auth", "any"} & set(extended):
        return ()
    wrong = [(name, why) for name in read_general_names(san).dns_names if (why := host_problem(name))]
    if not wrong:
        return ()
    name, why = wrong[0]
    more = f", as are {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return (Finding("host", "names", f"DNS name {name[:_LONGEST_NAME]!r} {why}{more}"),)


def host_problem(name: str) -> str:
    """Say why a DNS name of a certificate matches no host, or not for all who ask; "" for one that does.

    As Go matches (crypto/x509 VerifyHostname: each label of a pattern is one of a host, a wildcard is the whole first label) and
    OpenSSL (X509_check_host: a wildcard may be part of the first label, and needs two dots behind it).
    """
    if _is_address(name):
        return "is an IP address, which clients look for among the IP addresses: no host is called so"
    go, openssl = _go_matches(name), _openssl_matches(name)
    if go and openssl:
        return ""
    if go:
        return "matches a host in Go alone; OpenSSL wants two labels or more behind a wildcard, of letters, digits and hyphens"
    if openssl:
        return "matches a host in OpenSSL alone; elsewhere a wildcard is the whole first label, as in *.example.com"
    if name.endswith(".") and not host_problem(name[:-1]):
        return "matches no host: clients ask without the dot at the end"
    if "*" in name:
        return "matches no host: a wildcard is the whole first label, as in *.example.com, and stands for one"
    return "matches no host: its labels are of letters, digits, hyphens and underscores, and none begins with a hyphen"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _go_matches(name: str) -> bool:
    first, *others = name.split(".")
    return ((first == "*" and bool(others)) or bool(_GO_LABEL.fullmatch(first))) and all(
        map(_GO_LABEL.fullmatch, others)
    )


def _openssl_matches(name: str) -> bool:
    # Without a wildcard it is compared as it is, with what Go takes for a host's name.
    return bool(_OPENSSL_WILDCARD.fullmatch(name)) if "*" in name else _go_matches(name)
