"""What to do with one CertificateRequest: the order of checks, as a pure function.

The order and the reasons are cert-manager's (pkg/controller/certificaterequests/sync.go and its ca and selfsigned
issuers). What must be read over the network (the private key for a selfSigned issuer) comes back as a question.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from issuers.errors import InvalidAuthority, MalformedRequest
from issuers.private_key import load_key
from issuers.request import SigningRequest, read_request
from issuers.x509.keys import PrivateKey
from signer.api.certificaterequest import CertificateRequest
from signer.api.duration import InvalidDuration, parse_duration
from signer.api.issuer import IssuerRef
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE
from signer.api.meta import find_condition, has_condition
from signer.api.secret import TLS_KEY, Secret
from signer.api.tls_secret import is_ca, read_leaf
from signer.authorities.state import PENDING, TYPE_MISSING, IssuerState
from signer.certificates import well_known
from signer.certificates.renewal import DEFAULT_DURATION
from signer.kube.encoding.codec import Withheld

# Beyond this a date has no place in a certificate (RFC 5280, 4.1.2.5: year 9999).
_ANNOTATIONS = {"Issuer": "cert-manager.io/issuer", "ClusterIssuer": "cert-manager.io/cluster-issuer"}
_LONGEST = timedelta(days=365 * 1000)


@dataclass(frozen=True, slots=True)
class Nothing:
    """Settled, or not ours to settle."""


@dataclass(frozen=True, slots=True)
class Approve:
    """To be approved, since automatic approval is on and nobody has spoken yet."""


@dataclass(frozen=True, slots=True)
class AwaitApproval:
    """Somebody else decides."""


@dataclass(frozen=True, slots=True)
class MarkDenied:
    """Denied by an approver: the Ready condition says so."""


@dataclass(frozen=True, slots=True)
class Pend:
    """Not now: taken up again when the issuer or the Secret changes. `reason` is the Event's."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Never: `reason` is the Event's; `invalid` when the request itself can never be signed by anyone."""

    reason: str
    message: str
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """Not ours to settle, and yet its people are told.

    Either it is too large to be read, its status too, so that nothing may be written over it; or its issuer's group is nearly ours.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class AskKey:
    """Which private key is in this Secret of the request's namespace?"""

    name: str


@dataclass(frozen=True, slots=True)
class NoKey:
    """The answer when the Secret is missing or a CA's, which must look alike.

    `broken`: it is there, is no CA's, and its key cannot be used.
    """

    broken: bool = False


@dataclass(frozen=True, slots=True)
class Sign:
    """To be signed now."""

    csr: SigningRequest
    state: IssuerState
    lifetime: timedelta
    key: PrivateKey | None = field(default=None, repr=False)


Step = Nothing | Approve | AwaitApproval | MarkDenied | Pend | Fail | Tell | AskKey | Sign


def usable_key(secret: Secret | None, *, signs: bool) -> PrivateKey | NoKey:
    """Answer AskKey from the Secret, None when there is none. `signs`: a `ca` issuer signs with it. Off the loop."""
    if secret is None or signs or _holds_ca(secret):
        return NoKey()
    try:
        return load_key(secret.data.get(TLS_KEY, b""))
    except InvalidAuthority:
        return NoKey(broken=True)


def _holds_ca(secret: Secret) -> bool:
    """Tell whether the Secret holds a CA: its key signs nothing on anybody's mere request."""
    leaf = read_leaf(secret)
    return leaf is not None and is_ca(leaf)


def consider(
    request: CertificateRequest,
    lookup: Callable[[IssuerRef], IssuerState | None],
    *,
    auto_approve: bool,
    in_mesh: Callable[[IssuerState], bool] = lambda _: True,
    exists: Callable[[IssuerRef], bool] = lambda _: False,
    key: PrivateKey | NoKey | None = None,
) -> Step:
    """Decide on the next step for a request. `key` is the answer to AskKey, None before it was asked.

    `in_mesh` tells whether an issuer signs for the mesh: a request for it is one PEM block and nothing else. `exists`
    tells whether there is an issuer, for advice.
    """
    status, conditions = request.status, request.status.conditions
    ready = find_condition(conditions, well_known.READY)
    if request.metadata.deletion_timestamp:
        return Nothing()
    if isinstance(request.raw_spec, Withheld):
        return Tell("InvalidRequest", request.problem)
    if (misspelt := request.spec.issuer_ref.misspelt) and not status.certificate:
        return Tell("InvalidRequest", f"spec.issuerRef.group: {misspelt}")
    if has_condition(conditions, well_known.DENIED):
        said = ready is not None and ready.reason == well_known.REASON_DENIED
        return Nothing() if said or not request.spec.issuer_ref.ours else MarkDenied()
    if settled(request):
        return Nothing()
    if not has_condition(conditions, well_known.APPROVED):
        return Approve() if auto_approve else AwaitApproval()
    if not request.spec.issuer_ref.ours or status.certificate:
        return Nothing()
    if request.problem:
        return Fail("InvalidRequest", request.problem, invalid=True)
    ref = request.spec.issuer_ref.resolve(request.metadata.namespace)
    if ref is None:
        reference = request.spec.issuer_ref
        message = f"spec.issuerRef: kind {reference.kind!r}, name {reference.name!r} is not an Issuer or ClusterIssuer"
        return Fail("InvalidRequest", message, invalid=True)
    state = lookup(ref)
    if state is None:
        # As its listers say it (k8s.io/apimachinery, errors.NewNotFound); tools look for these words.
        missing = f'{ref.kind.lower()}.cert-manager.io "{ref.name}" not found'
        return Pend("IssuerNotFound", f'Referenced "{ref.kind}" not found: {missing}{_meant(request, ref, exists)}')
    return _for_issuer(request, state, in_mesh, key)


