"""Reads and writes of the slow controllers: typed objects over the client. Used on one loop."""

from collections.abc import Callable
from typing import Any

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.event import reference_to
from signer.api.issuer import Issuer
from signer.api.secret import SECRETS, Secret
from signer.certificates.secrets.content import Content, former_managers, release_body
from signer.certificates.well_known import FIELD_MANAGER
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.kube.resource import Resource
from signer.observe.events import EventRecorder, EventType

Key = tuple[str, str]
Emit = Callable[[EventType, str, str], None]


class Objects:
    """The calls that the controllers make, with and without the errors that mean "another writer was faster"."""

    def __init__(self, client: ApiClient, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    def emitter(self, resource: Resource, obj: Certificate | CertificateRequest | Issuer) -> Emit:
        """A function that writes Events about this object."""
        ref = reference_to(resource, obj.metadata)
        return lambda kind, reason, message: self._recorder.emit(ref, kind, reason, message)

    async def secret(self, namespace: str, name: str) -> Secret | None:
        """Read a Secret live; None when there is none."""
        try:
            return msgspec.convert(await self._client.get(SECRETS, name, namespace), Secret)
        except NotFound:
            return None

    async def create_secret(self, body: dict[str, Any]) -> Secret:
        """Create a Secret; raises AlreadyExists."""
        return msgspec.convert(await self._client.create(SECRETS, body), Secret)

    async def apply_secret(self, namespace: str, name: str, content: Content, existing: Secret | None) -> Secret:
        """Write a Secret as a whole.

        Conflict when it changed since `existing` was read, or when it was created by somebody else meanwhile: without
        force, server-side apply does not take over values that another one owns.
        """
        version = existing.metadata.resource_version if existing is not None else None
        body = content.apply_body(namespace, name, resource_version=version)
        written = await self._client.patch(
            SECRETS,
            name,
            body,
            namespace=namespace,
            kind="apply",
            field_manager=FIELD_MANAGER,
            force=existing is not None,
        )
        secret = msgspec.convert(written, Secret)
        for manager in sorted(former_managers(secret)):
            secret = await self._release(secret, manager)
        return secret

    async def _release(self, secret: Secret, manager: str) -> Secret:
        """Take from a former manager what it had set; what we have set as well stays."""
        meta = secret.metadata
        written = await self._client.patch(
            SECRETS,
            meta.name,
            release_body(secret),
            namespace=meta.namespace,
            kind="apply",
            field_manager=manager,
            force=True,
        )
        return msgspec.convert(written, Secret)

    async def delete(self, resource: Resource, obj: Secret | CertificateRequest) -> None:
        """Delete exactly this object; one that is gone or was replaced is as good as deleted."""
        meta = obj.metadata
        try:
            await self._client.delete(resource, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return

    async def request(self, namespace: str, name: str) -> CertificateRequest | None:
        """Read a CertificateRequest live; None when there is none."""
        try:
            return msgspec.convert(await self._client.get(CERTIFICATE_REQUESTS, name, namespace), CertificateRequest)
        except NotFound:
            return None

    async def create_request(self, body: dict[str, Any]) -> CertificateRequest:
        """Create a CertificateRequest; raises AlreadyExists."""
        return msgspec.convert(await self._client.create(CERTIFICATE_REQUESTS, body), CertificateRequest)

    async def lives(self, certificate: Certificate) -> bool:
        """Ask whether a Certificate is still there and stays: what is made for one that goes would be left over."""
        meta = certificate.metadata
        try:
            live = msgspec.convert(await self._client.get(CERTIFICATES, meta.name, meta.namespace), Certificate)
        except NotFound:
            return False
        return live.metadata.uid == meta.uid and not live.metadata.deletion_timestamp

    async def patch_certificate(self, certificate: Certificate, body: dict[str, Any]) -> Certificate:
        """Write to the status of a Certificate; Conflict when it changed meanwhile."""
        written = await self._patch_status(
            CERTIFICATES, certificate.metadata.namespace, certificate.metadata.name, body
        )
        return msgspec.convert(written, Certificate)

    async def patch_request(self, request: CertificateRequest, body: dict[str, Any]) -> CertificateRequest:
        """Write to the status of a CertificateRequest; Conflict when it changed meanwhile."""
        meta = request.metadata
        written = await self._patch_status(CERTIFICATE_REQUESTS, meta.namespace, meta.name, body)
        return msgspec.convert(written, CertificateRequest)

    async def issuer(self, resource: Resource, namespace: str, name: str) -> Issuer | None:
        """Read an Issuer or ClusterIssuer live; None when there is none."""
        try:
            return msgspec.convert(await self._client.get(resource, name, namespace or None), Issuer)
        except NotFound:
            return None

    async def patch_issuer(self, resource: Resource, namespace: str, name: str, body: dict[str, Any]) -> None:
        """Write to the status of an issuer; Conflict when it changed meanwhile."""
        await self._patch_status(resource, namespace, name, body)

    async def _patch_status(
        self, resource: Resource, namespace: str, name: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        return await self._client.patch(
            resource, name, body, namespace=namespace or None, subresource="status", kind="merge"
        )
