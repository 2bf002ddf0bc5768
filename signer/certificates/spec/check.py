"""Is a Certificate's spec one that we can issue? What cert-manager's webhook refuses, and what we do not support or read.

Pure. Everything that is wrong is told at once, each with its field.
Source: cert-manager v1.20, internal/apis/certmanager/validation/certificate.go.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from issuers.x509.literal_subject import common_name_of, read_literal_subject
from issuers.x509.subject import COMMON_NAME, RelativeName
from issuers.x509.usages import EXTENDED_USAGES, KEY_USAGES
from signer.api.certificate import (
    Certificate,
    CertificateSpec,
    Keystores,
    NameConstraintItem,
    PrivateKeySpec,
    Subject,
)
from signer.api.duration import InvalidDuration, parse_duration
from signer.certificates.renewal import DEFAULT_DURATION, MIN_DURATION, MIN_RENEW_BEFORE
from signer.certificates.secrets.keystores import MAX_ALIAS_BYTES, PROFILES, password_problem
from signer.certificates.spec.readable import unreadable
from signer.certificates.well_known import ALLOW_DIRECT_INJECTION, RESERVED_PREFIXES

UNSUPPORTED = "UnsupportedField"
INVALID = "InvalidSpec"

MESSAGE_LIMIT = 1024
"""Bytes (UTF-8) of a message: a spec may have thousands of defects, and a condition is sent to all who watch."""

OUTPUT_FORMATS = ("DER", "CombinedPEM")
RSA_SIZES = range(2048, 8192 + 1)
EC_SIZES = (256, 384, 521)
_USAGES = frozenset((*KEY_USAGES, *EXTENDED_USAGES, "signing"))
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
# Kubernetes: "Labels and Selectors", syntax and character set.
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", re.ASCII)
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)
_EMAIL = re.compile(r"[^\s@<>\"(),:;\[\\\]]+@[^\s@<>\"(),:;\[\\\]]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Defect:
    """Why something is not as it must be: a condition's reason, and a message for people."""

    reason: str
    message: str


def spec_defect(certificate: Certificate) -> Defect | None:
    """Tell what keeps this spec from being issued, or None."""
    if certificate.problem:
        return Defect(INVALID, capped(certificate.problem))
    if certificate.unsupported:
        fields = capped(", ".join(certificate.unsupported))
        return Defect(UNSUPPORTED, f"{fields}: not supported by this version of mesh-signer; nothing is issued")
    # What is wrong by the API's own rules is told in its words; only what it lets through is tried on the reader.
    problems = tuple(_problems(certificate.spec)) or tuple(unreadable(certificate.spec))
    return Defect(INVALID, capped("; ".join(problems))) if problems else None


