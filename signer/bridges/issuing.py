"""Gives a bridge its certificate: both hands and both namespaces are read live, the wall is asked, then it is signed and stored.

Runs on the loop, but for keys and signatures, which leave it. No state of its own. What is stored is the Secret; what the
TenantBridge's status says of it is the controller's.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from issuers.certificate import new_serial
from issuers.errors import SigningFailed
from signer.api.issuer import IssuerRef
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy
from signer.authorities.registry import Registry
from signer.bridges import credential
from signer.bridges.bodies import secret_body
from signer.bridges.case import Case, bridge_claim
from signer.bridges.decide import allowed
from signer.bridges.read import read_bridge, read_bridge_policy
from signer.bridges.record import BridgeRecord, Issued
from signer.bridges.step import Found, Issue
from signer.bridges.writer import BridgeWriter
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.objects import Json
from signer.mesh.watcher import MeshWatcher
from signer.observe.answered import NotWrittenDown
from signer.tenancy.decide import decide
from signer.tenancy.verdict import Bridge, Confirm, Grant, Limits, Reason, Refuse, Unready
from signer.tenancy.world import LABEL_PREFIX, Namespace

log = logging.getLogger(__name__)

CHANGED_MEANWHILE = "ChangedMeanwhile"
AUDIT_BLOCKED = Unready(
    Reason("AuditBlocked", "nothing may be issued that cannot be written down (--audit-failure=stop)")
)
_CONFIRMATIONS = 3


class BridgeIssuing:
    """Issues for one bridge at a time, or several side by side."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        mesh: MeshWatcher,
        record: BridgeRecord,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._registry = registry
        self._mesh = mesh
        self._record = record
        self._writer = BridgeWriter(client)
        self._clock = clock

    async def issue(self, case: Case, step: Issue) -> Found | Refuse | Unready:
        """Ask the wall for a certificate, sign it and put it into the Secret; returns that. Raises ApiError, Unreachable."""
        bridge, signer = case.bridge, case.signer
        assert bridge is not None  # noqa: S101 - what is built has both
        assert signer is not None  # noqa: S101
        if (changed := await self.changed(case)) is not None:
            return Unready(changed)
        if self._record.blocked:
            return AUDIT_BLOCKED
        asked = await asyncio.to_thread(credential.new_request, bridge)
        grant = await self._decide(bridge, signer, asked)
        if isinstance(grant, Refuse | Unready):
            return grant
        state = self._registry.get(signer)
        authority = state.authority if state is not None else None
        if authority is None:
            return Unready(Reason("SignerNotReady", f"{signer} is not ready any more"))
        now = self._clock()
        template = credential.template(bridge, asked.request, grant, authority, now)
        if useless := credential.useless(template, authority):
            return Refuse(
                tuple(Reason("NotVerifiable", f"nobody would accept the certificate: {one}") for one in useless)
            )
        try:
            chain = await asyncio.to_thread(credential.sign_chain, template, authority, serial=(serial := new_serial()))
        except SigningFailed as error:
            return Unready(Reason("SigningError", str(error)))
        body = secret_body(case.wish, chain=chain, key=asked.key, roots="".join(step.roots).encode())
        line = self._record.line(case.obj, bridge, signer, Issued(grant, serial, template, authority.key_id))
        try:
            made = await self._record.stored(line, lambda: self._writer.put_secret(case.wish, step, body))
        except NotWrittenDown:
            return AUDIT_BLOCKED
        log.info("TenantBridge %s: a certificate for %s (%s)", case.wish.full_name, bridge.client, step.why)
        return made

    async def _decide(self, bridge: Bridge, signer: IssuerRef, asked: credential.Asked) -> Grant | Refuse | Unready:
        """Ask the wall; and where it wants the server's namespace read live first, once more after that."""
        for _ in range(_CONFIRMATIONS):
            state = self._registry.get(signer)
            authority = state.authority if state is not None else None
            claim = bridge_claim(bridge, signer, authority, asked.request)
            verdict = decide(claim, self._mesh.world, Limits(), fresh=True, now=self._clock())
            if isinstance(verdict, Grant | Refuse | Unready):
                return verdict
            if isinstance(verdict, Confirm):
                await self._mesh.confirm(verdict)
        return Unready(Reason("ReadingNamespace", f"namespace {bridge.server} changes all the time"))

    async def changed(self, case: Case) -> Reason | None:
        """Read both hands and both namespaces live, and decide on them again, on nothing that was watched but the trust domains.

        Raises ApiError, Unreachable.
        """
        wish, bridge = case.wish, case.bridge
        assert bridge is not None  # noqa: S101 - what is built has one
        try:
            raw = await self._client.get(TENANT_BRIDGES, wish.name, wish.namespace)
            policy = await self._client.get(TENANT_BRIDGE_POLICIES, bridge.policy)
            spaces = [await self._client.get(NAMESPACES, name) for name in (bridge.server, bridge.client.namespace)]
        except NotFound as error:
            return Reason(CHANGED_MEANWHILE, f"it is no longer so: {error}")
        live, allowing = msgspec.convert(raw, TenantBridge), msgspec.convert(policy, TenantBridgePolicy)
        found = allowed(
            read_bridge(live),
            [read_bridge_policy(allowing)],
            dict(_namespaces(spaces)),
            self._mesh.world.config.trust_domains,
            built_for=live.status.client_namespace_uid,
            now=self._clock(),
        )
        if (found, read_bridge(live)) == (bridge, wish) and live.metadata.deletion_timestamp is None:
            return None
        return Reason(CHANGED_MEANWHILE, "it, its policy or a namespace changed this moment")


def _namespaces(spaces: Iterable[Json]) -> Iterator[tuple[str, Namespace]]:
    """Read those that are not on their way out, as the wall knows them."""
    for obj in (msgspec.convert(one, NamespaceObject) for one in spaces):
        if obj.metadata.deletion_timestamp is None:
            yield obj.metadata.name, Namespace(obj.metadata.uid, obj.labels_under(LABEL_PREFIX))
