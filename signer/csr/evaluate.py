"""What to do with one approved request: the order of checks, as a pure function.

The order and the reasons are cert-manager's (pkg/controller/certificatesigningrequests/sync.go and ca/ca.go), so that
what users know stays true. What must be asked over the network (may the requester reference this Issuer? which key is
in that Secret?) comes back as a question; the caller asks and evaluates again with the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from issuers.authority import Authority
from issuers.certificate import CertificateTemplate, template_for
from issuers.errors import MalformedRequest, TemplateError
from issuers.istio_request import dns_names, uri_name
from issuers.line import by_nobody, by_some
from issuers.request import SigningRequest
from issuers.shape import read_request
from issuers.template import mesh_template
from issuers.verify import as_signed
from signer.api.certificatesigningrequest import RequestContent
from signer.api.duration import InvalidDuration, format_duration, parse_duration
from signer.api.issuer import IssuerRef
from signer.api.secret import TLS_KEY
from signer.api.signername import ISSUER_DOMAIN
from signer.authorities.state import NOT_VERIFIABLE, PENDING, TYPE_MISSING, IssuerState
from signer.csr.outcome import Answers, AskKey, AskReference, Issue, NoKey, Verdict
from signer.csr.queue.flow import claimed_identity
from signer.observe.names import identity_of, names_of
from signer.tenancy.decide import Standing, entitlement, judge, standing, unready, unrouted
from signer.tenancy.grants import Claimable, Granted, NotGranted
from signer.tenancy.mesh_cas import CA
from signer.tenancy.routes import ROOT_NOT_KNOWN, route
from signer.tenancy.verdict import Claim, Grant, Inquiry, Limits, Reason, Refuse, Route, Unready, Wait
from signer.tenancy.world import World

DURATION_ANNOTATION = "experimental.cert-manager.io/request-duration"
IS_CA_ANNOTATION = "experimental.cert-manager.io/request-is-ca"
PRIVATE_KEY_ANNOTATION = "experimental.cert-manager.io/private-key-secret-name"

DEFAULT_DURATION = timedelta(days=90)
MINIMUM_DURATION = timedelta(minutes=10)
# There is no maximum, as in cert-manager: 64 bits of nanoseconds end after 292 years, and dates at the year 9999.


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is the same for every request at one moment: the operator's limits, the mesh and its tenants, the time."""

    limits: Limits
    world: World
    cluster_resource_namespace: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """One approved, unanswered request: what it says, the issuer that it names, and what was found out for it.

    `state` is None for an issuer that does not exist; `standing` is how the request stands to the wall. Where the request named
    a signer that is routed by identity, `route` says how `ref` came about, or why none was found; None where nothing was routed.
    """

    content: RequestContent
    ref: IssuerRef
    state: IssuerState | None
    answers: Answers
    standing: Standing
    route: Route | NotGranted | None = None


def case_of(content: RequestContent, ref: IssuerRef, state: IssuerState | None, answers: Answers, world: World) -> Case:
    """Put together what `evaluate` decides on."""
    key_id = state.authority.key_id if state is not None and state.authority is not None else ""
    found = standing(world, requester=content.username, signer=ref, ca_key_id=key_id)
    return Case(content, ref, state, answers, found)


def case_by_identity(  # noqa: PLR0913 - each is one fact
    content: RequestContent,
    asked: IssuerRef,
    find: Callable[[IssuerRef], IssuerState | None],
    answers: Answers,
    world: World,
    *,
    now: datetime,
    namespace: str = "",
) -> Case:
    """As `case_of`, for a signer of `world.routed`: `find` returns the state of whichever issuer is to sign.

    `namespace` is that of the SPIFFE ID where it is known already. The wall holds what was chosen by it against the identity
    that it reads itself.
    """
    if not namespace and (identity := claimed_identity(content.request)) is not None:
        namespace = identity.namespace
    found = route(world, asked, namespace or world.settings.istio_namespace, now=now)
    if not namespace and isinstance(found, Route):
        # Only istiod asks for itself without a SPIFFE ID, and by its own signer's name.
        found = NotGranted(
            Reason("UnexpectedContents", "the request has no SPIFFE ID, by whose namespace the CA is chosen")
        )
    ref = found.signer if isinstance(found, Route) else asked
    state = find(ref)
    if found is None:
        return case_of(content, ref, state, answers, world)
    # The wall is for whoever asks a signer of the mesh, and so for whatever identity chooses.
    walled = standing(world, requester=content.username, signer=asked, ca_key_id="")
    return Case(content, ref, state, answers, walled, found)