def capped(text: str) -> str:
    """The text, or its beginning when it is longer than MESSAGE_LIMIT; with nothing in it that cannot be shown."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    data = text.encode(errors="replace")
    return text if len(data) <= MESSAGE_LIMIT else data[:MESSAGE_LIMIT].decode(errors="ignore") + " ... and more"


def _problems(spec: CertificateSpec) -> Iterator[str]:
    if not spec.secret_name:
        yield "spec.secretName: must be set"
    elif len(spec.secret_name) > 253 or not _SUBDOMAIN.fullmatch(spec.secret_name):
        yield f"spec.secretName: {spec.secret_name[:80]!r} is not a valid Secret name"
    if not spec.issuer_ref.name:
        yield "spec.issuerRef.name: must be set"
    if spec.issuer_ref.misspelt:
        yield f"spec.issuerRef.group: {spec.issuer_ref.misspelt}"
    if spec.issuer_ref.ours and spec.issuer_ref.kind not in ("", "Issuer", "ClusterIssuer"):
        yield f"spec.issuerRef.kind: {spec.issuer_ref.kind!r} is neither Issuer nor ClusterIssuer"
    yield from _name_problems(spec)
    yield from _output_problems(spec)
    yield from _key_problems(spec.private_key or PrivateKeySpec())
    if spec.signature_algorithm not in _signature_algorithms(spec.private_key or PrivateKeySpec()):
        yield f"spec.signatureAlgorithm: {spec.signature_algorithm!r} does not fit spec.privateKey.algorithm"
    yield from _time_problems(spec)
    for index, usage in enumerate(spec.usages):
        if usage not in _USAGES:
            yield f"spec.usages[{index}]: {usage!r} is not a known usage"
    if spec.revision_history_limit is not None and spec.revision_history_limit < 1:
        yield f"spec.revisionHistoryLimit: {spec.revision_history_limit} is less than 1"
    if spec.secret_template is not None:
        labels = spec.secret_template.labels
        yield from _entry_problems("spec.secretTemplate.labels", labels)
        yield from _entry_problems("spec.secretTemplate.annotations", spec.secret_template.annotations)
        for key, value in sorted(labels.items()):
            if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
                yield f"spec.secretTemplate.labels[{ascii(key[:80])[1:-1]}]: {value[:80]!r} is not a valid label value"
    yield from _constraint_problems(spec)


def _name_problems(spec: CertificateSpec) -> Iterator[str]:
    literal, problem = _literal_subject(spec)
    if problem:
        yield f"spec.literalSubject: {problem}"
    elif not any(
        (
            spec.common_name,
            common_name_of(literal),
            spec.dns_names,
            spec.uris,
            spec.email_addresses,
            spec.ip_addresses,
            spec.other_names,
        )
    ):
        yield (
            "spec: at least one of commonName (or CN in literalSubject), dnsNames, ipAddresses, uris, emailAddresses, "
            "otherNames must be set"
        )
    if spec.literal_subject and spec.common_name:
        yield "spec.literalSubject, spec.commonName: only one of the two can be set; write CN=... in literalSubject"
    if spec.literal_subject and spec.subject is not None and spec.subject != Subject():
        yield "spec.literalSubject, spec.subject: only one of the two can be set; literalSubject is the whole subject"
    for text in (text for pairs in literal for kind, text in pairs if kind == COMMON_NAME and len(text) > 64):
        yield f"spec.literalSubject: CN has {len(text)} characters, 64 are allowed"
    if len(spec.common_name) > 64:  # RFC 5280, appendix A: ub-common-name
        yield f"spec.commonName: {len(spec.common_name)} characters, 64 are allowed"
    for index, name in enumerate(spec.dns_names):
        if not name or not name.isascii() or not name.isprintable() or " " in name:
            hint = "" if name.isascii() else "; write it in its xn-- form"
            yield f"spec.dnsNames[{index}]: {name[:80]!r} is not a valid DNS name{hint}"
        elif "/" in name or ":" in name:
            host = name.rpartition("//")[2].partition("/")[0].partition(":")[0]
            meant = f": is {host[:80]!r} meant?" if host else ""
            yield f"spec.dnsNames[{index}]: {name[:80]!r} is a URL or has a port, and no host is called so{meant}"
    for index, name in enumerate(spec.ip_addresses):
        if "%" in name or not _is(ipaddress.ip_address, name):
            yield f"spec.ipAddresses[{index}]: {name[:80]!r} is not an IP address"
    for index, name in enumerate(spec.uris):
        if not name.isascii() or not name.isprintable() or " " in name or not _is(_absolute_uri, name):
            yield f"spec.uris[{index}]: {name[:80]!r} is not a valid URI"
    for index, name in enumerate(spec.email_addresses):
        if not _EMAIL.fullmatch(name) or not name.isascii() or not name.isprintable():
            yield f"spec.emailAddresses[{index}]: {name[:80]!r} is not a valid e-mail address (give the address alone)"
    for index, other in enumerate(spec.other_names):
        if not _OID.fullmatch(other.oid):
            yield f"spec.otherNames[{index}].oid: {other.oid[:80]!r} is not an object identifier"
        if not other.utf8_value:
            yield f"spec.otherNames[{index}].utf8Value: must be set"


def _literal_subject(spec: CertificateSpec) -> tuple[tuple[RelativeName, ...], str]:
    """The names of literalSubject, and why they cannot be read."""
    try:
        return read_literal_subject(spec.literal_subject), ""
    except ValueError as error:
        return (), str(error)


def _output_problems(spec: CertificateSpec) -> Iterator[str]:
    """What keeps the further forms of key and certificate from being written."""
    formats = [one.type for one in spec.additional_output_formats]
    for index, one in enumerate(formats):
        if one not in OUTPUT_FORMATS:
            yield f"spec.additionalOutputFormats[{index}].type: {one[:80]!r} is neither DER nor CombinedPEM"
        elif one in formats[:index]:
            yield f"spec.additionalOutputFormats[{index}].type: {one} appears twice"
    stores = spec.keystores or Keystores()
    for name, store in (("jks", stores.jks), ("pkcs12", stores.pkcs12)):
        if store is None or not store.create:
            continue
        field, ref = f"spec.keystores.{name}", store.password_secret_ref
        named = ref is not None and bool(ref.name)
        if named and store.password is not None:
            yield f"{field}.passwordSecretRef, {field}.password: only one of the two can be set"
        elif not named and not store.password:
            yield f"{field}: passwordSecretRef (a Secret's name and key) or password must be set, and not be empty"
        elif ref is not None and named and not ref.key:
            yield f"{field}.passwordSecretRef.key: must be set: the entry of Secret {ref.name[:80]} with the password"
        if store.password is not None and (why := password_problem(store.password.encode(errors="replace"))):
            yield f"{field}.password: {why}"
    if stores.pkcs12 is not None and stores.pkcs12.profile not in PROFILES:
        yield (
            f"spec.keystores.pkcs12.profile: {stores.pkcs12.profile[:80]!r} is none of LegacyRC2, LegacyDES, Modern2023"
        )
    if stores.jks is not None and len((stores.jks.alias or "").encode(errors="replace")) > MAX_ALIAS_BYTES:
        yield f"spec.keystores.jks.alias: more than {MAX_ALIAS_BYTES} bytes"


def _key_problems(key: PrivateKeySpec) -> Iterator[str]:
    if key.algorithm not in ("", "RSA", "ECDSA", "Ed25519"):
        yield f"spec.privateKey.algorithm: {key.algorithm!r} is none of RSA, ECDSA, Ed25519"
    elif key.algorithm == "ECDSA" and key.size and key.size not in EC_SIZES:
        yield f"spec.privateKey.size: {key.size} is not one of 256, 384, 521 (ECDSA)"
    elif key.algorithm in ("", "RSA") and key.size and key.size not in RSA_SIZES:
        yield f"spec.privateKey.size: {key.size} is not between 2048 and 8192 (RSA)"
    if key.encoding not in ("", "PKCS1", "PKCS8"):
        yield f"spec.privateKey.encoding: {key.encoding!r} is neither PKCS1 nor PKCS8"
    if key.rotation_policy not in ("", "Never", "Always"):
        yield f"spec.privateKey.rotationPolicy: {key.rotation_policy!r} is neither Never nor Always"


def _signature_algorithms(key: PrivateKeySpec) -> tuple[str, ...]:
    """What spec.signatureAlgorithm may be; "" leaves the choice to us."""
    if key.algorithm == "Ed25519":
        return ("", "PureEd25519")
    suffix = "ECDSAWith{}" if key.algorithm == "ECDSA" else "{}WithRSA"
    return ("", *(suffix.format(digest) for digest in ("SHA256", "SHA384", "SHA512")))


def _time_problems(spec: CertificateSpec) -> Iterator[str]:
    duration, renew_before = DEFAULT_DURATION, None
    try:
        if spec.duration is not None:
            duration = parse_duration(spec.duration)
    except InvalidDuration as error:
        yield f"spec.duration: {error}"
        return
    try:
        if spec.renew_before is not None:
            renew_before = parse_duration(spec.renew_before)
    except InvalidDuration as error:
        yield f"spec.renewBefore: {error}"
        return
    if duration < MIN_DURATION:
        yield f"spec.duration: {spec.duration} is less than 1h"
    percentage = spec.renew_before_percentage
    if renew_before is not None and percentage is not None:
        yield "spec.renewBefore, spec.renewBeforePercentage: only one of the two can be set"
    elif renew_before is not None:
        yield from _window_problems("spec.renewBefore", renew_before, duration)
    elif percentage is not None:
        if not 0 < percentage < 100:
            yield f"spec.renewBeforePercentage: {percentage} is not between 1 and 99"
        else:
            yield from _window_problems("spec.renewBeforePercentage", duration * percentage / 100, duration)


def _window_problems(field: str, window: timedelta, duration: timedelta) -> Iterator[str]:
    if window < MIN_RENEW_BEFORE:
        yield f"{field}: gives less than 5m for the renewal"
    if window >= duration:
        yield f"{field}: the renewal would start before the certificate does"


def _entry_problems(field: str, entries: Mapping[str, str]) -> Iterator[str]:
    """Keys that the API server would refuse, with the whole Secret, and keys that are not the user's to set."""
    for key in sorted(entries):
        prefix, slash, name = key.rpartition("/")
        prefix_fits = not slash or (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix))
        if not (prefix_fits and name and len(name) <= 63 and _LABEL_VALUE.fullmatch(name)):
            yield f"{field}: {key[:80]!r} is not a valid label or annotation name"
        elif key.startswith(RESERVED_PREFIXES) and key != ALLOW_DIRECT_INJECTION:
            yield f"{field}[{key}]: this prefix is reserved"


def _constraint_problems(spec: CertificateSpec) -> Iterator[str]:
    constraints = spec.name_constraints
    if constraints is None:
        return
    if not spec.is_ca:
        yield "spec.nameConstraints: only a CA (isCA: true) can have them"
    if constraints.permitted is None and constraints.excluded is None:
        yield "spec.nameConstraints: permitted or excluded must be set"
    for side, item in (("permitted", constraints.permitted), ("excluded", constraints.excluded)):
        for index, network in enumerate((item or NameConstraintItem()).ip_ranges):
            if not _is(_network, network):
                yield f"spec.nameConstraints.{side}.ipRanges[{index}]: {network[:80]!r} is not a CIDR range"


def _is(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _network(text: str) -> object:
    return ipaddress.ip_network(text, strict=False)


def _absolute_uri(text: str) -> None:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError(text)
