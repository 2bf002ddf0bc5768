"""Reads and writes of the slow controllers: typed objects over the client. Used on one loop."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.event import reference_to
from signer.api.issuer import Issuer
from signer.api.meta import ObjectMeta
from signer.api.secret import SECRETS, Secret, read_secret
from signer.certificates.secrets.content import Content, former_managers, release_body
from signer.certificates.well_known import FIELD_MANAGER
from signer.kube.client import ApiClient
from signer.kube.encoding.depth import reader
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.kube.leases.record import LEADER_LEASE, LEASES, leaders
from signer.kube.resource import Resource
from signer.observe.events import EventRecorder, EventType
from signer.observe.notices import Notice, Notices

Key = tuple[str, str]
# What a request waits for is logged of the request.
_LOGGED_ELSEWHERE = frozenset({"RequestWaits"})
Written = TypeVar("Written", Certificate, CertificateRequest, Issuer)
Emit = Callable[[EventType, str, str], object]


_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class _Stored(msgspec.Struct):
    metadata: ObjectMeta


class _Writer(msgspec.Struct, rename="camel"):
    manager: str = ""
    subresource: str = ""


class _WrittenMeta(msgspec.Struct, rename="camel"):
    managed_fields: tuple[_Writer, ...] = ()


class _Managed(msgspec.Struct):
    metadata: _WrittenMeta


# What the API server calls us where no field manager is given: the first part of our user agent (signer/kube/client.py).
_OWN_NAME = "mesh-signer"
_read_metadata = reader(msgspec.json.Decoder(_Stored).decode)


class Objects:
    """The calls that the controllers make, with and without the errors that mean "another writer was faster"."""

    def __init__(self, client: ApiClient, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder
        self._notices = Notices(recorder)

    def notices(self) -> Notices:
        """A memory of what was told, for one who says the same of an object each time he looks."""
        return Notices(self._recorder)

    def emitter(self, resource: Resource, obj: Certificate | CertificateRequest | Issuer) -> Emit:
        """A function that writes Events about this object; what they warn of is in the log too, of issuers by IssuerLines."""
        ref = reference_to(resource, obj.metadata)

        def emit(kind: EventType, reason: str, message: str) -> None:
            elsewhere = isinstance(obj, Issuer) or reason in _LOGGED_ELSEWHERE
            tell = self._notices.happened if elsewhere else self._notices.logged
            tell(ref, Notice(kind, reason, message))

        return emit

    async def certificate(self, namespace: str, name: str) -> Certificate | None:
        """Read a Certificate live; None when there is none."""
        try:
            return msgspec.convert(await self._client.get(CERTIFICATES, name, namespace), Certificate)
        except NotFound:
            return None

    async def secret(self, namespace: str, name: str) -> Secret | None:
        """Read a Secret live; None when there is none."""
        try:
            return read_secret(await self._client.get(SECRETS, name, namespace))
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
        live = await self.certificate(meta.namespace, meta.name)
        return live is not None and live.metadata.uid == meta.uid and not live.metadata.deletion_timestamp

    async def patch_certificate(self, certificate: Certificate, body: dict[str, Any]) -> Certificate:
        """Write to the status of a Certificate, and return it as it is then; Conflict when it changed meanwhile."""
        return await self._patch_status(CERTIFICATES, certificate, body)

    async def patch_request(self, request: CertificateRequest, body: dict[str, Any]) -> CertificateRequest:
        """Write to the status of a CertificateRequest, and return it as it is then; Conflict when it changed meanwhile."""
        return await self._patch_status(CERTIFICATE_REQUESTS, request, body)

    async def issuer(self, resource: Resource, namespace: str, name: str) -> Issuer | None:
        """Read an Issuer or ClusterIssuer live; None when there is none."""
        try:
            return msgspec.convert(await self._client.get(resource, name, namespace or None), Issuer)
        except NotFound:
            return None

    async def status_writers(self, resource: Resource, obj: Certificate | CertificateRequest) -> tuple[str, ...]:
        """Name the managers but our own that have written the status; none where it cannot be read."""
        meta = obj.metadata
        try:
            live = await self._client.get(resource, meta.name, meta.namespace or None)
        except (ApiError, Unreachable):
            return ()
        found = msgspec.convert(live, _Managed).metadata.managed_fields
        names = (one.manager for one in found if one.subresource == "status")
        return tuple(dict.fromkeys(name for name in names if name and name != _OWN_NAME))

    async def other_installations(self, namespace: str) -> tuple[str, ...]:
        """Name the Leases of leaders outside our `namespace` that are not given up; none where that may not be read."""
        try:
            leases = await self._client.list(LEASES, name=LEADER_LEASE)
        except (ApiError, Unreachable):
            return ()
        return leaders(leases, besides=namespace)

    async def patch_issuer(self, resource: Resource, issuer: Issuer, body: dict[str, Any]) -> None:
        """Write to the status of an issuer; Conflict when it changed meanwhile."""
        await self._patch_status(resource, issuer, body)

    async def _patch_status(self, resource: Resource, obj: Written, body: dict[str, Any]) -> Written:
        """Write a merge patch of a status; the answer is asked for without the rest, which may be large.

        The patch carries a resourceVersion, so what is stored is the object that we know with this status.
        """
        meta = obj.metadata
        answer = await self._client.request(
            "PATCH",
            resource.path(meta.namespace or None, meta.name, "status"),
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
            accept=_METADATA,
        )
        stored = _read_metadata(answer.body).metadata
        before = obj.raw_status if isinstance(obj.raw_status, dict) else {}
        status = {name: value for name, value in {**before, **body["status"]}.items() if value is not None}
        return msgspec.structs.replace(obj, metadata=stored, raw_status=status)
