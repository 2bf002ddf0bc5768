"""The one place where a CertificateRequest becomes a certificate. Every signature passes the wall (tenancy/decide).

Pure, given the time and the serial number. An RSA-8192 CA takes some 50 ms: callers run it off the loop.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from issuers.certificate import CertificateTemplate, self_sign, sign, template_for
from issuers.errors import TemplateError
from issuers.line import by_nobody
from issuers.request import SigningRequest
from issuers.template import within
from issuers.verify import findings_of
from issuers.x509.keys import PrivateKey
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import SelfSignedIssuer
from signer.authorities.state import NOT_VERIFIABLE, IssuerState
from signer.tenancy.decide import decide, limits_requesters, standing
from signer.tenancy.verdict import Bind, Claim, Confirm, Grant, Limits, Reason, Refuse, Reread, Unready
from signer.tenancy.world import World

# Fields that the request's spec and its CSR say differently; all others are the issuer's, or of a Secret, which can be mended.
_OF_REQUEST = frozenset(("isCA", "usages", "duration"))


@dataclass(frozen=True, slots=True)
class Signed:
    """What goes into the status: `certificate` is leaf and intermediates, `ca` the topmost CA that is known; PEM.

    `warnings` say which verifiers will not accept it, though others do.
    """

    certificate: bytes
    ca: bytes
    warnings: tuple[str, ...] = ()


def asks_requester(state: IssuerState, world: World) -> bool:
    """Tell whether it matters who made a request for this issuer (`decide_request` takes him)."""
    return limits_requesters(world, state.ref, state.authority.key_id if state.authority is not None else "")


def in_mesh(state: IssuerState, world: World) -> bool:
    """Tell whether an issuer signs for the mesh, as far as the mesh is read."""
    authority = state.authority
    key_id = authority.key_id if authority is not None else ""
    return standing(world, requester="", signer=state.ref, ca_key_id=key_id).mesh


def decide_request(
    request: CertificateRequest,
    csr: SigningRequest,
    state: IssuerState,
    *,
    world: World,
    lifetime: timedelta,
    limits: Limits,
    now: datetime,
    requester: str = "",
) -> Grant | Refuse | Unready | Confirm:
    """Ask the wall whether an approved request may be signed by a ready issuer. On the loop: the world changes there.

    `requester` is who made it, as far as the API server vouches for that, "" where it does not: spec.username alone is
    the author's own word.
    """
    authority = state.authority
    claim = Claim(
        requester=requester,
        signer=state.ref,
        ca_key_id=authority.key_id if authority is not None else "",
        request=csr,
        usages=request.spec.usages,
        is_ca=request.spec.is_ca,
        lifetime=lifetime,
        resource="CertificateRequest",
        namespace=request.metadata.namespace,
        ca_not_after=authority.not_after if authority is not None else None,
        root_key_id=authority.root_key_id if authority is not None else "",
        chain=authority.chain if authority is not None else None,
    )
    verdict = decide(claim, world, limits, fresh=True, now=now)
    if isinstance(verdict, Bind | Reread):
        raise TypeError("a CertificateRequest is never granted by a claim")
    return verdict


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be signed. `warnings` say which verifiers will not accept it, though others do."""

    template: CertificateTemplate
    warnings: tuple[str, ...]


def prepare(
    request: CertificateRequest, csr: SigningRequest, state: IssuerState, grant: Grant, *, now: datetime
) -> Prepared | Refuse:
    """Say what was granted as a certificate, or tell why it makes none that anybody would accept."""
    authority = state.authority
    own = state.issuer.spec.self_signed or SelfSignedIssuer()
    try:
        template = template_for(
            csr,
            usages=request.spec.usages,
            duration=grant.lifetime,
            is_ca=request.spec.is_ca,
            now=now,
            add_cert_sign=True,
            crl_distribution_points=state.ca.crl_distribution_points or own.crl_distribution_points,
            ocsp_servers=state.ca.ocsp_servers,
            issuing_certificate_urls=state.ca.issuing_certificate_urls,
        )
        if authority is not None:
            template = within(template, not_before=authority.not_before, not_after=authority.not_after)
        found = findings_of(template, authority.line if authority is not None else None)
    except TemplateError as error:
        return _no_template(error)
    if nobody := by_nobody((*found, *(authority.line.findings if authority is not None else ()))):
        return Refuse(tuple(Reason(NOT_VERIFIABLE, f"nobody would accept the certificate: {one}") for one in nobody))
    return Prepared(template, tuple(map(str, found)))


class Contradiction(Refuse, frozen=True):
    """Refused for what the request itself says: nobody else can mend that."""


def _no_template(error: TemplateError) -> Refuse:
    reasons = (Reason("SigningError", f"Error generating certificate template: spec.{error}"),)
    return Contradiction(reasons) if error.field in _OF_REQUEST else Refuse(reasons)


def sign_request(
    request: CertificateRequest,
    csr: SigningRequest,
    state: IssuerState,
    grant: Grant,
    *,
    key: PrivateKey | None,
    now: datetime,
    serial: int,
) -> Signed | Refuse:
    """Sign what was granted, or tell why it makes no certificate.

    `key` is the request's own private key, for a selfSigned issuer. Raises SigningFailed when what was signed is not
    what was decided; it must not be stored then.
    """
    authority = state.authority
    prepared = prepare(request, csr, state, grant, now=now)
    if isinstance(prepared, Refuse):
        return prepared
    if authority is not None:
        return Signed(sign(prepared.template, authority, serial=serial).pem, authority.anchor_pem, prepared.warnings)
    if key is None:
        return Refuse((Reason("MissingAnnotation", f"{state.ref} has no CA and no private key was named"),))
    try:
        issued = self_sign(prepared.template, key, serial=serial)
    except TemplateError as error:
        return _no_template(error)
    return Signed(issued.pem, issued.pem, prepared.warnings)
