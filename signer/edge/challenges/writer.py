"""What is written of Challenges: their status, their finalizer, and Events about them.

Runs on the loop, in the leader. Every write is noted as superseding what the cache still has.
"""

from typing import Any

import msgspec

from signer.api.challenge import CHALLENGES, FINALIZER, Challenge
from signer.api.event import reference_to
from signer.edge.orders.step import told
from signer.kube.client import ApiClient
from signer.kube.superseded import Superseded
from signer.observe.events import EventRecorder, EventType
from signer.observe.notices import Notice, Notices


class ChallengeWriter:
    """Writes Challenges. Raises NotFound and Conflict as the API server answers."""

    def __init__(self, client: ApiClient, recorder: EventRecorder, superseded: Superseded) -> None:
        self._client = client
        self._notices = Notices(recorder)
        self._superseded = superseded

    def stale(self, challenge: Challenge) -> bool:
        """Tell whether this is older than what we wrote last."""
        meta = challenge.metadata
        return self._superseded.stale((meta.namespace, meta.name), meta.resource_version)

    async def patch(self, challenge: Challenge, status: dict[str, Any], *, guarded: bool = False) -> Challenge:
        """Merge into the status and return what is stored then; `guarded`: only if nobody wrote since it was read."""
        meta = challenge.metadata
        body: dict[str, Any] = {"status": status}
        if guarded:
            body["metadata"] = {"resourceVersion": meta.resource_version}
        written = msgspec.convert(
            await self._client.patch(CHALLENGES, meta.name, body, namespace=meta.namespace, subresource="status"),
            Challenge,
        )
        key = (meta.namespace, meta.name)
        self._superseded.replaced(key, meta.resource_version, written.metadata.resource_version)
        return written

    async def reason(self, challenge: Challenge, text: str, *, code: str = "") -> Challenge:
        """Say what is waited for, once; with `code` by an Event too."""
        text = told(text)
        if challenge.status.reason == text:
            return challenge
        written = await self.patch(challenge, {"reason": text})
        if code:
            self.emit(written, "Warning", code, text)
        return written

    async def release(self, challenge: Challenge) -> None:
        """Take our finalizer away; the others stay."""
        meta = challenge.metadata
        left = [one for one in meta.finalizers if one != FINALIZER]
        body = {"metadata": {"resourceVersion": meta.resource_version, "finalizers": left}}
        await self._client.patch(CHALLENGES, meta.name, body, namespace=meta.namespace)

    def emit(self, challenge: Challenge, kind: EventType, reason: str, message: str) -> None:
        """Write an Event about it; what it warns of is in the log too."""
        about = reference_to(CHALLENGES, challenge.metadata)
        self._notices.logged(about, Notice(kind, reason, message), share=about.namespace)
