"""Must a new certificate be issued, and is the present one in order? An ordered list of checks; the first hit counts.

Pure. The reasons are cert-manager's (internal/controller/certificates/policies), so that alerts and habits stay; the
order is too, since it decides which reason a user sees.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from signer.api.certificate import Certificate, IssuerReference
from signer.api.meta import to_rfc3339
from signer.api.secret import TLS_CERT, TLS_KEY
from signer.certificates.renewal import renewal_time, useful_until
from signer.certificates.secrets.issued_for import noted, wish_of
from signer.certificates.secrets.view import SecretView, key_mismatches
from signer.certificates.spec.check import Defect
from signer.certificates.spec.matching import RequestView, certificate_mismatches, request_mismatches
from signer.certificates.well_known import CERTIFICATE_NAME, ISSUED_FOR, ISSUER_GROUP, ISSUER_KIND, ISSUER_NAME

DOES_NOT_EXIST = "DoesNotExist"
MISSING_DATA = "MissingData"
INVALID_KEY_PAIR = "InvalidKeyPair"
INVALID_CERTIFICATE = "InvalidCertificate"
INCORRECT_ISSUER = "IncorrectIssuer"
INCORRECT_CERTIFICATE = "IncorrectCertificate"
SECRET_MISMATCH = "SecretMismatch"  # noqa: S105 - a condition's reason
REQUEST_CHANGED = "RequestChanged"
RENEWING = "Renewing"
EXPIRED = "Expired"
NOT_YET_VALID = "NotYetValid"
# The clock of an issuer elsewhere may be ahead of ours by so much.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the checks look at.

    `current` is the request that led to the Secret's certificate (its revision is the Certificate's), None when it
    was deleted or there was none yet.
    """

    certificate: Certificate
    secret: SecretView | None
    current: RequestView | None
    now: datetime


def issuance_needed(facts: Facts) -> Defect | None:
    """Tell why a new certificate must be issued now, or None."""
    return _first(facts, _near_its_end)


def not_ready(facts: Facts) -> Defect | None:
    """Tell why the certificate that is there is not in order, or None."""
    return _first(facts, _expired)


def undone_by_another(facts: Facts) -> bool:
    """Tell whether what is wrong is somebody's write to the Secret, or its deletion, and no change of ours or of the spec."""
    view = facts.secret
    checks = (_missing_data, _pair_differs, _other_certificate, _key_exchanged)
    return view is None or any(check(facts, view) is not None for check in checks)


def _first(facts: Facts, last: "_SecretCheck") -> Defect | None:
    view = facts.secret
    if view is None:
        return Defect(DOES_NOT_EXIST, "Issuing certificate as Secret does not exist")
    for check in (*_CHECKS, last):
        found = check(facts, view)
        if found is not None:
            return found
    return None


def _missing_data(_: Facts, view: SecretView) -> Defect | None:
    data = view.secret.data
    if not data:
        return Defect(MISSING_DATA, "Issuing certificate as Secret does not contain any data")
    if not data.get(TLS_KEY):
        return Defect(MISSING_DATA, "Issuing certificate as Secret does not contain a private key")
    if not data.get(TLS_CERT):
        return Defect(MISSING_DATA, "Issuing certificate as Secret does not contain a certificate")
    return None


def _pair_differs(_: Facts, view: SecretView) -> Defect | None:
    if view.key is None:
        return Defect(
            INVALID_KEY_PAIR, f"Issuing certificate as Secret contains invalid private key data: {view.key_problem}"
        )
    if view.leaf is None:
        return Defect(
            INVALID_CERTIFICATE, f"Issuing certificate as Secret contains an invalid certificate: {view.leaf_problem}"
        )
    if view.leaf_spki != view.key.spki:
        return Defect(
            INVALID_KEY_PAIR, "Issuing certificate as Secret contains a private key that does not match the certificate"
        )
    return None


def _placeholder(facts: Facts, view: SecretView) -> Defect | None:
    # Only before the first issuance: who asks a self-signed issuer for such a subject gets one certificate, not a loop.
    if facts.current is None and view.placeholder:
        return Defect(DOES_NOT_EXIST, "Issuing certificate as Secret holds only a placeholder")
    return None


