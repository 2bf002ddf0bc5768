"""One issuance, from the Issuing condition to the Secret: key, request, answer, Secret, status.

Runs on the loop; key generation and checks leave it. Each call goes on from what is stored: the next private key in
a Secret of its own, the request under a name that follows from the revision. Nothing is held in memory only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from cryptography import x509

from issuers.errors import TemplateError
from issuers.private_key import encode_key, generate_key
from signer.api.certificate import CERTIFICATES, Certificate, PrivateKeySpec
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.secret import NEXT_KEY_LABEL, SECRETS, TLS_KEY, Secret
from signer.certificates import steps
from signer.certificates.compose import compose_csr
from signer.certificates.matching import view_request
from signer.certificates.objects import Objects
from signer.certificates.policies import Facts, not_ready
from signer.certificates.secrets import ownership
from signer.certificates.secrets.content import IssuedData, secret_content
from signer.certificates.secrets.view import (
    KeyView,
    SecretView,
    inspect,
    key_mismatches,
    read_key,
    wanted_key,
)
from signer.certificates.spec_check import INVALID, Defect
from signer.certificates.status import Status
from signer.certificates.watched import Watched
from signer.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid

logger = logging.getLogger(__name__)

# So many names of requests may be taken by somebody else's objects before we give up for now.
_TAKEN_NAMES = 20

WriteStatus = Callable[[Certificate, Status], Awaitable[Certificate]]


class Issuing:
    """Takes the issuance of a Certificate as far as it can go now; called again when something changes."""

    def __init__(
        self,
        watched: Watched,
        objects: Objects,
        write_status: WriteStatus,
        *,
        owner_ref: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._watched = watched
        self._objects = objects
        self._write_status = write_status
        self._owner_ref = owner_ref
        self._clock = clock

    async def go_on(self, certificate: Certificate, view: SecretView | None, shared: Defect | None) -> None:
        """Take the next steps. `shared`: other Certificates name the Secret too, so this one will not be Ready."""
        if not certificate.status.next_private_key_secret_name:
            # Begun by `cmctl renew`, which sets the condition alone.
            name = steps.key_secret_name(certificate)
            certificate = await self._write_status(certificate, Status.of(certificate).next_key(name))
        try:
            key = await self._next_key(certificate, view)
            request = await self._next_request(certificate, key)
        except TemplateError as error:
            defect = Defect(INVALID, f"spec.{error}")
            await self._write_status(certificate, Status.of(certificate).refused(defect, self._clock()))
            self._emit(certificate, "Warning", defect.reason, defect.message)
            return
        result = steps.outcome(request)
        if result.state == "failed":
            await self._fail(certificate, result.reason, result.message)
        elif result.state == "issued":
            leaf = steps.issued_leaf(request, key, Facts(certificate, view, None, self._clock()))
            if isinstance(leaf, Defect):
                await self._fail(certificate, leaf.reason, leaf.message)
            else:
                await self._store(certificate, request, key, leaf, view, shared)
        else:
            facts = Facts(certificate, view, None, self._clock())
            status = Status.of(certificate).readiness(
                shared or not_ready(facts),
                view.leaf if view is not None else None,
                self._clock(),
                view.trust_ends if view is not None else None,
            )
            await self._write_status(certificate, status)

    async def _next_key(self, certificate: Certificate, view: SecretView | None) -> KeyView:
        """Find the key of this issuance, or make it and store it before anything is asked with it."""
        namespace, name = certificate.metadata.namespace, steps.key_secret_name(certificate)
        secret = self._watched.secrets.store.get((namespace, name)) or await self._objects.secret(namespace, name)
        kept = self._kept_key(certificate, view)
        if secret is not None:
            found = await self._usable(certificate, secret, kept)
            if found is not None:
                return found
            await self._objects.delete(SECRETS, secret)
        if kept is not None:
            key = kept.key
        else:
            algorithm, size = wanted_key(certificate.spec)
            key = await asyncio.to_thread(generate_key, algorithm, size or None)
        body = steps.key_secret_body(certificate, name, encode_key(key, "PKCS8"))
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
        if not meta.owned_by(certificate.metadata.uid) or meta.labels.get(NEXT_KEY_LABEL) != "true":
            self._emit(
                certificate, "Warning", "KeySecretNotOwned", f"Secret {meta.name} is in the way of the next private key"
            )
            raise Conflict(409, "AlreadyExists", f"Secret {meta.name} belongs to somebody else")
        found, _ = await asyncio.to_thread(read_key, secret.data.get(TLS_KEY, b""))
        if found is None or key_mismatches(found, certificate.spec):
            return None
        return found if kept is None or found.spki == kept.spki else None

    async def _next_request(self, certificate: Certificate, key: KeyView) -> CertificateRequest:
        """Find the request of this issuance, or make it; one that no longer fits is thrown away."""
        found = steps.next_request(certificate, self._watched.requests_of(certificate))
        if found is not None:
            why = steps.obsolete(view_request(found), certificate, key)
            if not why:
                return found
            await self._drop(certificate, found, why)
        key_secret = steps.key_secret_name(certificate)
        csr = await asyncio.to_thread(compose_csr, certificate.spec, key.key)
        first = (certificate.status.revision or 0) + 1
        for revision in range(first, first + _TAKEN_NAMES):
            body = steps.request_body(certificate, revision, csr, key_secret)
            name = body["metadata"]["name"]
            try:
                created = await self._objects.create_request(body)
            except AlreadyExists:
                there = await self._objects.request(certificate.metadata.namespace, name)
                if there is None or not there.metadata.owned_by(certificate.metadata.uid):
                    continue
                if why := steps.obsolete(view_request(there), certificate, key):
                    await self._drop(certificate, there, why)
                    raise
                return there
            except (Forbidden, Invalid) as error:
                message = f"Failed to create CertificateRequest: {error.message}"
                self._emit(certificate, "Warning", "RequestFailed", message)
                raise
            self._emit(certificate, "Normal", "Requested", f'Created new CertificateRequest resource "{name}"')
            return created
        raise Conflict(409, "AlreadyExists", "the names of the next revisions are taken by other CertificateRequests")

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
        encoding = (certificate.spec.private_key or PrivateKeySpec()).encoding or "PKCS1"
        issued = IssuedData(
            encode_key(key.key, encoding), request.status.certificate, request.status.ca, request.spec.issuer_ref
        )
        existing = view.secret if view is not None else None
        content = secret_content(certificate, issued, leaf, existing=existing, owner_ref=self._owner_ref)
        try:
            written = await self._objects.apply_secret(meta.namespace, certificate.spec.secret_name, content, existing)
        except (Forbidden, Invalid) as error:
            message = f"Failed to write Secret {certificate.spec.secret_name}: {error.message}"
            self._emit(certificate, "Warning", "SecretWriteFailed", message)
            raise
        now = self._clock()
        new_view = await asyncio.to_thread(inspect, written)
        facts = Facts(certificate, new_view, view_request(request), now)
        status = Status.of(certificate).issued(steps.revision_of(request))
        await self._write_status(
            certificate, status.readiness(shared or not_ready(facts), leaf, now, new_view.trust_ends)
        )
        self._emit(certificate, "Normal", "Issuing", "The certificate has been successfully issued")

    async def _fail(self, certificate: Certificate, reason: str, message: str) -> None:
        now = self._clock()
        await self._write_status(certificate, Status.of(certificate).failed(reason, message, now))
        text = f"The certificate request has failed to complete and will be retried: {message}"
        self._emit(certificate, "Warning", reason, text)

    def _emit(self, certificate: Certificate, *event: str) -> None:
        kind, reason, message = event
        self._objects.emitter(CERTIFICATES, certificate)("Warning" if kind == "Warning" else "Normal", reason, message)
