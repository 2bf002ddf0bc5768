"""One issuance, from the Issuing condition to the Secret: key, request, answer, Secret, status.

Runs on the loop; key generation and checks leave it. Each call goes on from what is stored: the next private key in
a Secret of its own, the request under a name that follows from the revision. Nothing is held in memory only.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime

from cryptography import x509

from issuers.errors import TemplateError
from issuers.private_key import encode_key, generate_key
from issuers.x509.keys import PrivateKey
from issuers.x509.pem import usual_labels
from signer.api.certificate import CERTIFICATES, Certificate, ends_by_itself, request_waits
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.duration import parse_duration
from signer.api.meta import find_condition
from signer.api.secret import CA_CERT, NEXT_KEY_LABEL, SECRETS, TLS_CERT, TLS_KEY, Secret
from signer.certificates import steps
from signer.certificates.filling import Filling
from signer.certificates.key_making import KeyMaking, WantedKey
from signer.certificates.objects import Key, Objects
from signer.certificates.pacing import counts, due_at_once, paused
from signer.certificates.policies import Facts, not_ready
from signer.certificates.renewal import DEFAULT_DURATION
from signer.certificates.secrets import ownership
from signer.certificates.secrets.content import IssuedData, secret_content
from signer.certificates.secrets.issued_for import mark_of
from signer.certificates.secrets.keystores import NoKeystore
from signer.certificates.secrets.temporary import temporary_certificate, wants_temporary
from signer.certificates.secrets.trust import answer_doubts, stored_ca
from signer.certificates.secrets.view import (
    KeyView,
    SecretView,
    inspect,
    key_as_wanted,
    key_mismatches,
    read_key,
    read_leaf,
    wanted_key,
)
from signer.certificates.spec.check import INVALID, Defect
from signer.certificates.spec.compose import compose_csr
from signer.certificates.spec.matching import view_request
from signer.certificates.status import Status
from signer.certificates.watched import Watched
from signer.certificates.well_known import ISSUING
from signer.kube.errors import AlreadyExists, ApiError, Conflict, Stopped
from signer.kube.pacing import Pacing
from signer.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

# So many names of requests may be taken by somebody else's objects before we give up for now.
_TAKEN_NAMES = 20
CA_KEY_ROTATION = "CAKeyRotation"
CA_KEY_LOST = "CAKeyLost"
_KEY_LOST = (
    "the CA's private key is no longer in Secret {}, so a new one is made: what the former key signed does not verify under it. "
    "Put the former Secret back if you can. A CA of the mesh that the mesh config has a root for signs nothing before its new one is there "
    "(mesh-signer mesh-config --write --force); one that identity leads to signs at once, and who has a certificate of the former key and "
    "who has one of the new do not reach each other: restart all workloads of that tenant"
)

WriteStatus = Callable[[Certificate, Status], Awaitable[Certificate]]


class Paused(Exception):
    """The next request must wait. `defect` says why, and until when."""

    def __init__(self, defect: Defect) -> None:
        super().__init__(defect.message)
        self.defect = defect


@contextlib.contextmanager
def telling(reason: str, what: str) -> Iterator[None]:
    """Name the step that is stopped when the API server refuses a write for good. Raises Stopped."""
    try:
        yield
    except ApiError as error:
        if not error.lasting:
            raise
        raise Stopped(reason, what, error) from error


class Issuing:
    """Takes the issuance of a Certificate as far as it can go now; called again when something changes."""

    def __init__(
        self,
        watched: Watched,
        objects: Objects,
        write_status: WriteStatus,
        filling: Filling,
        queue: WorkQueue[Key],
        *,
        owner_ref: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._watched = watched
        self._objects = objects
        self._write_status = write_status
        self._queue = queue
        self.keys = KeyMaking(queue.add)
        self.pacing = Pacing[Key]()
        self._stored: dict[Key, tuple[datetime, datetime]] = {}
        self._owner_ref = owner_ref
        self._clock = clock
        self._filling = filling

    def counts(self, key: Key, reason: str) -> bool:
        """Whether an issuance of this Certificate, for this reason, is one of those that are paced."""
        last = self._stored.get(key)
        return counts(reason, at_once=last is not None and due_at_once(*last, self._clock()))

    def forget(self, key: Key) -> None:
        """The Certificate is gone."""
        self.keys.forget(key)
        self.pacing.forget(key)
        self._stored.pop(key, None)

    async def go_on(self, certificate: Certificate, view: SecretView | None, shared: Defect | None) -> None:
        """Take the next steps. `shared`: other Certificates name the Secret too, so this one will not be Ready.

        Raises NoKeystore, once the status says it, when the Secret cannot be written for want of a keystore's password.
        """
        name = steps.key_secret_name(certificate)
        if certificate.status.next_private_key_secret_name != name:
            # Begun by `cmctl renew`, which sets the condition alone; or somebody wrote there what is no name.
            certificate = await self._write_status(certificate, Status.of(certificate).next_key(name))
        try:
            key = await self._next_key(certificate, view)
            request = await self._next_request(certificate, key) if key is not None else None
        except TemplateError as error:
            defect = Defect(INVALID, f"spec.{error}" if error.field else f"spec{error}")
            await self._write_status(certificate, Status.of(certificate).refused(defect, self._clock()))
            self._emit(certificate, "Warning", defect.reason, defect.message)
            return
        except Paused as pause:
            await self._wait(certificate, view, shared, pause.defect)
            return
        result = steps.outcome(request) if request is not None else steps.Outcome("pending")
        if request is None or key is None:
            await self._wait(certificate, view, shared)
        elif result.state == "failed":
            await self._fail(certificate, result.reason, result.message, mendable=result.mendable)
        elif result.state == "issued":
            leaf = steps.issued_leaf(request, key, Facts(certificate, view, None, self._clock()))
            if isinstance(leaf, Defect):
                await self._fail(certificate, leaf.reason, leaf.message)
            else:
                await self._store(certificate, request, key, leaf, view, shared)
        else:
            view = await self._meanwhile(certificate, request, key, view)
            await self._wait(certificate, view, shared, request=request)

    async def _wait(
        self,
        certificate: Certificate,
        view: SecretView | None,
        shared: Defect | None,
        why: Defect | None = None,
        *,
        request: CertificateRequest | None = None,
    ) -> None:
        """Meanwhile, say what is there, and why it waits: `why` if that is not usual, and what the request says."""
        now = self._clock()
        defect = shared or not_ready(Facts(certificate, view, None, now))
        status = Status.of(certificate)
        leaf, ends = (view.leaf, view.trust_ends) if view is not None else (None, None)
        status = status.readiness(defect, leaf, now, ends, status.notes())
        if why is not None:
            status = status.stuck(why, now)
            before = find_condition(certificate.status.conditions, ISSUING)
            if before is None or before.message != why.message:
                self._emit(certificate, "Warning", why.reason, why.message)
        elif request is not None:
            message, left = steps.unanswered(request, now)
            if left:
                key = (certificate.metadata.namespace, certificate.metadata.name)
                self._queue.add_after(key, left.total_seconds())
            status = status.waiting(request.metadata.name, message, now)
            if not ends_by_itself(message) and request_waits(certificate) != (request.metadata.name, message):
                text = f"CertificateRequest {request.metadata.name} is not answered: {message}"
                self._emit(certificate, "Warning", "RequestWaits", text)
        await self._write_status(certificate, status)

    async def _next_key(self, certificate: Certificate, view: SecretView | None) -> KeyView | None:
        """Find the key of this issuance, or make it and store it before anything is asked with it.

        None while it is being made: it takes long, and the Certificate is looked at again when it is there.
        """
        namespace, name = certificate.metadata.namespace, steps.key_secret_name(certificate)
        secret = self._watched.secrets.store.get((namespace, name)) or await self._objects.secret(namespace, name)
        kept = self._kept_key(certificate, view)
        if secret is not None:
            found = await self._usable(certificate, secret, kept)
            if found is not None:
                return found
            await self._objects.delete(SECRETS, secret)
        key = kept.key if kept is not None else await self._make_key(certificate)
        if key is None:
            return None
        body = steps.key_secret_body(certificate, name, encode_key(key, "PKCS8"))
        with telling("SecretWriteFailed", f"Failed to create Secret {name} with the next private key"):
            await self._objects.create_secret(body)
        if kept is not None:
            secret_name = certificate.spec.secret_name
            self._emit(
                certificate,
                "Normal",
                "Reused",
                f'Reusing private key stored in existing Secret resource "{secret_name}"',
            )
        else:
            self._emit(
                certificate, "Normal", "Generated", f'Stored new private key in temporary Secret resource "{name}"'
            )
            if certificate.spec.is_ca and certificate.status.revision and ownership.keeps_key(certificate):
                self._emit(certificate, "Warning", CA_KEY_LOST, _KEY_LOST.format(certificate.spec.secret_name))
        stored, problem = await asyncio.to_thread(read_key, body["data"][TLS_KEY])
        if stored is None:
            raise TemplateError("privateKey", problem)
        return stored

    async def _make_key(self, certificate: Certificate) -> PrivateKey | None:
        wish = WantedKey(certificate.metadata.uid, *wanted_key(certificate.spec))
        if wish.slow:
            return self.keys.take((certificate.metadata.namespace, certificate.metadata.name), wish)
        return await asyncio.to_thread(generate_key, wish.algorithm, wish.size or None)

    def _kept_key(self, certificate: Certificate, view: SecretView | None) -> KeyView | None:
        """The key in the Secret, when it is to be kept and fits. One that cannot be read is replaced, and that is told."""
        if view is None or view.placeholder or not ownership.keeps_key(certificate):
            return None
        if view.key is None:
            if view.secret.data.get(TLS_KEY):
                self._emit(
                    certificate,
                    "Warning",
                    "DecodeFailed",
                    f'Failed to decode private key stored in Secret "{certificate.spec.secret_name}" - generating new key',
                )
            return None
        fields = key_mismatches(view.key, certificate.spec)
        if fields:
            raise TemplateError("privateKey", f"the existing key does not fit {', '.join(fields)} and must be kept")
        return view.key

    async def _usable(self, certificate: Certificate, secret: Secret, kept: KeyView | None) -> KeyView | None:
        meta = secret.metadata
        if not meta.owned_by(certificate.metadata, CERTIFICATES) or meta.labels.get(NEXT_KEY_LABEL) != "true":
            self._emit(
                certificate, "Warning", "KeySecretNotOwned", f"Secret {meta.name} is in the way of the next private key"
            )
            raise Conflict(409, "AlreadyExists", f"Secret {meta.name} belongs to somebody else")
        found, _ = await asyncio.to_thread(read_key, secret.data.get(TLS_KEY, b""))
        if found is None or key_mismatches(found, certificate.spec):
            return None
        return found if kept is None or found.spki == kept.spki else None

    async def _next_request(self, certificate: Certificate, key: KeyView) -> CertificateRequest:
        """Find the request of this issuance, or make it; one that no longer fits is thrown away.

        Raises Paused: requests that are thrown away again and again are made anew more and more seldom.
        """
        found = steps.next_request(certificate, self._watched.requests_of(certificate))
        if found is not None:
            why = steps.obsolete(view_request(found), certificate, key)
            if not why:
                return found
            self._pace(certificate, found, why)
            await self._drop(certificate, found, why)
        if not await self._objects.lives(certificate):
            # The watch of CertificateRequests may be ahead: theirs are deleted once the Certificate is.
            raise Conflict(409, "Conflict", "the Certificate is being deleted")
        key_secret = steps.key_secret_name(certificate)
        csr = await asyncio.to_thread(compose_csr, certificate.spec, key.key)
        first = (certificate.status.revision or 0) + 1
        for revision in range(first, first + _TAKEN_NAMES):
            body = steps.request_body(certificate, revision, csr, key_secret)
            if why := steps.obsolete(view_request(steps.own_request(body)), certificate, key):
                # It would be thrown away as soon as it is there, for ever.
                raise TemplateError("", f"the request that is made of it would not be what it asks for: {why}")
            name = body["metadata"]["name"]
            try:
                with telling("RequestFailed", "Failed to create CertificateRequest"):
                    created = await self._objects.create_request(body)
            except AlreadyExists:
                there = await self._objects.request(certificate.metadata.namespace, name)
                if there is None or not there.metadata.owned_by(certificate.metadata, CERTIFICATES):
                    continue
                if why := steps.obsolete(view_request(there), certificate, key):
                    await self._drop(certificate, there, why)
                    raise
                return there
            self._note(certificate)
            self._emit(certificate, "Normal", "Requested", f'Created new CertificateRequest resource "{name}"')
            return created
        raise Conflict(409, "AlreadyExists", "the names of the next revisions are taken by other CertificateRequests")

    def _pace(self, certificate: Certificate, request: CertificateRequest, why: str) -> None:
        """Raise Paused when requests of this Certificate are thrown away too often."""
        key, now = (certificate.metadata.namespace, certificate.metadata.name), self._clock()
        left = self.pacing.left(key, now)
        if left:
            self._queue.add_after(key, left.total_seconds())
            what = Defect("RequestChanged", f"CertificateRequest {request.metadata.name} is to be made again: {why}")
            raise Paused(paused(what, (), now + left))

    def _note(self, certificate: Certificate) -> None:
        why = find_condition(certificate.status.conditions, ISSUING)
        key = (certificate.metadata.namespace, certificate.metadata.name)
        if why is None or self.counts(key, why.reason):
            self.pacing.note(key, self._clock())

    async def _drop(self, certificate: Certificate, request: CertificateRequest, why: str) -> None:
        meta = certificate.metadata
        logger.info(
            "Certificate %s/%s: CertificateRequest %s is made anew: %s",
            meta.namespace,
            meta.name,
            request.metadata.name,
            why,
        )
        await self._objects.delete(CERTIFICATE_REQUESTS, request)

    async def _store(
        self,
        certificate: Certificate,
        request: CertificateRequest,
        key: KeyView,
        leaf: x509.Certificate,
        view: SecretView | None,
        shared: Defect | None,
    ) -> None:
        """Write the Secret, then the status. Killed in between, the next run writes the same Secret again: a no-op."""
        meta = certificate.metadata
        pem = key_as_wanted(key, b"", certificate.spec)
        issued = IssuedData(
            pem,
            usual_labels(request.status.certificate),
            await asyncio.to_thread(stored_ca, request),
            request.spec.issuer_ref,
            issued_for=mark_of(certificate.spec, leaf),
        )
        existing = view.secret if view is not None else None
        try:
            issued = await self._filling.fill(certificate, issued, key.key, existing)
        except NoKeystore as error:
            await self._cannot_fill(certificate, view, error)
            raise
        content = secret_content(certificate, issued, leaf, existing=existing, owner_ref=self._owner_ref)
        with telling("SecretWriteFailed", f"Failed to write Secret {certificate.spec.secret_name}"):
            written = await self._objects.apply_secret(meta.namespace, certificate.spec.secret_name, content, existing)
        now = self._clock()
        self._stored[meta.namespace, meta.name] = (now, leaf.not_valid_after_utc)
        new_view = await asyncio.to_thread(inspect, written)
        facts = Facts(certificate, new_view, view_request(request), now)
        status = Status.of(certificate).issued(steps.revision_of(request))
        notes = await doubts(certificate, new_view, request)
        await self._write_status(
            certificate, status.readiness(shared or not_ready(facts), leaf, now, new_view.trust_ends, notes)
        )
        self._emit(certificate, "Normal", "Issuing", "The certificate has been successfully issued")
        for note in notes:
            self._emit(certificate, "Warning", note.reason, note.message)
        if cut := steps.cut_short(certificate, leaf):
            self._emit(certificate, "Warning", "DurationCut", cut)
        if less := steps.less_given(certificate, leaf):
            self._emit(certificate, "Warning", "LessGiven", less)

    async def _meanwhile(
        self, certificate: Certificate, request: CertificateRequest, key: KeyView, view: SecretView | None
    ) -> SecretView | None:
        """Write a temporary certificate where one is asked for and nothing else is there."""
        csr = view_request(request).csr
        if csr is None or not wants_temporary(certificate, view):
            return view
        spec, meta = certificate.spec, certificate.metadata
        lifetime = parse_duration(spec.duration) if spec.duration else DEFAULT_DURATION
        chain = await asyncio.to_thread(temporary_certificate, csr, spec.usages, lifetime, self._clock())
        existing = view.secret if view is not None else None
        issued = IssuedData(key_as_wanted(key, b"", spec), chain, b"", None)
        with contextlib.suppress(NoKeystore):
            issued = await self._filling.fill(certificate, issued, key.key, existing)
        leaf, _ = read_leaf(chain)
        if leaf is None:
            return view
        content = secret_content(certificate, issued, leaf, existing=existing, owner_ref=self._owner_ref)
        written = await self._objects.apply_secret(meta.namespace, spec.secret_name, content, existing)
        self._emit(certificate, "Normal", "Issuing", "Issued temporary certificate")
        return await asyncio.to_thread(inspect, written)

    async def _cannot_fill(self, certificate: Certificate, view: SecretView | None, problem: NoKeystore) -> None:
        """Say that the Secret waits for a keystore's password, or cannot have it at all; a certificate in it that is in order stays Ready."""
        now = self._clock()
        wrong = not_ready(Facts(certificate, view, None, now))
        defect = Defect(problem.reason, str(problem)) if wrong is not None else None
        leaf = view.leaf if view is not None else None
        ends = view.trust_ends if view is not None else None
        await self._write_status(certificate, Status.of(certificate).readiness(defect, leaf, now, ends))
        self._filling.tell(certificate, problem)

    async def _fail(self, certificate: Certificate, reason: str, message: str, *, mendable: bool = False) -> None:
        status = Status.of(certificate).failed(reason, message, self._clock(), mendable=mendable)
        await self._write_status(certificate, status)
        text = f"The certificate request has failed to complete and will be retried: {message}"
        self._emit(certificate, "Warning", reason, text)

    def _emit(self, certificate: Certificate, *event: str) -> None:
        kind, reason, message = event
        self._objects.emitter(CERTIFICATES, certificate)("Warning" if kind == "Warning" else "Normal", reason, message)


async def doubts(certificate: Certificate, view: SecretView, request: CertificateRequest | None) -> list[Defect]:
    """What is to be known of what was answered, by what is stored of it and the request that led to it.

    Of our own answers the request says it; another group's issuer says nothing.
    """
    if certificate.spec.issuer_ref.ours:
        return steps.warned(request) if request is not None else []
    data = view.secret.data
    chain, ca, verified = data.get(TLS_CERT, b""), data.get(CA_CERT, b""), view.trust_ends is not None
    return await asyncio.to_thread(answer_doubts, request, chain, ca, verified=verified)
