"""What is shown of issuers: gauges of their readiness and of their CAs' ends, and a line when one cannot sign.

Gauges of an issuer that went away go with it. Used on the loop only.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from issuers.authority import Authority
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.observe.metrics import Metrics
from signer.observe.printable import printable

log = logging.getLogger(__name__)

LASTS = 5.0
"""Seconds for which an issuer is not ready until a line says so: it may be older than its Secret, by as much as takes to make one."""
_PENDING = "Pending"


class State(Protocol):
    """What is known of an issuer (signer/authorities/state.py, which lies above this layer)."""

    @property
    def ready(self) -> bool:
        """Whether it may sign."""

    @property
    def reason(self) -> str:
        """Why it may, or may not."""

    @property
    def message(self) -> str:
        """The same, for people."""

    @property
    def warning(self) -> str | None:
        """That its CA ends soon."""

    @property
    def doubt(self) -> str:
        """Which verifiers accept nothing that its CA signs."""

    @property
    def authority(self) -> Authority | None:
        """Its CA."""


_CONDITIONS = ("True", "False", "Unknown")


class IssuerGauges:
    """Sets `mesh_signer_issuer_ready` and those of when a CA begins and ends.

    And cert-manager's gauges of issuers, where this process keeps their status (`statuses`): beside a cert-manager, and beside
    our own controllers, what a process cannot read would contradict what is stored.
    """

    def __init__(self, metrics: Metrics, *, statuses: bool = True) -> None:
        self._metrics = metrics
        self._statuses = statuses
        self._reasons: dict[IssuerRef, str] = {}

    def update(self, ref: IssuerRef, state: State | None) -> None:
        """Show an issuer as it is now; None: it went away."""
        name = (ref.kind, ref.namespace, ref.name)
        old = self._reasons.pop(ref, None)
        if old is not None and (state is None or state.reason != old):
            self._metrics.issuer_ready.remove(*name, old)
        if self._statuses:
            self._show_ready(ref, state)
        if state is None:
            self._forget_end(name)
            return
        self._reasons[ref] = state.reason
        self._metrics.issuer_ready.labels(*name, state.reason).set(1 if state.ready else 0)
        if state.authority is not None:
            self._metrics.ca_not_before.labels(*name).set(state.authority.not_before.timestamp())
            self._metrics.ca_not_after.labels(*name).set(state.authority.not_after.timestamp())
        else:
            self._forget_end(name)

    def _show_ready(self, ref: IssuerRef, state: State | None) -> None:
        """Say the same under cert-manager's names (pkg/metrics), which count each condition apart."""
        cluster = ref.kind == "ClusterIssuer"
        gauge = self._metrics.cluster_issuer_ready_status if cluster else self._metrics.issuer_ready_status
        labels = (ref.name,) if cluster else (ref.name, ref.namespace)
        for condition in _CONDITIONS:
            if state is not None:
                gauge.labels(*labels, condition).set(1 if condition == str(state.ready) else 0)
                continue
            with contextlib.suppress(KeyError):
                gauge.remove(*labels, condition)

    def _forget_end(self, name: tuple[str, str, str]) -> None:
        for gauge in (self._metrics.ca_not_before, self._metrics.ca_not_after):
            with contextlib.suppress(KeyError):
                gauge.remove(*name)


class IssuerLines:
    """Logs what happens to issuers: that one cannot sign, that it can again, that its CA is another one, or ends soon.

    `turn` is to be called each second or so. `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Of each issuer that cannot sign: since when, and as what.
        self._unready: dict[IssuerRef, tuple[float, State]] = {}
        self._told: dict[IssuerRef, tuple[str, str]] = {}
        self._keys: dict[IssuerRef, str] = {}
        self._doubts: dict[IssuerRef, set[str]] = {}

    def update(self, ref: IssuerRef, state: State | None) -> None:
        """Take an issuer as it is now; None: it went away."""
        if state is None:
            if self._keys.pop(ref, None) is not None or ref in self._told:
                log.info("%s: deleted", ref, extra=_about(ref))
            for known in (self._unready, self._told, self._doubts):
                known.pop(ref, None)
            return
        if not state.ready:
            if state.reason != _PENDING:
                since = self._unready[ref][0] if ref in self._unready else self._clock()
                self._unready[ref] = (since, state)
            return
        self._unready.pop(ref, None)
        if self._told.pop(ref, None) is not None:
            log.info("%s: can sign again", ref, extra=_about(ref))
        if state.authority is not None:
            before = self._keys.get(ref)
            self._keys[ref] = state.authority.key_id
            if before not in (None, state.authority.key_id):
                words = "%s: signs with another CA from now on, until %s"
                log.warning(words, ref, to_rfc3339(state.authority.not_after), extra=_about(ref))
        self._doubt(ref, state)

    def _doubt(self, ref: IssuerRef, state: State) -> None:
        said = {"CAEndsSoon": state.warning or "", "NotVerifiableByAll": state.doubt}
        told = self._doubts.setdefault(ref, set())
        for reason, message in said.items():
            if message and reason not in told:
                told.add(reason)
                log.warning("%s: %s: %s", ref, reason, message, extra=_about(ref, reason))
            elif not message:
                told.discard(reason)

    def turn(self) -> None:
        """Tell of those that have not been ready for some seconds, once for each reason and message."""
        late = self._clock() - LASTS
        for ref, (since, state) in self._unready.items():
            said = (state.reason, state.message)
            if since <= late and self._told.get(ref) != said:
                self._told[ref] = said
                words = "%s: cannot sign: %s: %s (docs/operations.md#issuers says what to do)"
                log.warning(words, ref, state.reason, printable(state.message), extra=_about(ref, state.reason))


def _about(ref: IssuerRef, reason: str = "") -> dict[str, str]:
    return {"object": str(ref), "namespace": ref.namespace, "reason": reason}