def evaluate(case: Case, around: Circumstances) -> Verdict:
    """Decide what happens to a request.

    Raises nothing for anything that a requester or an issuer's author can write.
    """
    content, ref, state, mesh = case.content, case.ref, case.state, case.standing.mesh
    if isinstance(case.route, NotGranted):
        return _unrouted(case, case.route, around)
    if state is None or state.reason == TYPE_MISSING:
        return missing(ref, state)
    if ref.kind == "Issuer" and case.route is None:  # else istiod did not reference it
        if case.answers.may_reference is None:
            return AskReference(ref, content)
        if not case.answers.may_reference:
            message = f"Requester may not reference Namespaced Issuer {ref.namespace}/{ref.name}"
            return Refuse((Reason("DeniedReference", message),))
    if case.standing.unready is not None:
        return case.standing.unready
    # A mesh request's annotations count for nothing: they can be changed after the approval.
    asked = requested_duration(content, mesh=mesh)
    if isinstance(asked, Refuse):
        return asked
    if (cannot := unfit(state)) is not None:
        return cannot
    # What identity chose is the wall's to judge, in audit mode too.
    if state.kind == "selfSigned" and not (mesh and (case.route or around.world.settings.enforces(around.now))):
        return _self_signed(case, state, asked, around)
    return _by_ca(case, state, asked, around)


def _unrouted(case: Case, found: NotGranted, around: Circumstances) -> Refuse | Unready | Inquiry:
    content = case.content
    request = _read(content, mesh=True)
    if isinstance(request, Refuse):
        return case.standing.unready or Refuse((Reason("UnexpectedContents", request.message),))
    return unrouted(request, found, around.world, requester=content.username, fresh=case.answers.fresh)


def missing(ref: IssuerRef, state: IssuerState | None) -> Wait:
    """Wait for an issuer that is not there, or that has no type that is known."""
    if state is None:
        hint = (
            f"; an Issuer's signer is {ISSUER_DOMAIN}/NAMESPACE.NAME"
            if ref.kind == "Issuer" and not ref.namespace
            else ""
        )
        return Wait(Reason("IssuerNotFound", f"Referenced issuer does not exist: {ref}{hint}"), ref)
    return Wait(Reason("IssuerTypeMissing", state.message), ref)


def unfit(state: IssuerState) -> Wait | Refuse | None:
    """Say why an issuer can sign nothing here; None when it can."""
    ref = state.ref
    if not state.ready:
        code = PENDING if state.reason == PENDING else "IssuerNotReady"
        return Wait(Reason(code, f"Referenced issuer does not have a Ready status condition: {state.message}"), ref)
    if state.kind == "acme":
        message = f"{ref} is an ACME issuer, which answers CertificateRequests only"
        return Refuse((Reason("UnsupportedIssuer", message),))
    return None


def at_best(
    ref: IssuerRef,
    state: IssuerState | None,
    namespace: str,
    world: World,
    *,
    now: datetime,
    routed: bool = False,
) -> Granted | Claimable | NotGranted | Wait | Unready | Refuse:
    """Tell what the workloads of a namespace get of an issuer at best: the order of `evaluate`, for no request yet.

    That istiod may reference an Issuer is taken for granted. `routed`: identity chose it.
    """
    if state is None or state.reason == TYPE_MISSING:
        return missing(ref, state)
    if (waiting := unready(world)) is not None:
        return waiting
    if (cannot := unfit(state)) is not None:
        return cannot
    authority = state.authority
    ca = CA(ref, authority.key_id, authority.chain) if authority is not None else CA(ref, "")
    found = entitlement(ca, namespace, world, now=now, routed=routed)
    return (_rootless(state) if routed and isinstance(found, Granted) else None) or found


