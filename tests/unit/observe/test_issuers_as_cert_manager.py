"""The readiness of issuers under cert-manager's own names."""

from signer.observe.issuers import IssuerGauges
from signer.observe.metrics import Metrics
from tests.unit.csr.crafted import FOO, SHOP, ready, unready


def shown(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == f"certmanager_{name}_ready_status"
    }


def test_condition() -> None:
    """Each issuer has three series, and the one of its condition is 1."""
    metrics = Metrics()
    gauges = IssuerGauges(metrics)
    gauges.update(FOO, ready())
    gauges.update(FOO, unready())
    gauges.update(SHOP, ready(SHOP))
    assert shown(metrics, "clusterissuer") == {("foo", "True"): 0, ("foo", "False"): 1, ("foo", "Unknown"): 0}
    assert shown(metrics, "issuer") == {
        ("ca", "shop", "True"): 1,
        ("ca", "shop", "False"): 0,
        ("ca", "shop", "Unknown"): 0,
    }


def test_gone() -> None:
    """An issuer that was deleted leaves no series behind, and one that was never seen is not an error."""
    metrics = Metrics()
    gauges = IssuerGauges(metrics)
    gauges.update(FOO, ready())
    gauges.update(FOO, None)
    gauges.update(SHOP, None)
    assert shown(metrics, "clusterissuer") == shown(metrics, "issuer") == {}


def test_not_where_the_status_is_somebody_elses() -> None:
    """A process that keeps no issuer's status says nothing under these names: what it cannot read is no verdict."""
    metrics = Metrics()
    gauges = IssuerGauges(metrics, statuses=False)
    gauges.update(FOO, ready())
    gauges.update(SHOP, unready(SHOP))
    gauges.update(SHOP, None)
    assert shown(metrics, "clusterissuer") == shown(metrics, "issuer") == {}
