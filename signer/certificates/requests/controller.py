"""CertificateRequests, whoever made them: approve (unless somebody else decides), sign, write the status.

Runs on the loop; signing and key loading leave it, since an RSA key can take tens of milliseconds. A request is
settled by one status write that carries its resourceVersion, so a second answer cannot be stored.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from issuers.certificate import new_serial
from issuers.x509.keys import PrivateKey
from issuers.x509.subject import EMPTY_NAME
from signer.api.certificate import WAITING
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, from_rfc3339
from signer.api.text import shown
from signer.authorities.ordering import Failed, Ordered, Ordering
from signer.authorities.registry import Registry
from signer.authorities.state import NOT_BY_ALL, IssuerState
from signer.authorities.state import PENDING as ISSUER_PENDING
from signer.certificates.objects import Key, Objects
from signer.certificates.requests import status as to_status
from signer.certificates.requests import steps
from signer.certificates.requests.record import RequestRecord
from signer.certificates.requests.requester import Requesters
from signer.certificates.requests.signing import (
    Contradiction,
    Signed,
    asks_requester,
    decide_request,
    in_mesh,
    sign_request,
)
from signer.certificates.requests.status import APPROVED_MESSAGE, DENIED_MESSAGE, ISSUED_MESSAGE, StatusPatch
from signer.certificates.watched import Watched
from signer.certificates.well_known import APPROVED, FAILED, ISSUED, PENDING, READY, REASON_DENIED
from signer.kube.errors import ApiError, Conflict, Forbidden, NotFound, Unreachable
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change
from signer.kube.superseded import Superseded
from signer.observe.answered import NotWrittenDown
from signer.observe.events import EventType
from signer.observe.undone import UNDONE, Undone, said
from signer.observe.write_errors import Told
from signer.tenancy.mesh_cas import NOT_JUDGED
from signer.tenancy.verdict import Confirm, Grant, Limits, Reason, Refuse, Unready
from signer.tenancy.world import World, without_wall

log = logging.getLogger(__name__)

# cert-manager's words (pkg/controller/certificaterequests/selfsigned).
_EMPTY_ISSUER = (
    "Certificate will be issued with an empty Issuer DN, which contravenes RFC 5280 and could break some strict clients"
)
# A Secret without cert-manager's label is not watched; whoever waits for one asks again this often.
_MESH_RECHECK = 2.0
_AUDIT_RECHECK = 2.0
_CONFIRMATIONS = 3
# An approver that is there answers sooner.
_APPROVAL_TAKES = timedelta(minutes=1)
_WAITS_FOR_APPROVAL = "Not signing CertificateRequest until it is Approved"
# Waits that end without anybody's doing; all others are told as what they are, for people to mend.
_BY_ITSELF = frozenset(
    (ISSUER_PENDING, "OrderPending", "MeshNotRead", "MeshStateStale", "ReadingNamespace", NOT_JUDGED)
)
_SECRET_RECHECK = 10.0
# Rights are no object that we watch.
_APPROVAL_RECHECK = 300.0


Confirming = Callable[[Confirm], Awaitable[None]]
"""Reads live whether a namespace may have a signer by a SignerPolicy. Raises ApiError, Unreachable."""


class RequestController:
    """Works CertificateRequests off. `queue` holds their keys; without `confirm` nothing that asks for it is signed."""

    def __init__(
        self,
        watched: Watched,
        registry: Registry,
        objects: Objects,
        queue: WorkQueue[Key],
        *,
        auto_approve: bool,
        limits: Limits,
        world: World | None = None,
        ordering: Ordering | None = None,
        clock: Callable[[], datetime],
        record: RequestRecord,
        requesters: Requesters,
        confirm: Confirming | None = None,
    ) -> None:
        self._watched = watched
        self._registry = registry
        self._objects = objects
        self._auto_approve = auto_approve
        self._limits = limits
        self._world = world if world is not None else without_wall()
        self._ordering = ordering
        self._clock = clock
        self._record = record
        self._requesters = requesters
        self._confirm = confirm
        self._superseded = Superseded()
        self._undone = Undone[tuple[Key, str]]()
        self._waiting: dict[IssuerRef, set[Key]] = {}
        self._waits_for: dict[Key, IssuerRef] = {}
        self.queue = queue
        watched.requests.subscribe(self._changed)
        if ordering is not None:
            ordering.attach(queue.add)

    def _changed(self, change: Change[CertificateRequest]) -> None:
        if change.kind != "synced":
            self.queue.add(change.key)

    def issuer_changed(self, ref: IssuerRef) -> None:
        """Take up again what waits for this issuer."""
        for key in tuple(self._waiting.get(ref, ())):
            self.queue.add(key)

    def _settled(self, key: Key) -> None:
        ref = self._waits_for.pop(key, None)
        if ref is not None:
            self._waiting[ref].discard(key)
            if not self._waiting[ref]:
                del self._waiting[ref]

    async def reconcile(self, key: Key) -> None:
        """Take one request as far as it can go now."""
        request = self._watched.requests.store.get(key)
        if request is None:
            self._superseded.forget(key)
            self._settled(key)
            for reason in (APPROVED, REASON_DENIED, PENDING, FAILED, ISSUED):
                self._undone.forget((key, reason))
            return
        if self._superseded.stale(key, request.metadata.resource_version):
            return
        try:
            await self._work(key, request)
        except Conflict as error:
            self.queue.add_backoff(key, why=error)
        except NotFound:
            return  # deleted while we worked

    async def show(self, key: Key, told: Told) -> None:
        """Say in its status what keeps a request from going on. Raises ApiError, Unreachable."""
        live = await self._objects.request(*key)
        if live is not None and live.spec.issuer_ref.ours and not steps.settled(live):
            await self._write(key, live, to_status.pending(live, told.message, self._clock()))

    def about(self, key: Key) -> list[ObjectReference]:
        """Refer to the request of this key, while there is one."""
        found = self._watched.requests.store.get(key)
        return [reference_to(CERTIFICATE_REQUESTS, found.metadata)] if found is not None else []

    async def _work(self, key: Key, request: CertificateRequest) -> None:
        answer: PrivateKey | steps.NoKey | None = None
        while True:
            step = steps.consider(
                request,
                self._lookup(key),
                auto_approve=self._auto_approve,
                in_mesh=lambda state: in_mesh(state, self._world),
                exists=lambda ref: self._registry.get(ref) is not None,
                key=answer,
            )
            emit = self._objects.emitter(CERTIFICATE_REQUESTS, request)
            now = self._clock()
            match step:
                case steps.Nothing() | steps.Tell():
                    self._settled(key)
                    self._tell(request, step)
                    return
                case steps.AwaitApproval():
                    await self._unapproved(key, request)
                    return
                case steps.Approve():
                    try:
                        request = await self._write(key, request, to_status.approved(request, now))
                    except Forbidden as error:
                        # Whoever set the rules wants somebody else to approve for this issuer.
                        await self._pend(key, request, "ApprovalForbidden", _not_by_us(request, error.message))
                        self.queue.add_after(key, _APPROVAL_RECHECK)
                        return
                    emit("Normal", "cert-manager.io", APPROVED_MESSAGE)
                case steps.MarkDenied():
                    if not await self._contested(key, request, REASON_DENIED, DENIED_MESSAGE):
                        await self._write(key, request, to_status.denied(request, now))
                    return
                case steps.AskKey(name):
                    answer = await self._private_key(request, name)
                case steps.Pend(reason, message):
                    await self._pend(key, request, reason, message)
                    return
                case steps.Fail(reason, message, invalid):
                    self._settled(key)
                    await self._fail(key, request, reason, message, invalid=reason if invalid else "")
                    return
                case steps.Sign():
                    await self._answer(key, request, step)
                    return

    async def _answer(self, key: Key, request: CertificateRequest, step: steps.Sign) -> None:
        if await self._contested(key, request, ISSUED, ISSUED_MESSAGE):
            return
        if step.state.kind == "acme":
            await self._order(key, request, step)
            return
        self._settled(key)
        await self._sign(key, request, step)

    async def _contested(self, key: Key, request: CertificateRequest, *answer: str) -> bool:
        """Whether somebody takes this answer away each time, and it is not yet time to give it again.

        Asked before anything is signed or told. `answer` is the condition's reason, and its message.
        """
        place, now = (key, answer[0]), self._clock()
        if not (left := self._undone.left(place, answer, now)):
            return False
        self.queue.add_after(key, left.total_seconds())
        if self._undone.is_news(place):
            message = said("the status", await self._objects.status_writers(CERTIFICATE_REQUESTS, request), now + left)
            self._objects.emitter(CERTIFICATE_REQUESTS, request)("Warning", UNDONE, message)
        return True

    def _tell(self, request: CertificateRequest, step: steps.Nothing | steps.Tell) -> None:
        if isinstance(step, steps.Tell):
            self._objects.emitter(CERTIFICATE_REQUESTS, request)("Warning", step.reason, step.message)

    def _lookup(self, key: Key) -> Callable[[IssuerRef], IssuerState | None]:
        """Look an issuer up, and have the request taken up again when it changes.

        Noted before the look, so that no change can fall between the two.
        """

        def lookup(ref: IssuerRef) -> IssuerState | None:
            self._settled(key)
            self._waits_for[key] = ref
            self._waiting.setdefault(ref, set()).add(key)
            return self._registry.get(ref)

        return lookup

    async def _private_key(self, request: CertificateRequest, name: str) -> PrivateKey | steps.NoKey:
        namespace = request.metadata.namespace
        secret = self._watched.secrets.store.get((namespace, name)) or await self._objects.secret(namespace, name)
        return await asyncio.to_thread(steps.usable_key, secret, signs=self._registry.is_ca_secret(namespace, name))

    async def _sign(self, key: Key, request: CertificateRequest, step: steps.Sign) -> None:
        # Read first: the decision is made on the world as it is then.
        asked = asks_requester(step.state, self._world)
        requester = await self._requesters.of(request) if asked else ""
        grant = await self._decide(request, step, requester)
        if isinstance(grant, Unready):
            await self._pend(key, request, grant.reason.code, grant.reason.message)
            self.queue.add_after(key, _MESH_RECHECK)
            return
        if isinstance(grant, Refuse):
            await self._fail(key, request, grant.code, grant.message, reasons=grant.reasons, mendable=True)
            return
        if self._record.blocked:
            self.queue.add_after(key, _AUDIT_RECHECK)
            return
        if grant.would_refuse:
            message = "; ".join(reason.message for reason in grant.would_refuse)
            self._objects.emitter(CERTIFICATE_REQUESTS, request)("Warning", "WouldRefuse", message)
        signed = await asyncio.to_thread(
            sign_request,
            request,
            step.csr,
            step.state,
            grant,
            key=step.key,
            now=self._clock(),
            serial=new_serial(),
        )
        if isinstance(signed, Refuse):
            mendable = not isinstance(signed, Contradiction)
            await self._fail(key, request, signed.code, signed.message, reasons=signed.reasons, mendable=mendable)
            return
        if step.state.kind == "selfSigned" and step.csr.subject_der == EMPTY_NAME:
            self._objects.emitter(CERTIFICATE_REQUESTS, request)("Warning", "BadConfig", _EMPTY_ISSUER)
        await self._issue(key, request, step, signed, grant)

    async def _decide(self, request: CertificateRequest, step: steps.Sign, requester: str) -> Grant | Refuse | Unready:
        """Ask the wall; and where it wants the namespace and its policy read live first, once more after that."""
        why = "it changes all the time"
        for _ in range(_CONFIRMATIONS):
            grant = decide_request(
                request,
                step.csr,
                step.state,
                world=self._world,
                lifetime=step.lifetime,
                limits=self._limits,
                now=self._clock(),
                requester=requester,
            )
            if not isinstance(grant, Confirm):
                return grant
            if self._confirm is None:
                why = "nothing reads it here"
                break
            try:
                await self._confirm(grant)
            except (ApiError, Unreachable) as error:
                why = str(error)
                break
        message = (
            f"that namespace {request.metadata.namespace} may have {step.state.ref} cannot be confirmed yet: {why}"
        )
        return Unready(Reason("ReadingNamespace", message))

    async def _issue(
        self, key: Key, request: CertificateRequest, step: steps.Sign, signed: Signed, grant: Grant
    ) -> None:
        async def write() -> None:
            await self._write(key, request, to_status.issued(request, signed, self._clock()))

        try:
            await self._record.issue(request, step.csr, step.state, grant, signed.certificate, write)
        except NotWrittenDown:
            self.queue.add_after(key, _AUDIT_RECHECK)
            return
        emit = self._objects.emitter(CERTIFICATE_REQUESTS, request)
        emit("Normal", "CertificateIssued", ISSUED_MESSAGE)
        if signed.warnings:
            emit("Warning", NOT_BY_ALL, "; ".join(signed.warnings))

    async def _order(self, key: Key, request: CertificateRequest, step: steps.Sign) -> None:
        if self._ordering is None:
            await self._pend(key, request, "OrderPending", "The controller of orders does not run here")
            return
        answer = await self._ordering.ask(request, step.csr, step.state)
        if isinstance(answer, Ordered):
            await self._pend(key, request, "OrderPending", answer.message)
            return
        self._settled(key)
        if isinstance(answer, Failed):
            invalid = answer.reason if answer.invalid else ""
            await self._fail(key, request, answer.reason, answer.message, invalid=invalid, mendable=answer.mendable)
            return
        # The CA has made it, whatever becomes of our audit log.
        by_acme = Grant(step.lifetime, "an ACME server")
        await self._issue(key, request, step, Signed(answer.certificate, b""), by_acme)

    async def _unapproved(self, key: Key, request: CertificateRequest) -> None:
        """Wait for somebody else's approval, and say after a minute that nobody seems to give it."""
        made = from_rfc3339(request.metadata.creation_timestamp)
        left = (made + _APPROVAL_TAKES - self._clock()).total_seconds() if made is not None else 0.0
        if left > 0:
            self._objects.emitter(CERTIFICATE_REQUESTS, request)("Normal", "WaitingForApproval", _WAITS_FOR_APPROVAL)
            self.queue.add_after(key, left)
            return
        message = (
            f"{_WAITS_FOR_APPROVAL}: nobody has approved or denied it for a minute, and mesh-signer runs with "
            "--auto-approve=false; an approver must be installed for its issuer, or a person runs cmctl approve"
        )
        await self._pend(key, request, "WaitingForApproval", message)

    async def _pend(self, key: Key, request: CertificateRequest, reason: str, message: str) -> None:
        by_itself = reason in _BY_ITSELF
        if by_itself and not message.startswith(WAITING):
            message = f"{WAITING}: {message}"
        if await self._contested(key, request, PENDING, message):
            return
        before = find_condition(request.status.conditions, READY)
        await self._write(key, request, to_status.pending(request, message, self._clock()))
        if before is None or before.reason != PENDING or (not by_itself and before.message != message):
            kind: EventType = "Normal" if by_itself else "Warning"
            self._objects.emitter(CERTIFICATE_REQUESTS, request)(kind, reason, message)
        if reason in ("ErrorParsingKey", "MissingSecret"):
            self.queue.add_after(key, _SECRET_RECHECK)

    async def _fail(
        self,
        key: Key,
        request: CertificateRequest,
        reason: str,
        message: str,
        *,
        invalid: str = "",
        reasons: tuple[Reason, ...] = (),
        mendable: bool = False,
    ) -> None:
        if await self._contested(key, request, FAILED, message):
            return
        refused = reason if mendable else ""

        async def write() -> None:
            patch = to_status.failed(request, message, self._clock(), invalid=invalid, refused=refused)
            await self._write(key, request, patch)

        await self._record.refuse(request, reasons or (Reason(reason, message),), write)
        self._objects.emitter(CERTIFICATE_REQUESTS, request)("Warning", reason, message)

    async def _write(self, key: Key, request: CertificateRequest, patch: StatusPatch) -> CertificateRequest:
        if not patch.changed:
            return request
        written = await self._objects.patch_request(request, patch.body)
        self._superseded.replaced(key, request.metadata.resource_version, written.metadata.resource_version)
        reason, message = patch.answer
        self._undone.wrote((key, reason), (reason, message), self._clock())
        return written


def _not_by_us(request: CertificateRequest, said: str) -> str:
    """Say why we may not approve, and what there is to be done; an issuer of another group is its own controller's matter."""
    ref = request.spec.issuer_ref
    if ref.ours:
        return f"{said}. Give our ServiceAccount that right, or have an approver approve it"
    name, kind, group = ref.normal()
    return (
        f"{said}. spec.issuerRef names {shown(f'{kind} {name}')} of group {shown(group)}, whose controller signs it: an approver of its "
        "own approves it, or our ServiceAccount gets that right"
    )
