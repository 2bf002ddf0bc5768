"""What is told of bridges beside their status and Events: audit lines and metrics.

As for CertificateRequests, the intent is in the audit log before the Secret is written, and what became of it after
(signer/observe/answered.py). Nothing here decides anything. Used on the loop only.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from issuers.template import CertificateTemplate
from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.api.tenantbridge import TenantBridge
from signer.kube.clock import to_milliseconds
from signer.observe.answered import answered
from signer.observe.audit import AuditLine, AuditLog
from signer.observe.metrics import Metrics
from signer.observe.printable import printable
from signer.tenancy.verdict import Bridge, Grant, Reason, Refuse

Key = tuple[str, str]
T = TypeVar("T")
STANDS = "Stands"
_MOST_REASONS = 32


@dataclass(frozen=True, slots=True)
class Issued:
    """What was signed, by which grant; `ca_key` is the SHA-256 of the CA's public key in hex."""

    grant: Grant
    serial: int
    template: CertificateTemplate
    ca_key: str


class BridgeRecord:
    """Tells the audit log and the metrics. `wall` gives the time of day."""

    def __init__(self, metrics: Metrics, audit: AuditLog, wall: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._audit = audit
        self._wall = wall
        self._states: dict[Key, str] = {}
        self._refused: dict[str, tuple[int, str]] = {}

    @property
    def blocked(self) -> bool:
        """Whether nothing may be issued now, as it could not be written down (--audit-failure=stop)."""
        return self._audit.blocked

    def stands(self, key: Key, _bridge: Bridge) -> None:
        """Count a bridge as one that stands."""
        self._state(key, STANDS)

    def denied(self, key: Key, _obj: TenantBridge, reason: Reason) -> None:
        """Count a bridge by why it does not stand."""
        self._state(key, reason.code)

    def forget(self, key: Key) -> None:
        """Count it no more."""
        self._state(key, "")

    def clear(self) -> None:
        """Remove every series: this process no longer keeps them up to date."""
        for key in tuple(self._states):
            self.forget(key)

    def _state(self, key: Key, state: str) -> None:
        before = self._states.pop(key, "")
        if state:
            self._states[key] = state
        counts = dict.fromkeys([one for one in (before, state) if one], 0)
        for one in self._states.values():
            if one in counts:
                counts[one] += 1
        for one, count in counts.items():
            if count:
                self._metrics.bridges.labels(one).set(count)
            else:
                self._metrics.bridges.remove(one)

    def line(self, obj: TenantBridge, bridge: Bridge, signer: IssuerRef, issued: Issued) -> AuditLine:
        """Return the line of a certificate that is to be stored."""
        line = self._line(obj, signer)
        line.identity = printable(str(bridge.client))
        line.source = issued.grant.source
        line.serial = f"{issued.serial:x}"
        line.lifetime = int((issued.template.not_after - issued.template.not_before).total_seconds())
        line.ca_key = issued.ca_key
        return line

    async def stored(self, line: AuditLine, write: Callable[[], Awaitable[T]]) -> T:
        """Write the intent down, `write`, and tell what became of it. Returns and raises what it does, and NotWrittenDown."""
        made = await answered(self._audit, line, "stored", write, self._now)
        self._metrics.bridge_certificates.inc()
        return made

    def refused(self, obj: TenantBridge, bridge: Bridge | None, signer: IssuerRef | None, verdict: Refuse) -> None:
        """Write down that the wall refused a bridge its certificate, once for each generation and reason."""
        said = (obj.metadata.generation, verdict.code)
        if self._refused.get(obj.metadata.uid) == said:
            return
        if len(self._refused) > _MOST_REASONS * _MOST_REASONS:
            self._refused.clear()
        self._refused[obj.metadata.uid] = said
        line = self._line(obj, signer)
        line.verdict = "refuse"
        line.identity = printable(str(bridge.client)) if bridge is not None else ""
        line.reasons = [f"{one.code}: {printable(one.message)}" for one in verdict.reasons]
        self._audit.write(line)
        ended = {"audit": "outcome", "time": self._now(), "outcome": "refused"}
        self._audit.write(msgspec.structs.replace(line, **ended))

    def _line(self, obj: TenantBridge, signer: IssuerRef | None) -> AuditLine:
        meta = obj.metadata
        return AuditLine(
            time=self._now(),
            audit="intent",
            resource="TenantBridge",
            uid=meta.uid,
            name=meta.name,
            verdict="issue",
            signer=signer_name_of(signer) if signer is not None else "",
            namespace=meta.namespace,
        )

    def _now(self) -> str:
        return to_milliseconds(self._wall())
