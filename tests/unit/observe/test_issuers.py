"""The gauges of issuers show what is, and nothing of what was."""

from signer.api.issuer import IssuerRef
from signer.observe.issuers import IssuerGauges
from signer.observe.metrics import Metrics
from tests.unit.csr.crafted import FOO, SHOP, authority, ready, unready


class Shown:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.gauges = IssuerGauges(self.metrics)

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == f"mesh_signer_{name}"
        }


def test_ready() -> None:
    """A ready issuer is 1 with its reason, and its CA's end is shown."""
    shown = Shown()
    shown.gauges.update(FOO, ready())
    assert shown.series("issuer_ready") == {("ClusterIssuer", "", "foo", "KeyPairVerified"): 1}
    assert shown.series("ca_not_after_timestamp_seconds") == {
        ("ClusterIssuer", "", "foo"): authority().not_after.timestamp()
    }


def test_a_change_leaves_nothing_behind() -> None:
    """With a new reason the series of the old one goes, and the end of a CA that is gone too."""
    shown = Shown()
    for state in (ready(), unready(), unready(reason="Other"), unready(reason="Other")):
        shown.gauges.update(FOO, state)
    assert shown.series("issuer_ready") == {("ClusterIssuer", "", "foo", "Other"): 0}
    assert shown.series("ca_not_after_timestamp_seconds") == {}


def test_gone() -> None:
    """An issuer that was deleted has no series; another's stay."""
    shown = Shown()
    shown.gauges.update(FOO, ready())
    shown.gauges.update(SHOP, ready(SHOP))
    shown.gauges.update(FOO, None)
    shown.gauges.update(IssuerRef("Issuer", "a", "never-seen"), None)
    assert list(shown.series("issuer_ready")) == [("Issuer", "shop", "ca", "KeyPairVerified")]
    assert list(shown.series("ca_not_after_timestamp_seconds")) == [("Issuer", "shop", "ca")]