def _other_issuer(facts: Facts, view: SecretView) -> Defect | None:
    notes = view.secret.metadata.annotations
    if not any(key in notes for key in (ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP)):
        return None
    before = IssuerReference(
        name=notes.get(ISSUER_NAME, ""), kind=notes.get(ISSUER_KIND, ""), group=notes.get(ISSUER_GROUP, "")
    )
    if before.normal() == facts.certificate.spec.issuer_ref.normal():
        return None
    return Defect(INCORRECT_ISSUER, f'Issuing certificate as Secret was previously issued by "{before}"')


def _other_certificate(facts: Facts, view: SecretView) -> Defect | None:
    name = view.secret.metadata.annotations.get(CERTIFICATE_NAME)
    if name is None or name == facts.certificate.metadata.name:
        return None
    return Defect(INCORRECT_CERTIFICATE, f'Issuing certificate as Secret was issued for Certificate "{name}"')


def _other_key_wanted(facts: Facts, view: SecretView) -> Defect | None:
    if view.key is None:
        return None
    fields = key_mismatches(view.key, facts.certificate.spec)
    if not fields:
        return None
    return Defect(SECRET_MISMATCH, f"Existing private key is not up to date for spec: {', '.join(fields)}")


def _key_exchanged(facts: Facts, view: SecretView) -> Defect | None:
    if facts.current is None or facts.current.csr is None or view.key is None:
        return None
    if facts.current.csr.spki == view.key.spki:
        return None
    return Defect(SECRET_MISMATCH, "Secret contains a private key that does not match the current CertificateRequest")


def _spec_changed(facts: Facts, view: SecretView) -> Defect | None:
    """Hold the spec against the request that led to the certificate, and against the mark of what it was issued for.

    Where neither is there, the certificate's names are held against it: that an issuer writes them otherwise is then not known.
    """
    spec = facts.certificate.spec
    marked = noted(view.secret, view.leaf)
    if marked and marked == wish_of(spec):
        return None
    if facts.current is None:
        fields = certificate_mismatches(view.leaf, spec) if view.leaf is not None else ()
        if not fields and not marked:
            return None
        named = ", ".join(fields) or f"it was issued for another spec ({ISSUED_FOR})"
        return Defect(SECRET_MISMATCH, f"Existing issued Secret is not up to date for spec: {named}")
    if facts.current.csr is None and not marked:
        return None  # an unreadable old request is no reason to give up a certificate that may be in order
    fields = request_mismatches(facts.current, spec)
    if not fields and not marked:
        return None
    named = ", ".join(fields) or f"the certificate was issued for another spec ({ISSUED_FOR})"
    return Defect(REQUEST_CHANGED, f"Fields on existing CertificateRequest resource not up to date: {named}")


def _not_yet(facts: Facts, view: SecretView) -> Defect | None:
    """A certificate of the future: a clock was ahead when it was made, and was put right."""
    if view.leaf is None or facts.now + SKEW >= view.leaf.not_valid_before_utc:
        return None
    return Defect(NOT_YET_VALID, f"Certificate is not valid before {to_rfc3339(view.leaf.not_valid_before_utc)}")


def _near_its_end(facts: Facts, view: SecretView) -> Defect | None:
    if view.leaf is None:
        return None
    begin = view.leaf.not_valid_before_utc
    end = useful_until(begin, view.leaf.not_valid_after_utc, view.trust_ends)
    due = renewal_time(facts.certificate.spec, begin, end)
    if facts.now < due:
        return None
    return Defect(RENEWING, f"Renewing certificate as renewal was scheduled at {to_rfc3339(due)}")


def _expired(facts: Facts, view: SecretView) -> Defect | None:
    if view.leaf is None:
        return None
    if facts.now > view.leaf.not_valid_after_utc:
        return Defect(EXPIRED, f"Certificate expired on {to_rfc3339(view.leaf.not_valid_after_utc)}")
    if view.trust_ends is not None and facts.now > view.trust_ends:
        return Defect(EXPIRED, f"A CA above the certificate expired on {to_rfc3339(view.trust_ends)}")
    return None


_SecretCheck = Callable[[Facts, SecretView], Defect | None]
_CHECKS: tuple[_SecretCheck, ...] = (
    _missing_data,
    _pair_differs,
    _placeholder,
    _other_issuer,
    _other_certificate,
    _other_key_wanted,
    _key_exchanged,
    _spec_changed,
    _not_yet,
)
