"""The gauges of issuers show what is, and nothing of what was."""

import logging
from dataclasses import replace

import pytest

from signer.api.issuer import IssuerRef
from signer.observe.issuers import IssuerGauges, IssuerLines
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
    assert shown.series("ca_not_before_timestamp_seconds") == {
        ("ClusterIssuer", "", "foo"): authority().not_before.timestamp()
    }


def test_a_change_leaves_nothing_behind() -> None:
    """With a new reason the series of the old one goes, and the end of a CA that is gone too."""
    shown = Shown()
    for state in (ready(), unready(), unready(reason="Other"), unready(reason="Other")):
        shown.gauges.update(FOO, state)
    assert shown.series("issuer_ready") == {("ClusterIssuer", "", "foo", "Other"): 0}
    for name in ("ca_not_after_timestamp_seconds", "ca_not_before_timestamp_seconds"):
        assert shown.series(name) == {}


def test_gone() -> None:
    """An issuer that was deleted has no series; another's stay."""
    shown = Shown()
    shown.gauges.update(FOO, ready())
    shown.gauges.update(SHOP, ready(SHOP))
    shown.gauges.update(FOO, None)
    shown.gauges.update(IssuerRef("Issuer", "a", "never-seen"), None)
    assert list(shown.series("issuer_ready")) == [("Issuer", "shop", "ca", "KeyPairVerified")]
    assert list(shown.series("ca_not_after_timestamp_seconds")) == [("Issuer", "shop", "ca")]


class Lines:
    """The lines about issuers, with a clock of the test's own."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.now = 100.0
        self.lines = IssuerLines(lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.lines.turn()

    def said(self) -> list[tuple[str, str]]:
        return [(record.levelname, record.getMessage()) for record in self._caplog.records]


def test_a_line_when_one_cannot_sign(caplog: pytest.LogCaptureFixture) -> None:
    """An issuer that stays unready is told once, by name, with why; another reason is news; so is that it signs again."""
    told = Lines(caplog)
    told.lines.update(FOO, unready())
    told.wait(1)
    assert told.said() == []
    for _ in range(3):
        told.wait(5)
        told.lines.update(FOO, unready())
    told.lines.update(FOO, unready(reason="ErrInvalidKeyPair", message="expired"))
    told.wait(5)
    told.lines.update(FOO, ready())
    told.lines.update(FOO, ready())
    remedy = "(docs/operations.md#issuers says what to do)"
    assert told.said() == [
        ("WARNING", f"ClusterIssuer foo: cannot sign: ErrGetKeyPair: no such Secret {remedy}"),
        ("WARNING", f"ClusterIssuer foo: cannot sign: ErrInvalidKeyPair: expired {remedy}"),
        ("INFO", "ClusterIssuer foo: can sign again"),
    ]


def test_a_secret_that_comes_a_little_later_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """An issuer that is made before its Secret, or whose CA is being read, is not told of."""
    told = Lines(caplog)
    told.lines.update(FOO, unready())
    told.lines.update(SHOP, unready(SHOP, reason="Pending"))
    told.wait(2)
    told.lines.update(FOO, ready())
    told.wait(60)
    assert told.said() == []


def test_another_ca(caplog: pytest.LogCaptureFixture) -> None:
    """A CA with another key, and an issuer that is deleted, are each told by one line."""
    told = Lines(caplog)
    told.lines.update(FOO, ready())
    told.lines.update(FOO, ready(kind="p384"))
    told.lines.update(FOO, None)
    told.lines.update(SHOP, None)
    assert [level for level, _ in told.said()] == ["WARNING", "INFO"]
    assert told.said()[0][1].startswith("ClusterIssuer foo: signs with another CA from now on, until ")
    assert told.said()[1][1] == "ClusterIssuer foo: deleted"


def test_a_ca_that_ends(caplog: pytest.LogCaptureFixture) -> None:
    """That a CA ends soon, or does not suit all verifiers, is told once, and again when it was mended meanwhile."""
    told = Lines(caplog)
    ending = replace(ready(), warning="it ends tomorrow")
    for state in (ending, ending, ready(), ending, replace(ready(), doubt="Go accepts nothing")):
        told.lines.update(FOO, state)
    assert [text for _, text in told.said()] == [
        "ClusterIssuer foo: CAEndsSoon: it ends tomorrow",
        "ClusterIssuer foo: CAEndsSoon: it ends tomorrow",
        "ClusterIssuer foo: NotVerifiableByAll: Go accepts nothing",
    ]
