"""The door of PodCertificateRequests: how they reach the hot path, and what is looked up for each before it is signed.

They are followed in the version that is served, v1 or v1beta1, from when it is until it is no more; a cluster without them costs a
question each two seconds. Queue, replicas, window, wall and audit are those of CertificateSigningRequests (signer/csr). The
Pod itself is read live for each request; account and node, which many share, count for ten seconds. Used on the loop only.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.meta import ObjectMeta
from signer.api.pod import NODES, PODS, SERVICE_ACCOUNTS, Pod, Surroundings
from signer.api.podcertificaterequest import (
    KNOWN_VERSIONS,
    POD_CERTIFICATE_REQUESTS,
    PodCertificateRequest,
    is_answered,
    read_pod_request,
)
from signer.api.signername import misspelt_signer, parse_signer_name
from signer.authorities.state import IssuerState
from signer.csr.evaluate import Circumstances
from signer.csr.outcome import Answers
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.discovery.served import Served, locate_first
from signer.kube.encoding import protobuf
from signer.kube.encoding.depth import TOO_DEEP, deeper, reader
from signer.kube.encoding.protobuf_codec import ProtobufCodec
from signer.kube.errors import NotFound, Unreachable
from signer.kube.reflector import Change
from signer.kube.resource import NoName, Resource
from signer.pods.asked import AskedSigners
from signer.pods.evaluate import PodVerdict, evaluate_pod

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_TIMEOUT = 10.0
# Account and node, made anew under their names, have another uid; that is as old as this, at most.
_COUNTS_FOR = timedelta(seconds=10)
_REMEMBERED = 4096
# A Pod of the largest kind has 1.5 MB.
_LARGEST = 2 * 1024 * 1024


class _Named(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


_pod = msgspec.json.Decoder(Pod).decode
_named = reader(msgspec.json.Decoder(_Named).decode)


class PodRequests:
    """Follows and judges PodCertificateRequests. `on_restart` is told of each new watch; `known` tells whether there is such a signer."""

    def __init__(
        self,
        client: ApiClient,
        *,
        on_restart: Callable[[str], None] = lambda _resource: None,
        known: Callable[[IssuerRef], bool] = lambda _ref: True,
        wall: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._wall = wall
        self._handlers: list[Callable[[Change[PodCertificateRequest]], None]] = []
        self._slips: list[Callable[[PodCertificateRequest, str], None]] = []
        self._uids = _Uids(client, wall)
        self._asked = AskedSigners(known)
        self._served: Served[PodCertificateRequest] = Served(
            "PodCertificateRequests",
            client,
            locate_first(POD_CERTIFICATE_REQUESTS, KNOWN_VERSIONS),
            ProtobufCodec(self._read, lambda request: (request.namespace, request.name)),
            self._changed,
            on_absent=lambda: None,
            on_restart=on_restart,
        )

    @property
    def asked(self) -> Collection[IssuerRef]:
        """The signers that Pods ask, or have asked a moment ago: some of those that one namespace asks, where these are many."""
        waiting = {(request.namespace, request.signer_name) for request in self.store.values()}
        refs = ((namespace, parse_signer_name(name)) for namespace, name in waiting)
        return self._asked.signers(((namespace, ref) for namespace, ref in refs if ref is not None), self._wall())

    @property
    def store(self) -> Mapping[tuple[str, str], PodCertificateRequest]:
        """The requests for our signers that have no answer. For reading only."""
        return self._served.store

    def subscribe(self, handler: Callable[[Change[PodCertificateRequest]], None]) -> None:
        """Call `handler` with each change."""
        self._handlers.append(handler)

    def subscribe_slips(self, handler: Callable[[PodCertificateRequest, str], None]) -> None:
        """Call `handler` with each unanswered request whose signer is nobody's and nearly ours, and with what is wrong with it."""
        self._slips.append(handler)

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._served.run()

    def evaluate(
        self,
        request: PodCertificateRequest,
        ref: IssuerRef,
        state: IssuerState | None,
        answers: Answers,
        around: Circumstances,
    ) -> PodVerdict:
        """Decide what happens to a request (signer/pods/evaluate.py)."""
        return evaluate_pod(request, ref, state, answers, around)

    async def look(self, request: PodCertificateRequest) -> Surroundings:
        """Read live what a request rests on. Raises ApiError, Unreachable."""
        at = self._wall()  # before the reads: what they find is no older
        # One after the other: account and node are known already, as a rule, and a task for each costs more than both.
        account = await self._uids.of(SERVICE_ACCOUNTS, request.namespace, request.service_account)
        node = await self._uids.of(NODES, "", request.node_name)
        pod = await self._read_pod(request.namespace, request.pod_name)
        return Surroundings(pod, account, node, at)

    async def find(self, namespace: str, name: str) -> PodCertificateRequest | None:
        """Read one request as it is now, None when there is none. Raises ApiError, Unreachable."""
        resource = await self._served.locate()
        if resource is None:
            return None
        try:
            answer = await self._client.request(
                "GET", resource.path(namespace, name), accept=_PROTOBUF, timeout=_TIMEOUT
            )
            return read_pod_request(answer.body, resource.version, *protobuf.raw_span(answer.body))
        except (NotFound, NoName):
            return None
        except protobuf.ProtobufError as error:
            raise Unreachable(f"PodCertificateRequest {namespace}/{name} cannot be read: {error}") from error

    def _read(self, raw: bytes) -> PodCertificateRequest | None:
        if is_answered(raw):
            return None
        served = self._served.resource
        request = read_pod_request(raw, served.version if served is not None else KNOWN_VERSIONS[0])
        if parse_signer_name(request.signer_name) is not None:
            return request
        if wrong := misspelt_signer(request.signer_name):
            for tell in self._slips:
                tell(request, wrong)
        return None

    def _changed(self, change: Change[PodCertificateRequest]) -> None:
        # When it comes, and again when it is answered: its signer may have come in between.
        for request in filter(None, (change.old, change.new)):
            if (ref := parse_signer_name(request.signer_name)) is not None:
                self._asked.note(request.namespace, ref, self._wall())
        for handler in self._handlers:
            handler(change)

    async def _read_pod(self, namespace: str, name: str) -> Pod | None:
        try:
            path = PODS.path(namespace, name)
            answer = await self._client.request("GET", path, timeout=_TIMEOUT, largest=_LARGEST)
        except (NotFound, NoName):
            return None
        if deeper(answer.body):
            raise Unreachable(f"Pod {namespace}/{name} cannot be read: {TOO_DEEP}")
        try:
            return _pod(answer.body)
        except msgspec.DecodeError as error:
            raise Unreachable(f"Pod {namespace}/{name} cannot be read: {error}") from error


