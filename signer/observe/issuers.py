"""Gauges of issuers' readiness and of their CAs' ends; those of an issuer that went away go with it.

Used on the loop only.
"""

import contextlib
from typing import Protocol

from issuers.authority import Authority
from signer.api.issuer import IssuerRef
from signer.observe.metrics import Metrics


class State(Protocol):
    """What is known of an issuer (signer/authorities/state.py, which lies above this layer)."""

    @property
    def ready(self) -> bool:
        """Whether it may sign."""

    @property
    def reason(self) -> str:
        """Why it may, or may not."""

    @property
    def authority(self) -> Authority | None:
        """Its CA."""


_CONDITIONS = ("True", "False", "Unknown")


class IssuerGauges:
    """Sets `mesh_signer_issuer_ready` and `mesh_signer_ca_not_after_timestamp_seconds`.

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
        try:
            self._metrics.ca_not_after.remove(*name)
        except KeyError:
            return