def requested_duration(content: RequestContent, *, mesh: bool) -> timedelta | Refuse | None:
    """Return the lifetime that is asked for, None for a mesh request that asks for none."""
    if not mesh:
        return _duration(content)
    return None if content.expiration_seconds is None else timedelta(seconds=content.expiration_seconds)


def _duration(content: RequestContent) -> timedelta | Refuse:
    """Return the lifetime that is asked for: the annotation beats expirationSeconds, which beats 90 days."""
    text = content.annotations.get(DURATION_ANNOTATION)
    if text is not None:
        try:
            duration = parse_duration(text)
        except InvalidDuration as error:
            message = f"Failed to parse requested duration: annotation {DURATION_ANNOTATION}: {error}"
            return Refuse((Reason("ErrorParseDuration", message),))
    elif content.expiration_seconds is not None:
        duration = timedelta(seconds=content.expiration_seconds)
    else:
        duration = DEFAULT_DURATION
    if duration < MINIMUM_DURATION:
        message = f"CertificateSigningRequest minimum allowed duration is 10m0s, requested {format_duration(duration)}"
        return Refuse((Reason("InvalidDuration", message),))
    return duration


def _read(content: RequestContent, *, mesh: bool) -> SigningRequest | Refuse:
    try:
        return read_request(content.request, one_block=mesh)
    except MalformedRequest as error:
        return Refuse((Reason("SigningError", f"Error generating certificate template: spec.request: {error}"),))


def _decide(
    case: Case, request: SigningRequest, state: IssuerState, asked: timedelta | None, around: Circumstances
) -> Grant | Refuse | Unready | Inquiry:
    content = case.content
    authority = state.authority
    claim = Claim(
        content.username,
        state.ref,
        authority.key_id if authority is not None else "",
        request,
        content.usages,
        content.annotations.get(IS_CA_ANNOTATION) == "true",
        asked,
        created=datetime.fromtimestamp(content.created, UTC) if content.created else None,
        ca_not_after=authority.not_after if authority is not None else None,
        root_key_id=authority.root_key_id if authority is not None else "",
        chain=authority.chain if authority is not None else None,
        route=case.route if isinstance(case.route, Route) else None,
    )
    return judge(claim, case.standing, around.world, around.limits, fresh=case.answers.fresh, now=around.now)


def _template(
    content: RequestContent, request: SigningRequest, state: IssuerState, grant: Grant, around: Circumstances
) -> CertificateTemplate | Refuse:
    """Say what the certificate is to be: for the mesh by the grant alone, else what the request says, as cert-manager."""
    if grant.mesh and grant.not_before is not None:
        san = uri_name(request.uris[0]) if request.uris else dns_names(request.dns_names)
        end = around.now + grant.lifetime
        return mesh_template(request, san=san, usages=grant.usages, not_before=grant.not_before, not_after=end)
    lifetime = _duration(content)
    if isinstance(lifetime, Refuse):
        return lifetime
    points = state.issuer.spec.self_signed.crl_distribution_points if state.issuer.spec.self_signed else ()
    ca = state.ca
    try:
        return template_for(
            request,
            usages=content.usages,
            duration=lifetime,
            is_ca=content.annotations.get(IS_CA_ANNOTATION) == "true",
            now=around.now,
            crl_distribution_points=ca.crl_distribution_points or points,
            ocsp_servers=ca.ocsp_servers,
            issuing_certificate_urls=ca.issuing_certificate_urls,
        )
    except TemplateError as error:
        return Refuse((Reason("SigningError", f"Error generating certificate template: {error}"),))


