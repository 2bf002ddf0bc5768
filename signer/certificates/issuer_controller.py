"""Writes what is known of each issuer into its status.

Runs on the loop. What is known comes from the registry, which looks at the Secrets; this controller only tells it,
and writes only when something differs. Where another writer puts something else there each time, as a second installation
does that looks for the CAs in another namespace, each next write waits longer, and the other is named.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.api.meta import find_condition, set_condition
from signer.api.text import shown
from signer.authorities.registry import Registry
from signer.authorities.state import NOT_BY_ALL, PENDING, IssuerState
from signer.certificates.objects import Objects
from signer.certificates.well_known import READY
from signer.kube.errors import Conflict, NotFound
from signer.kube.pacing import Pacing

log = logging.getLogger(__name__)

CONTESTED = "StatusContested"


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


def _said(state: IssuerState) -> tuple[str, ...]:
    """What is known, by what is written of it."""
    parts = (state.message, state.warning or "", state.doubt)
    return (str(state.ready), state.reason, *parts, str(state.issuer.metadata.generation))


def contested(issuer: Issuer, others: tuple[str, ...], until: datetime) -> str:
    """Say that somebody else writes another status, who that may be, and until when it stays so. Pure."""
    there = find_condition(issuer.status.conditions, READY)
    says = f"{there.status}, {there.reason}: {shown(there.message)}" if there is not None else "nothing"
    who = f"; other installations of mesh-signer: {', '.join(others)}" if others else ""
    return (
        f"somebody else writes this status too, each time after us; now it says Ready {says}{who}. Two installations need "
        f"different issuers, or one of them must end. The next write is after {until:%Y-%m-%dT%H:%M:%SZ}"
    )


class IssuerController:
    """Keeps the status of Issuers and ClusterIssuers."""

    def __init__(
        self,
        registry: Registry,
        objects: Objects,
        *,
        clock: Callable[[], datetime],
        later: Callable[[IssuerRef, float], None],
        namespace: str = "cert-manager",
    ) -> None:
        """Make it. `later` has an issuer reconciled again after so many seconds; `namespace` is that of our own Lease."""
        self._registry = registry
        self._objects = objects
        self._clock = clock
        self._later = later
        self._namespace = namespace
        # What was written last of each issuer, and how often the same had to be written again.
        self._wrote: dict[IssuerRef, tuple[str, ...]] = {}
        self._pacing = Pacing[IssuerRef]()
        self._told: set[IssuerRef] = set()

    async def reconcile(self, ref: IssuerRef) -> None:
        """Write one issuer's status if it differs."""
        state = self._registry.get(ref)
        if state is None or state.issuer.metadata.deletion_timestamp or state.kind == "acme":
            self._forget(ref)
            return  # what is known of an ACME issuer comes from its status
        if await self._waits(ref, state):
            return
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
            self._note(ref, state)
            self._tell(issuer, state)

    def _note(self, ref: IssuerRef, state: IssuerState) -> None:
        """Remember what was written; the same again means that somebody took it away in between."""
        said = _said(state)
        if self._wrote.get(ref) == said:
            self._pacing.note(ref, self._clock())
        else:
            self._pacing.forget(ref)
            self._told.discard(ref)
        self._wrote[ref] = said

    def _forget(self, ref: IssuerRef) -> None:
        self._wrote.pop(ref, None)
        self._pacing.forget(ref)
        self._told.discard(ref)

    async def _waits(self, ref: IssuerRef, state: IssuerState) -> bool:
        """Whether somebody undoes what we write again and again, and it is not yet time for the next write."""
        now = self._clock()
        if self._wrote.get(ref) != _said(state) or not (left := self._pacing.left(ref, now)):
            return False
        if status_patch(state.issuer, state, now) is None:
            return False
        self._later(ref, left.total_seconds())
        if ref not in self._told:
            self._told.add(ref)
            message = contested(state.issuer, await self._objects.other_installations(self._namespace), now + left)
            log.warning("%s: %s", ref, message)
            resource = CLUSTER_ISSUERS if ref.kind == "ClusterIssuer" else ISSUERS
            self._objects.emitter(resource, state.issuer)("Warning", CONTESTED, message)
        return True

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
