"""The steps of one issuance: names of what is made, which request counts, and what came of it.

Pure. All names follow from the Certificate, so that a controller that was killed at any point finds what its
predecessor made, instead of starting again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from cryptography import x509

from issuers.x509 import parts
from signer.api.certificate import Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.duration import InvalidDuration, parse_duration
from signer.api.meta import find_condition, from_rfc3339, has_condition, to_rfc3339
from signer.api.names import is_subdomain, shortened
from signer.api.secret import NEXT_KEY_LABEL
from signer.api.text import shown
from signer.authorities.state import NOT_BY_ALL
from signer.certificates import well_known
from signer.certificates.policies import SKEW, Facts, not_ready
from signer.certificates.secrets.content import owner_reference
from signer.certificates.secrets.view import KeyView, read_leaf, spki_of
from signer.certificates.spec.check import Defect
from signer.certificates.spec.matching import RequestView, certificate_mismatches, lacking, request_mismatches

DEFAULT_HISTORY = 1
_NOT_COPIED = ("kubectl.kubernetes.io/", "fluxcd.io/", "argocd.argoproj.io/", "mesh-signer.dev/")
INVALID_CERTIFICATE = "InvalidCertificate"
# The clock of an issuer elsewhere may be ahead of ours by so much.
_SKEW = timedelta(minutes=5)
# An issuer that is there says sooner that it has seen a request.
ANSWER_TAKES = timedelta(minutes=1)
# Issuers backdate and round.
_ROUNDED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: still pending, issued, or failed with the reason that the Certificate's status tells.

    `mendable`: it goes on when others have mended what was in the way.
    """

    state: Literal["pending", "issued", "failed"]
    reason: str = ""
    message: str = ""
    mendable: bool = False