def _by_ca(
    case: Case, state: IssuerState, asked: timedelta | None, around: Circumstances
) -> Issue | Refuse | Wait | Unready | Inquiry:
    request = _read(case.content, mesh=case.standing.mesh)
    if isinstance(request, Refuse):
        return Refuse((Reason("UnexpectedContents", request.message),)) if case.standing.mesh else request
    grant = _decide(case, request, state, asked, around)
    if not isinstance(grant, Grant):
        return grant
    if case.route is not None and (bare := _rootless(state)) is not None:
        return bare
    template = _template(case.content, request, state, grant, around)
    if isinstance(template, Refuse):
        return template
    return _issue(case, request, template, grant, authority=state.authority)


def _rootless(state: IssuerState) -> Wait | None:
    """Say that a CA whose root is to come along has none that is known; workloads would take what is last for a root."""
    if state.authority is None or state.authority.root_pem is not None:
        return None
    message = (
        f"{state.ref}: the root above its CA is not known, and what is signed by identity ends with it: put it into ca.crt of "
        "its Secret"
    )
    return Wait(Reason(ROOT_NOT_KNOWN, message), state.ref)


def _self_signed(
    case: Case, state: IssuerState, asked: timedelta | None, around: Circumstances
) -> Issue | Refuse | Wait | Unready | AskKey | Inquiry:
    content, key = case.content, case.answers.key
    name = content.annotations.get(PRIVATE_KEY_ANNOTATION, "")
    if not name:
        message = f"Missing private key reference annotation: {PRIVATE_KEY_ANNOTATION}"
        return Refuse((Reason("MissingAnnotation", message),))
    namespace = state.ref.namespace or around.cluster_resource_namespace
    if key is None:
        return AskKey(namespace, name)
    if isinstance(key, NoKey) and key.broken:
        message = f"Failed to parse signing key from secret {namespace}/{name}: {TLS_KEY} holds no usable private key"
        return Wait(Reason("ErrorParsingKey", message), state.ref, (namespace, name))
    if isinstance(key, NoKey):
        message = f"Referenced Secret {namespace}/{name} not found, or it holds no key that may be used here"
        return Wait(Reason("SecretNotFound", message), state.ref, (namespace, name))
    request = _read(content, mesh=case.standing.mesh)
    if isinstance(request, Refuse):
        return request
    if key.public_key() != request.public_key:
        message = f"Referenced private key in Secret {namespace}/{name} does not match that in the request"
        return Refuse((Reason("ErrorKeyMatch", message),))
    grant = _decide(case, request, state, asked, around)
    if not isinstance(grant, Grant):
        return grant
    template = _template(content, request, state, grant, around)
    if isinstance(template, Refuse):
        return template
    return _issue(case, request, template, grant, key=key)


def _issue(
    case: Case,
    request: SigningRequest,
    template: CertificateTemplate,
    grant: Grant,
    *,
    authority: Authority | None = None,
    key: Any = None,
) -> Issue | Refuse:
    """Refuse what nobody would accept (issuers/verify.py), and for the mesh what its proxies or istiod would not."""
    template, every = as_signed(template, authority)
    if every and (against := by_some(every) if grant.mesh else by_nobody(every)):
        who = "workloads would not accept" if grant.mesh else "nobody would accept"
        return Refuse(tuple(Reason(NOT_VERIFIABLE, f"{who} the certificate: {one}") for one in against))
    of_ca = authority.line.findings if authority is not None else ()
    return Issue(
        template,
        authority,
        grant,
        key,
        route=case.route if isinstance(case.route, Route) else None,
        requester=case.content.username,
        identity=identity_of(request),
        # A mesh request has one name, or it is refused.
        names=() if grant.mesh else names_of(request),
        warnings=() if grant.mesh else tuple(str(one) for one in every if one not in of_ca),
    )
