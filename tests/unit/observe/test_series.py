"""Nobody makes series by asking: only what exists is a label, the busiest namespaces only, and not for ever."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from signer.observe.series import KEPT, Series


class Made:
    """Series over a counter by signer, namespace and reason; time and what exists are the test's."""

    def __init__(self, busiest: int = 200) -> None:
        self.registry = CollectorRegistry()
        self.counter = Counter("refusals", "r", ("signer", "namespace", "reason"), registry=self.registry)
        self.latency = Histogram("latency", "l", ("signer",), registry=self.registry)
        self.signers = {"foo", "bar"}
        self.namespaces = {"a", "b", "c", "d"}
        self.now = 0.0
        self.series = Series(
            signer_exists=lambda name: name in self.signers,
            namespace_exists=lambda name: name in self.namespaces,
            clock=lambda: self.now,
            busiest=busiest,
        )

    def count(self, namespace: str, signer: str = "foo", times: int = 1, reason: str = "R") -> None:
        for _ in range(times):
            self.series.count(self.counter, signer, namespace, reason)

    def value(self, namespace: str, signer: str = "foo", reason: str = "R") -> float | None:
        labels = {"signer": signer, "namespace": namespace, "reason": reason}
        return self.registry.get_sample_value("refusals_total", labels)

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.now += 60
            self.series.sweep()


def test_what_exists() -> None:
    """A signer or a namespace that is not there is "other"; no namespace at all is empty."""
    made = Made()
    made.count("a")
    made.count("nowhere")
    made.count("", signer="nobody")
    assert (made.value("a"), made.value("other"), made.value("", "other")) == (1, 1, 1)
    assert made.value("nowhere") is None
    assert made.value("", "nobody") is None


def test_the_busiest() -> None:
    """Where there are more namespaces than labels, those that ask most have them, after a minute at the latest."""
    made = Made(busiest=2)
    made.count("a")
    made.count("b")
    made.count("c", times=50)
    assert (made.value("a"), made.value("c"), made.value("other")) == (1, None, 50)
    made.minutes(1)
    made.count("c")
    assert (made.value("c"), made.value("other")) == (1, 50)
    made.count("b")
    assert made.value("b") is None
    made.minutes(1)
    assert len(made.series._named) == 2


def test_one_that_is_as_busy_does_not_take_a_label_away() -> None:
    """Two namespaces that are alike do not take turns."""
    made = Made(busiest=1)
    made.count("b")
    for _ in range(5):
        made.count("a")
        made.count("b")
        made.minutes(1)
        assert made.value("b") is not None


def test_what_is_gone() -> None:
    """Ten minutes after its issuer or namespace a series ends; what comes back in time goes on."""
    made = Made()
    made.count("a")
    made.count("b")
    made.count("c", signer="bar")
    made.latency.labels(made.series.follow(made.latency, "bar")).observe(1)
    made.namespaces -= {"a", "b"}
    made.signers -= {"bar"}
    made.minutes(5)
    made.namespaces |= {"b"}
    made.minutes(5)
    assert made.value("a") == 1
    made.minutes(1)
    assert KEPT == 600
    assert (made.value("a"), made.value("b"), made.value("c", "bar")) == (None, 1, None)
    assert made.registry.get_sample_value("latency_count", {"signer": "bar"}) is None


def test_one_namespace_does_not_make_many() -> None:
    """A workload that asks all signers there are makes two dozen series, and the rest is "other"."""
    made = Made()
    made.signers |= {f"s{n}" for n in range(500)}
    for n in range(500):
        made.count("a", signer=f"s{n}")
    (metric,) = made.counter.collect()
    found = [one for one in metric.samples if one.name == "refusals_total"]
    assert len([one for one in found if one.labels["namespace"] == "a"]) == 24
    assert sum(one.value for one in found if one.labels["namespace"] == "other") == 476


def test_nothing_is_left_behind() -> None:
    """Namespaces that come and go leave no memory."""
    made = Made(busiest=10)
    for n in range(300):
        made.namespaces = {f"n{n}"}
        made.count(f"n{n}")
        made.minutes(1)
    made.namespaces = set()
    made.minutes(20)
    assert set(made.series._series.values()) == {("foo", "other")}
    assert made.series._per_namespace == {}
    assert len(made.series._busy) <= 20
