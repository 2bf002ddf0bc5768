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
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.duration import parse_duration
from signer.api.meta import find_condition
from signer.api.secret import NEXT_KEY_LABEL, SECRETS, TLS_KEY, Secret
from signer.certificates import steps
from signer.certificates.compose import compose_csr
from signer.certificates.filling import Filling
from signer.certificates.key_making import KeyMaking, WantedKey
from signer.certificates.matching import view_request
from signer.certificates.objects import Key, Objects
from signer.certificates.pacing import counts, paused
from signer.certificates.policies import Facts, not_ready
from signer.certificates.renewal import DEFAULT_DURATION
from signer.certificates.secrets import ownership
from signer.certificates.secrets.content import IssuedData, secret_content
from signer.certificates.secrets.keystores import NoKeystore
from signer.certificates.secrets.temporary import temporary_certificate, wants_temporary
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
from signer.certificates.spec_check import INVALID, Defect
from signer.certificates.status import Status
from signer.certificates.watched import Watched
from signer.certificates.well_known import ISSUING
from signer.kube.errors import AlreadyExists, ApiError, Conflict, Stopped
from signer.kube.pacing import Pacing
from signer.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

# So many names of requests may be taken by somebody else's objects before we give up for now.
_TAKEN_NAMES = 20
NO_KEYSTORE = "KeystorePassword"

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
        self._owner_ref = owner_ref
        self._clock = clock
        self._filling = filling

    async def go_on(self, certificate: Certificate, view: SecretView | None, shared: Defect | None) -> None:
        """Take the next steps. `shared`: other Certificates name the Secret too, so this one will not be Ready.

        Raises NoKeystore, once the status says it, when the Secret cannot be written for want of a keystore's password.
        """
        if not certificate.status.next_private_key_secret_name:
            # Begun by `cmctl renew`, which sets the condition alone.
            name = steps.key_secret_name(certificate)
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
            await self._wait(certificate, view, shared)

    async def _wait(
        self, certificate: Certificate, view: SecretView | None, shared: Defect | None, why: Defect | None = None
    ) -> None:
        """Meanwhile, say what is there, and why it waits if that is not usual."""
        now = self._clock()
        defect = shared or not_ready(Facts(certificate, view, None, now))
        status = Status.of(certificate).readiness(
            defect, view.leaf if view is not None else None, now, view.trust_ends if view is not None else None
        )
        if why is not None:
            status = status.stuck(why, now)
            before = find_condition(certificate.status.conditions, ISSUING)
            if before is None or before.message != why.message:
                self._emit(certificate, "Warning", why.reason, why.message)
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
        if why is None or counts(why.reason):
            self.pacing.note((certificate.metadata.namespace, certificate.metadata.name), self._clock())

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
        issued = IssuedData(pem, request.status.certificate, request.status.ca, request.spec.issuer_ref)
        existing = view.secret if view is not None else None
        try:
            issued = await self._filling.fill(certificate, issued, key.key, existing)
        except NoKeystore as error:
            await self._cannot_fill(certificate, view, str(error))
            raise
        content = secret_content(certificate, issued, leaf, existing=existing, owner_ref=self._owner_ref)
        with telling("SecretWriteFailed", f"Failed to write Secret {certificate.spec.secret_name}"):
            written = await self._objects.apply_secret(meta.namespace, certificate.spec.secret_name, content, existing)
        now = self._clock()
        new_view = await asyncio.to_thread(inspect, written)
        facts = Facts(certificate, new_view, view_request(request), now)
        status = Status.of(certificate).issued(steps.revision_of(request))
        await self._write_status(
            certificate, status.readiness(shared or not_ready(facts), leaf, now, new_view.trust_ends)
        )
        self._emit(certificate, "Normal", "Issuing", "The certificate has been successfully issued")

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

    async def _cannot_fill(self, certificate: Certificate, view: SecretView | None, problem: str) -> None:
        """Say that the Secret waits for a keystore's password; a certificate in it that is in order stays Ready."""
        now, meta = self._clock(), certificate.metadata
        wrong = not_ready(Facts(certificate, view, None, now))
        defect = Defect(NO_KEYSTORE, problem) if wrong is not None else None
        leaf = view.leaf if view is not None else None
        ends = view.trust_ends if view is not None else None
        await self._write_status(certificate, Status.of(certificate).readiness(defect, leaf, now, ends))
        if self._filling.is_news((meta.namespace, meta.name), problem):
            self._emit(certificate, "Warning", NO_KEYSTORE, problem)

    async def _fail(self, certificate: Certificate, reason: str, message: str, *, mendable: bool = False) -> None:
        status = Status.of(certificate).failed(reason, message, self._clock(), mendable=mendable)
        await self._write_status(certificate, status)
        text = f"The certificate request has failed to complete and will be retried: {message}"
        self._emit(certificate, "Warning", reason, text)

    def _emit(self, certificate: Certificate, *event: str) -> None:
        kind, reason, message = event
        self._objects.emitter(CERTIFICATES, certificate)("Warning" if kind == "Warning" else "Normal", reason, message)