class _Uids:
    """The uids of accounts and nodes, read live and kept for ten seconds; one read for all who ask at the same time."""

    def __init__(self, client: ApiClient, wall: Callable[[], datetime]) -> None:
        self._client = client
        self._wall = wall
        self._known: dict[str, tuple[str, datetime]] = {}
        self._reading: dict[str, asyncio.Task[str]] = {}

    async def of(self, resource: Resource, namespace: str, name: str) -> str:
        """Return the uid of an object, "" when there is none. Raises ApiError, Unreachable."""
        try:
            path = resource.path(namespace, name)
        except (NoName, ValueError):
            return ""
        known = self._known.get(path)
        if known is not None and timedelta(0) <= self._wall() - known[1] <= _COUNTS_FOR:
            return known[0]
        task = self._reading.get(path)
        if task is None:
            task = self._reading[path] = asyncio.create_task(self._read(path))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # A caller that gives up must not take the read from the others.
        return await asyncio.shield(task)

    async def _read(self, path: str) -> str:
        try:
            at = self._wall()
            try:
                answer = await self._client.request("GET", path, accept=_METADATA_ONLY, timeout=_TIMEOUT)
                uid = _named(answer.body).metadata.uid
            except NotFound:
                uid = ""
            except msgspec.DecodeError as error:
                raise Unreachable(f"{path} cannot be read: {error}") from error
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            if uid:  # what is not there may come at any moment
                self._known[path] = (uid, at)
            return uid
        finally:
            del self._reading[path]
