"""Writes what is known of each issuer into its status.

Runs on the loop. What is known comes from the registry, which looks at the Secrets; this controller only tells it,
and writes only when something differs. Where another writer puts something else there each time, as a second installation
does that looks for the CAs in another namespace, each next write waits longer, and the other is named.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from signer.api.certificate import Certificate
from signer.api.event import ObjectReference, named, reference_to
from signer.api.issuer import Issuer, IssuerRef
from signer.api.meta import find_condition, set_condition
from signer.api.text import shown
from signer.authorities.registry import Registry
from signer.authorities.state import NOT_BY_ALL, PENDING, IssuerState, NeedsSecret
from signer.certificates.objects import Key, Objects
from signer.certificates.well_known import READY
from signer.kube.errors import Conflict, NotFound
from signer.observe.notices import Notice
from signer.observe.undone import Undone

log = logging.getLogger(__name__)

CONTESTED = "StatusContested"
CA_CHANGED = "CAChanged"
# cert-manager's, beside the reason of the condition (pkg/controller/issuers/sync.go); tools look for it.
INIT_FAILED = "ErrInitIssuer"


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


def kept_elsewhere(missing: NeedsSecret, certificates: Iterable[Certificate]) -> str:
    """Say that the CA's Secret which is looked for is kept in another namespace; "" where no CA's Certificate has its name. Pure."""
    found = min(
        (
            (one.metadata.namespace, one.metadata.name)
            for one in certificates
            if one.spec.is_ca and one.spec.secret_name == missing.name and one.metadata.namespace != missing.namespace
        ),
        default=None,
    )
    if found is None:
        return ""
    return (
        f"Secret {found[0]}/{missing.name} is a CA's, kept by Certificate {found[0]}/{found[1]}: this issuer's belongs in namespace "
        f"{missing.namespace}, so make the Certificate there"
    )


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
        certificates: Mapping[Key, Certificate] = MappingProxyType({}),
    ) -> None:
        """Make it. `later` has an issuer reconciled again after so many seconds; `namespace` is that of our own Lease.

        `certificates` are all that are known: one of them may keep the CA that an issuer looks for elsewhere.
        """
        self._registry = registry
        self._objects = objects
        self._clock = clock
        self._later = later
        self._namespace = namespace
        self._certificates = certificates
        self._undone = Undone[IssuerRef]()
        self._notices = objects.notices()
        # The CA that each issuer was last ready with: its key's hash, and its name.
        self._cas: dict[IssuerRef, tuple[str, str]] = {}

    async def reconcile(self, ref: IssuerRef) -> None:
        """Write one issuer's status if it differs."""
        state = self._registry.get(ref)
        if state is None or state.issuer.metadata.deletion_timestamp or state.kind == "acme":
            self._undone.forget(ref)
            self._notices.forget(_about(ref))
            self._cas.pop(ref, None)
            return  # what is known of an ACME issuer comes from its status
        self._tell_of_another_ca(ref, state)
        if state.missing is not None and (hint := kept_elsewhere(state.missing, self._certificates.values())):
            state = replace(state, message=f"{state.message}; {hint}")
        if await self._waits(ref, state):
            return
        issuer: Issuer | None = state.issuer
        try:
            written = await self._write(ref, state.issuer, state)
        except Conflict:
            # The registry's copy may be old, or stay as it was when only the status changes: look once more, live.
            issuer = await self._objects.issuer(ref.resource, ref.namespace, ref.name)
            if issuer is None or issuer.metadata.generation != state.issuer.metadata.generation:
                return  # the registry will tell of the new one
            written = await self._write(ref, issuer, state)
        except NotFound:
            return
        if written and issuer is not None:
            now = self._clock()
            self._undone.wrote(ref, _said(state), now)
            if not self._undone.left(ref, _said(state), now):
                self._notices.forget(_about(ref))
            self._tell(issuer, state)

    def _tell_of_another_ca(self, ref: IssuerRef, state: IssuerState) -> None:
        """Warn when an issuer that was ready has a CA with another key, also where it was ready all the time."""
        authority = state.authority
        if authority is None:
            return
        now = (authority.key_id, authority.subject)
        before = self._cas.get(ref, now)
        self._cas[ref] = now
        if before[0] == now[0]:
            return
        message = (
            f"{ref} has another CA: {now[1]!r} in place of {before[1]!r}, with another key. What the former one signed does not "
            "verify against this one; the Certificates concerned say so (IssuerHasAnotherCA). If it was not meant, restore its Secret"
        )
        log.warning("%s", message)
        self._objects.emitter(ref.resource, state.issuer)("Warning", CA_CHANGED, message)

    async def _waits(self, ref: IssuerRef, state: IssuerState) -> bool:
        """Whether somebody undoes what we write again and again, and it is not yet time for the next write."""
        now = self._clock()
        if not (left := self._undone.left(ref, _said(state), now)):
            return False
        if status_patch(state.issuer, state, now) is None:
            return False
        self._later(ref, left.total_seconds())
        about = _about(ref, state.issuer.metadata.uid)
        if not self._notices.says(about, CONTESTED):
            message = contested(state.issuer, await self._objects.other_installations(self._namespace), now + left)
            if self._notices.say(about, [Notice("Warning", CONTESTED, message)]):
                log.warning("%s: %s", ref, message)
        return True

    async def _write(self, ref: IssuerRef, issuer: Issuer, state: IssuerState) -> bool:
        patch = status_patch(issuer, state, self._clock())
        if patch is None:
            return False
        await self._objects.patch_issuer(ref.resource, issuer, patch)
        return True

    def about(self, ref: IssuerRef) -> list[ObjectReference]:
        """Refer to the issuer, while there is one."""
        state = self._registry.get(ref)
        return [reference_to(ref.resource, state.issuer.metadata)] if state is not None else []

    def _tell(self, issuer: Issuer, state: IssuerState) -> None:
        emit = self._objects.emitter(state.ref.resource, issuer)
        for kind, reason, message in news(issuer, state):
            emit(kind, reason, message)
            if kind == "Warning" and reason == state.reason:
                emit("Warning", INIT_FAILED, f"Error initializing issuer: {message}")


def _about(ref: IssuerRef, uid: str = "") -> ObjectReference:
    return named(ref.resource, ref.namespace, ref.name, uid)
