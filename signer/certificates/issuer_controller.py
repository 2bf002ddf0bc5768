"""Writes what is known of each issuer into its status.

Runs on the loop. What is known comes from the registry, which looks at the Secrets; this controller only tells it,
and writes only when something differs, so that another writer and we do not chase each other.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.api.meta import find_condition, set_condition
from signer.authorities.registry import Registry
from signer.authorities.state import NOT_BY_ALL, PENDING, IssuerState
from signer.certificates.objects import Objects
from signer.certificates.well_known import READY
from signer.kube.errors import Conflict, NotFound


def status_patch(issuer: Issuer, state: IssuerState, now: datetime) -> dict[str, Any] | None:
    """The merge patch that makes the issuer's Ready condition say what is known, None when it does.

    A CA that is still being read is not news. Pure.
    """
    if state.reason == PENDING:
        return None
    message = "; ".join(text for text in (state.message, state.warning, state.doubt) if text)
    conditions = set_condition(
        issuer.status.conditions,
        READY,
        "True" if state.ready else "False",
        reason=state.reason,
        message=message,
        now=now,
        generation=issuer.metadata.generation,
    )
    if conditions == issuer.status.conditions:
        return None
    return {
        "metadata": {"resourceVersion": issuer.metadata.resource_version},
        "status": {"conditions": msgspec.to_builtins(conditions)},
    }


def news(issuer: Issuer, state: IssuerState) -> list[tuple[Literal["Normal", "Warning"], str, str]]:
    """What to say in Events: type, reason, message. `issuer` has the condition as it was before. Pure.

    What is warned of may begin while the issuer stays Ready, so it is compared apart.
    """
    before = find_condition(issuer.status.conditions, READY)
    found: list[tuple[Literal["Normal", "Warning"], str, str]] = []
    if before is None or (before.status == "True") != state.ready or before.reason != state.reason:
        if not state.ready:
            found.append(("Warning", state.reason, state.message))
        elif state.message:
            found.append(("Normal", state.reason, state.message))
    if state.warning and (before is None or state.warning not in before.message):
        found.append(("Warning", "CAEndsSoon", state.warning))
    if state.doubt and (before is None or state.doubt not in before.message):
        found.append(("Warning", NOT_BY_ALL, state.doubt))
    return found


class IssuerController:
    """Keeps the status of Issuers and ClusterIssuers."""

    def __init__(self, registry: Registry, objects: Objects, *, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._objects = objects
        self._clock = clock

    async def reconcile(self, ref: IssuerRef) -> None:
        """Write one issuer's status if it differs."""
        state = self._registry.get(ref)
        if state is None or state.issuer.metadata.deletion_timestamp or state.kind == "acme":
            return  # what is known of an ACME issuer comes from its status
        issuer: Issuer | None = state.issuer
        resource = CLUSTER_ISSUERS if ref.kind == "ClusterIssuer" else ISSUERS
        try:
            written = await self._write(ref, state.issuer, state)
        except Conflict:
            # The registry's copy may be old, or stay as it was when only the status changes: look once more, live.
            issuer = await self._objects.issuer(resource, ref.namespace, ref.name)
            if issuer is None or issuer.metadata.generation != state.issuer.metadata.generation:
                return  # the registry will tell of the new one
            written = await self._write(ref, issuer, state)
        except NotFound:
            return
        if written and issuer is not None:
            self._tell(issuer, state)

    async def _write(self, ref: IssuerRef, issuer: Issuer, state: IssuerState) -> bool:
        resource = CLUSTER_ISSUERS if ref.kind == "ClusterIssuer" else ISSUERS
        patch = status_patch(issuer, state, self._clock())
        if patch is None:
            return False
        await self._objects.patch_issuer(resource, issuer, patch)
        return True

    def about(self, ref: IssuerRef) -> list[ObjectReference]:
        """Refer to the issuer, while there is one."""
        state = self._registry.get(ref)
        resource = CLUSTER_ISSUERS if ref.kind == "ClusterIssuer" else ISSUERS
        return [reference_to(resource, state.issuer.metadata)] if state is not None else []

    def _tell(self, issuer: Issuer, state: IssuerState) -> None:
        resource = CLUSTER_ISSUERS if state.ref.kind == "ClusterIssuer" else ISSUERS
        emit = self._objects.emitter(resource, issuer)
        for kind, reason, message in news(issuer, state):
            emit(kind, reason, message)