def _meant(request: CertificateRequest, ref: IssuerRef, exists: Callable[[IssuerRef], bool]) -> str:
    """Say which kind was meant, where an issuer of the other kind has the name: most leave spec.issuerRef.kind out."""
    if ref.kind == "Issuer":
        other, named = IssuerRef("ClusterIssuer", "", ref.name), f"a ClusterIssuer {ref.name}"
    else:
        other, named = (
            IssuerRef("Issuer", request.metadata.namespace, ref.name),
            f"an Issuer {ref.name} in this namespace",
        )
    if request.metadata.labels.get(EDGE_LABEL) == "true":
        # Its Certificate is ours: what asked for it says which issuer by an annotation, or leaves that to a default.
        said = (
            f"; {_sources(request)} asks for it by the annotation {_ANNOTATIONS[ref.kind]}, or leaves it to a default"
        )
        return f"{said}: there is {named}, named by {_ANNOTATIONS[other.kind]}" if exists(other) else said
    if not exists(other):
        return ""
    said = "is" if request.spec.issuer_ref.kind else "is left out, which means"
    return f"; there is {named}: spec.issuerRef.kind {said} {ref.kind}, set it to {other.kind}"


def _sources(request: CertificateRequest) -> str:
    """Name what a Certificate of the edge was made for; the label has its namespace where nothing says more."""
    namespace = request.metadata.labels.get(SOURCE_NAMESPACE, request.metadata.namespace)
    return f"the Gateway or Ingress of namespace {namespace} that names Secret {_secret_of(request)}"


def _secret_of(request: CertificateRequest) -> str:
    return request.metadata.annotations.get(well_known.CERTIFICATE_NAME, "") or request.metadata.name


def settled(request: CertificateRequest) -> bool:
    """Tell whether an answer is there, whoever gave it."""
    ready = find_condition(request.status.conditions, well_known.READY)
    return has_condition(request.status.conditions, well_known.INVALID_REQUEST) or (
        ready is not None and ready.reason in (well_known.FAILED, well_known.ISSUED, well_known.REASON_DENIED)
    )


def _for_issuer(
    request: CertificateRequest,
    state: IssuerState,
    in_mesh: Callable[[IssuerState], bool],
    key: PrivateKey | NoKey | None,
) -> Step:
    if state.reason == TYPE_MISSING:
        return Pend("IssuerTypeMissing", f"Missing issuer type: {state.message}")
    if not state.ready:
        # A CA's Secret that is being read is there, or found missing, in a moment.
        code = PENDING if state.reason == PENDING and state.kind == "ca" else "IssuerNotReady"
        return Pend(code, f"Referenced issuer does not have a Ready status condition: {state.message}")
    try:
        lifetime = parse_duration(request.spec.duration) if request.spec.duration else DEFAULT_DURATION
    except InvalidDuration as error:
        return Fail("InvalidRequest", f"spec.duration: {error}", invalid=True)
    if not timedelta(0) < lifetime <= _LONGEST:
        return Fail("InvalidRequest", f"spec.duration: {request.spec.duration} is not a lifetime", invalid=True)
    try:
        csr = read_request(request.spec.request, one_block=in_mesh(state))
    except MalformedRequest as error:
        return Fail("InvalidRequest", f"spec.{error}", invalid=True)
    if state.kind != "selfSigned":
        return Sign(csr, state, lifetime)
    return _self_signed(request, csr, state, lifetime, key)


def _self_signed(
    request: CertificateRequest,
    csr: SigningRequest,
    state: IssuerState,
    lifetime: timedelta,
    key: PrivateKey | NoKey | None,
) -> Step:
    name = request.metadata.annotations.get(well_known.PRIVATE_KEY_SECRET, "")
    if not name:
        return Fail("MissingAnnotation", f'Annotation "{well_known.PRIVATE_KEY_SECRET}" missing or reference empty')
    if key is None:
        return AskKey(name)
    if isinstance(key, NoKey) and key.broken:
        note = well_known.PRIVATE_KEY_SECRET
        return Pend("ErrorParsingKey", f'Failed to get key "{name}" referenced in annotation "{note}": no usable key')
    if isinstance(key, NoKey):
        where = f"{request.metadata.namespace}/{name}"
        return Pend("MissingSecret", f"Referenced secret {where} not found, or it holds no key that may be used here")
    if key.public_key() != csr.public_key:
        return Fail("ErrorKeyMatch", "Error generating certificate template: CSR not signed by referenced private key")
    return Sign(csr, state, lifetime, key)