def revision_of(request: CertificateRequest) -> int:
    """The revision that a request belongs to; 0 for one that says none, which is not part of any issuance."""
    text = request.metadata.annotations.get(well_known.REVISION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def current_request(certificate: Certificate, owned: Iterable[CertificateRequest]) -> CertificateRequest | None:
    """The request that led to the present certificate, if it is still there."""
    revision = certificate.status.revision or 0
    return next((r for r in owned if revision and revision_of(r) == revision), None)


def next_request(certificate: Certificate, owned: Iterable[CertificateRequest]) -> CertificateRequest | None:
    """The request of the issuance that is under way: the newest beyond the present revision."""
    newer = [r for r in owned if revision_of(r) > (certificate.status.revision or 0)]
    return max(newer, key=revision_of, default=None)


def superfluous_requests(certificate: Certificate, owned: Sequence[CertificateRequest]) -> list[CertificateRequest]:
    """The oldest requests beyond spec.revisionHistoryLimit; never the one of the present certificate."""
    limit = certificate.spec.revision_history_limit or DEFAULT_HISTORY
    numbered = sorted((r for r in owned if revision_of(r)), key=revision_of)
    surplus = numbered[: max(len(numbered) - limit, 0)]
    return [r for r in surplus if revision_of(r) != certificate.status.revision]


def asked_with(current: RequestView | None, key: KeyView | None) -> bool:
    """Tell whether a key is the one that the present certificate was asked for with: then it is ours."""
    return current is not None and current.csr is not None and key is not None and current.csr.spki == key.spki


def obsolete(view: RequestView, certificate: Certificate, key: KeyView) -> str:
    """Why the next request must be thrown away and made anew; "" when it can be waited for.

    It asks for what the spec no longer wants, carries another key, or failed before this issuance began (the retry
    after a failure has the same revision, and so the same name). A failure that the status has counted already did:
    the times of the issuance may be another clock's, who begins one by hand, and are whole seconds.
    """
    if view.csr is None:
        return "it cannot be read"
    if fields := request_mismatches(view, certificate.spec):
        return f"it does not match {', '.join(fields)}"
    if view.csr.spki != key.spki:
        return "its key is not the next private key"
    issuing = find_condition(certificate.status.conditions, well_known.ISSUING)
    began = from_rfc3339(issuing.last_transition_time) if issuing is not None else None
    if began is None or outcome(view.request).state != "failed":
        return ""
    failed_at, counted = _failed_at(view.request), from_rfc3339(certificate.status.last_failure_time)
    # Where nobody says when, it failed after it was made.
    since = failed_at or from_rfc3339(view.request.metadata.creation_timestamp)
    if (failed_at is not None and failed_at < began) or (
        since is not None and counted is not None and since <= counted
    ):
        return "it failed in an earlier attempt"
    return ""


def outcome(request: CertificateRequest) -> Outcome:
    """Read what came of a request. A denial counts before anything that an issuer wrote in spite of it."""
    conditions = request.status.conditions
    for kind in (well_known.DENIED, well_known.INVALID_REQUEST):
        found = find_condition(conditions, kind)
        if found is not None and found.status == "True":
            return Outcome("failed", found.reason or kind, found.message)
    ready = find_condition(conditions, well_known.READY)
    if ready is None:
        if request.status.failure_time:
            return Outcome(
                "failed", well_known.FAILED, "its issuer says by status.failureTime that it failed, and nothing of why"
            )
        return Outcome("pending")
    if ready.reason in (well_known.FAILED, well_known.REASON_DENIED):
        return Outcome("failed", ready.reason, ready.message, has_condition(conditions, well_known.REFUSED))
    if ready.status == "True" and request.status.certificate:
        return Outcome("issued")
    return Outcome("pending", ready.reason, ready.message)


def warned(request: CertificateRequest) -> list[Defect]:
    """What was said of an issued certificate that some verifiers will not accept: known as long as its request is there."""
    found = find_condition(request.status.conditions, well_known.NOT_BY_ALL)
    if found is None or found.status != "True" or not found.message:
        return []
    return [Defect(found.reason or NOT_BY_ALL, found.message)]


def unanswered(request: CertificateRequest, now: datetime) -> tuple[str, timedelta]:
    """What a pending request waits for: what it says, or, where nothing is said for a minute, who says nothing.

    Also how long it is until the latter is to be said; zero in any other case.
    """
    found, status = outcome(request), request.status
    if found.message:
        return found.message, timedelta(0)
    approved = find_condition(status.conditions, well_known.APPROVED)
    since = (request.metadata.creation_timestamp, approved.last_transition_time if approved is not None else None)
    begins = [moment for text in since if (moment := from_rfc3339(text)) is not None]
    left = max(begins) + ANSWER_TAKES - now if begins else timedelta(0)
    if left > timedelta(0):
        return "", left
    reference = request.spec.issuer_ref
    name, kind, group = (shown(text) for text in reference.normal())
    if approved is None or approved.status != "True":
        return "nobody has approved or denied it; is an approver installed for its issuer?", timedelta(0)
    if found.reason:
        return f"its issuer says {shown(found.reason)} and nothing of why", timedelta(0)
    if reference.ours:
        return (
            "nobody has answered; does the controller certificaterequests run, and is its audit log written?",
            timedelta(0),
        )
    return f"no issuer of group {group} has answered ({kind} {name}); is its controller installed?", timedelta(0)


def issued_leaf(request: CertificateRequest, key: KeyView, facts: Facts) -> x509.Certificate | Defect:
    """The certificate that an issuer returned, checked before it is stored: readable, for our key, valid now.

    One that says something else than the spec never replaces one that is in order (`facts` has what is in the Secret).
    """
    leaf, problem = read_leaf(request.status.certificate)
    if leaf is None:
        return Defect(INVALID_CERTIFICATE, f"Issuer returned an invalid certificate: {problem}")
    if spki_of(leaf) != key.spki:
        return Defect(INVALID_CERTIFICATE, "Issuer returned a certificate for another public key than the CSR's")
    if facts.certificate.spec.is_ca and not parts.is_ca(leaf):
        return Defect(INVALID_CERTIFICATE, "Issuer returned a certificate that is no CA's, and spec.isCA asks for a CA")
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if facts.now >= end:
        return Defect(INVALID_CERTIFICATE, f"Issuer returned a certificate that expired on {to_rfc3339(end)}")
    if facts.now + SKEW < begin:
        return Defect(
            INVALID_CERTIFICATE, f"Issuer returned a certificate that is not valid before {to_rfc3339(begin)}"
        )
    fields = certificate_mismatches(leaf, facts.certificate.spec)
    if fields and not_ready(facts) is None:
        return Defect(
            INVALID_CERTIFICATE,
            f"Issuer returned a certificate that does not match {', '.join(fields)}; the one that is there is in order",
        )
    return leaf


def cut_short(certificate: Certificate, leaf: x509.Certificate) -> str:
    """Say that a certificate is valid for less than spec.duration asks; "" when it is not, or nothing is asked."""
    text = certificate.spec.duration
    try:
        wanted = parse_duration(text) if text else None
    except InvalidDuration:
        return ""
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    if wanted is None or lifetime >= wanted - _ROUNDED:
        return ""
    return (
        f"spec.duration: {text} is asked for, and the certificate ends on {to_rfc3339(leaf.not_valid_after_utc)}, after "
        f"{lifetime.days} days: its issuer gives no more, or the CA ends then"
    )


def less_given(certificate: Certificate, leaf: x509.Certificate) -> str:
    """Say what of the spec a certificate does not have; "" when it has it all."""
    fields = lacking(leaf, certificate.spec)
    return f"the issuer gave less than was asked for: the certificate lacks {', '.join(fields)}" if fields else ""


def key_secret_name(certificate: Certificate) -> str:
    """Name the Secret that keeps the next private key while an issuance is under way.

    Another one for each revision: what a killed predecessor left of the last issuance holds a key that is in use. What the
    status names is kept, unless no Secret can be called so: whoever may edit Certificates may write it.
    """
    if (named := certificate.status.next_private_key_secret_name) and is_subdomain(named):
        return named
    issuance = f"{certificate.metadata.uid}/{certificate.status.revision or 0}"
    digest = hashlib.sha256(issuance.encode()).hexdigest()[:8]
    return f"{shortened(certificate.metadata.name, 200)}-key-{digest}"


def request_name(certificate: Certificate, revision: int) -> str:
    """Name the CertificateRequest of a revision, as cert-manager does: <name>-<revision>."""
    return f"{shortened(certificate.metadata.name, 233)}-{revision}"


def key_secret_body(certificate: Certificate, name: str, key_pem: bytes) -> dict[str, Any]:
    """The Secret for the next private key, owned by the Certificate. Bytes are encoded by the caller's JSON encoder."""
    return {
        "metadata": {
            "name": name,
            "namespace": certificate.metadata.namespace,
            "labels": {NEXT_KEY_LABEL: "true", well_known.FAO_LABEL: "true"},
            "ownerReferences": [owner_reference(certificate)],
        },
        "type": "Opaque",
        "data": {"tls.key": key_pem},
    }


def request_body(certificate: Certificate, revision: int, csr_pem: bytes, key_secret: str) -> dict[str, Any]:
    """The CertificateRequest of a revision, owned by the Certificate."""
    meta, raw = certificate.metadata, certificate.raw_spec
    spec: dict[str, Any] = {"request": csr_pem, "issuerRef": raw["issuerRef"]}
    for field in ("duration", "isCA", "usages"):
        if raw.get(field):
            spec[field] = raw[field]
    return {
        "apiVersion": CERTIFICATE_REQUESTS.api_version,
        "kind": CERTIFICATE_REQUESTS.kind,
        "metadata": {
            "name": request_name(certificate, revision),
            "namespace": meta.namespace,
            "labels": dict(meta.labels),
            "annotations": {
                **copied_annotations(meta.annotations),
                well_known.CERTIFICATE_NAME: meta.name,
                well_known.REVISION: str(revision),
                well_known.PRIVATE_KEY_SECRET: key_secret,
            },
            "ownerReferences": [owner_reference(certificate)],
        },
        "spec": spec,
    }


def own_request(body: dict[str, Any]) -> CertificateRequest:
    """Read a CertificateRequest that is about to be made as it will be read when it is there."""
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode(body)), CertificateRequest)


def copied_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations of a Certificate that its CertificateRequests get: all but those of tools that apply it.

    cert-manager's default of --copied-annotation-prefixes; ours on a Certificate are notes about that object alone.
    """
    return {key: value for key, value in annotations.items() if not key.startswith(_NOT_COPIED)}


def issuing(certificate: Certificate) -> bool:
    """Tell whether an issuance is under way; `cmctl renew` sets this condition to start one."""
    return has_condition(certificate.status.conditions, well_known.ISSUING)


def _failed_at(request: CertificateRequest) -> datetime | None:
    times = [request.status.failure_time]
    for kind in (well_known.DENIED, well_known.INVALID_REQUEST, well_known.READY):
        found = find_condition(request.status.conditions, kind)
        times.append(found.last_transition_time if found is not None else None)
    return next((moment for text in times if (moment := from_rfc3339(text)) is not None), None)
