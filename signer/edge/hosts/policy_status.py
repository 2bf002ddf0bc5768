"""Writes the status of EdgePolicies: whether each can be read, and how many hosts are claimed under it. The leader does it.

Nothing is decided by it: a status is for people, and follows a moment later.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from signer.api.edgepolicy import EDGE_POLICIES, EdgePolicy, EdgePolicyStatus
from signer.api.event import reference_to
from signer.api.meta import set_condition
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.policy import HostPolicy, deciding, to_record
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.observe.write_errors import WriteErrors

log = logging.getLogger(__name__)

_SETTLES = 1.0
_RETRY = 10.0
READY = "Ready"
_NAMED = 5


class EdgePolicyStatuses:
    """Keeps status of all EdgePolicies."""

    def __init__(
        self, client: ApiClient, claims: Claims, errors: WriteErrors, *, clock: Callable[[], datetime]
    ) -> None:
        self._errors = errors
        self._client = client
        self._claims = claims
        self._clock = clock
        self._told = ""
        self._changed = asyncio.Event()
        claims.hosts.subscribe(lambda _: self._changed.set())
        claims.edge_policies.subscribe(lambda _: self._changed.set())
        claims.namespaces.subscribe(lambda _: self._changed.set())

    async def run(self) -> None:
        """Write until cancelled; to be started once the claims were read."""
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLES)
            self._changed.clear()
            if not await self._write_all():
                await asyncio.sleep(_RETRY)
                self._changed.set()

    def _to_record(self, obj: EdgePolicy, policy: HostPolicy, uids: Mapping[str, str]) -> dict[str, str | None]:
        meant = dict(uids)
        for name in policy.namespaces - policy.namespace_uids.keys():
            if (asker := self._claims.asker(name)) is not None:
                meant[name] = self._claims.meant(policy, obj, asker, self._claims.namespaces.store.get(("", name)))
        return to_record(obj, meant)

    def _covers(self, policy: HostPolicy, namespace: str) -> bool:
        asker = self._claims.asker(namespace)
        return asker is not None and policy.covers(namespace, asker.uid, asker.labels)

    async def _write_all(self) -> bool:
        policies = self._claims.policies
        if not policies:
            return True
        counts = Counter(
            one.name
            for claim in self._claims.claims.values()
            for one in deciding(self._claims.world.policies, claim.host)
        )
        trouble, uids = "", self._claims.uids()
        for (_, name), obj in list(self._claims.edge_policies.store.items()):
            missing = self._to_record(obj, policies[name], uids)
            remade = sorted(one for one, uid in uids.items() if policies[name].is_remade(one, uid))
            covered = any(self._covers(policies[name], namespace) for _, namespace in self._claims.namespaces.store)
            status = policy_status(obj, policies[name], counts[name], self._clock(), covers=covered, remade=remade)
            if status == obj.status and not missing:
                continue
            meta = {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}
            body = {"metadata": meta, "status": msgspec.to_builtins(status) | {"namespaceUIDs": missing}}
            try:
                await self._client.patch(EDGE_POLICIES, name, body, subresource="status")
            except NotFound:
                pass
            except Conflict as error:
                # It changed: the watch tells, and it is looked at again. Only when that never ends it is news.
                self._errors.refused(reference_to(EDGE_POLICIES, obj.metadata), error)
            except (ApiError, Unreachable) as error:
                self._errors.refused(reference_to(EDGE_POLICIES, obj.metadata), error)
                trouble = trouble or f"EdgePolicy {name}: its status could not be written: {error}"
            else:
                self._errors.fine(reference_to(EDGE_POLICIES, obj.metadata))
        if trouble and trouble != self._told:
            log.warning("%s", trouble)
        self._told = trouble
        return not trouble


def policy_status(
    obj: EdgePolicy, policy: HostPolicy, hosts: int, now: datetime, *, covers: bool = True, remade: Sequence[str] = ()
) -> EdgePolicyStatus:
    """Return the status as it should be; `covers`: some namespace that exists is covered. Pure.

    `remade` are namespaces that it names and that are others by now.
    """
    nobody = bool(remade) or (not covers and bool(policy.namespaces or policy.namespace_labels))
    fine = not policy.problem and not nobody
    reason, message = "Read", "grants what it says"
    if policy.problem:
        reason, message = "Invalid", f"grants nothing: {policy.problem}"
    elif nobody:
        asked = ", ".join(sorted(policy.namespaces)[:_NAMED]) or "with the labels of matchLabels"
        reason = "NamespaceRemade" if remade else "CoversNobody"
        message = f"spec.namespaces: there is no namespace {asked}, so nobody has a host by it until there is one"
        if remade:
            message = (
                f"spec.namespaces.names: {', '.join(remade[:_NAMED])} was deleted and made again, and has nothing by it: if it is"
                " the same tenant's, set spec.namespaces.remade: Allow"
            )
    conditions = set_condition(
        obj.status.conditions,
        READY,
        "True" if fine else "False",
        reason=reason,
        message=message,
        now=now,
        generation=obj.metadata.generation,
    )
    return EdgePolicyStatus(conditions=conditions, hosts=hosts, namespace_uids=obj.status.namespace_uids)
