"""The metrics of Certificates under cert-manager's names. Runs on the loop, on each change of a Certificate."""

from prometheus_client import Gauge

from signer.api.certificate import Certificate
from signer.api.meta import find_condition, from_rfc3339
from signer.certificates.well_known import READY
from signer.kube.reflector import Change
from signer.observe.metrics import Metrics

_CONDITIONS = ("True", "False", "Unknown")
Labels = tuple[str, str, str, str, str]


class CertificateGauges:
    """Keeps one series of each kind for a Certificate while it exists."""

    def __init__(self, metrics: Metrics) -> None:
        self._ready = metrics.certificate_ready_status
        self._dates: dict[str, tuple[Gauge, ...]] = {
            "not_after": (metrics.certificate_expiration, metrics.certificate_not_after),
            "not_before": (metrics.certificate_not_before,),
            "renewal_time": (metrics.certificate_renewal,),
        }
        self._labels: dict[tuple[str, str], Labels] = {}

    def changed(self, change: Change[Certificate]) -> None:
        """Follow one change."""
        old = self._labels.get(change.key)
        new = _labels(change.new) if change.new is not None else None
        if old is not None and old != new:
            self._drop(old)
            del self._labels[change.key]
        if change.new is None or new is None:
            return
        self._labels[change.key] = new
        condition = find_condition(change.new.status.conditions, READY)
        state = condition.status if condition is not None else "Unknown"
        for name in _CONDITIONS:
            self._ready.labels(*new, name).set(1 if state == name else 0)
        for field, gauges in self._dates.items():
            moment = from_rfc3339(getattr(change.new.status, field))
            for gauge in gauges:
                gauge.labels(*new).set(moment.timestamp() if moment is not None else 0)

    def clear(self) -> None:
        """Remove every series: this process no longer keeps them up to date."""
        for labels in self._labels.values():
            self._drop(labels)
        self._labels.clear()

    def _drop(self, labels: Labels) -> None:
        for name in _CONDITIONS:
            self._ready.remove(*labels, name)
        for gauges in self._dates.values():
            for gauge in gauges:
                gauge.remove(*labels)


def _labels(certificate: Certificate) -> Labels:
    meta, ref = certificate.metadata, certificate.spec.issuer_ref
    return meta.name, meta.namespace, ref.name, ref.kind, ref.group
