"""Every metric has a name that lasts and labels that are bounded."""

import platform

import pytest
from prometheus_client.exposition import generate_latest

from signer import __version__
from signer.observe.metrics import REVISION, Metrics

CERT_MANAGER = {
    "certmanager_clusterissuer_ready_status": ("name", "condition"),
    "certmanager_issuer_ready_status": ("name", "namespace", "condition"),
    "certmanager_certificate_ready_status": (
        "name",
        "namespace",
        "issuer_name",
        "issuer_kind",
        "issuer_group",
        "condition",
    ),
}


def names(metrics: Metrics) -> set[str]:
    return {metric.name for metric in metrics.registry.collect()}


def test_two_processes_worth() -> None:
    """Two Metrics share nothing."""
    one, other = Metrics(), Metrics()
    one.api_error(429)
    assert one.registry.get_sample_value("mesh_signer_api_errors_total", {"code": "429"}) == 1
    assert other.registry.get_sample_value("mesh_signer_api_errors_total", {"code": "429"}) is None


def test_names() -> None:
    """Our names begin with mesh_signer_; the others are cert-manager's or Python's own."""
    allowed = ("mesh_signer_", "certmanager_", "process_", "python_")
    assert [name for name in names(Metrics()) if not name.startswith(allowed)] == []


@pytest.mark.parametrize(("name", "labels"), CERT_MANAGER.items(), ids=str)
def test_cert_managers_names(name: str, labels: tuple[str, ...]) -> None:
    """cert-manager's own names and labels are kept, so that its dashboards go on working."""
    metrics = Metrics()
    field = name.removeprefix("certmanager_").replace("clusterissuer", "cluster_issuer")
    getattr(metrics, field).labels(*labels).set(1)
    assert metrics.registry.get_sample_value(name, dict(zip(labels, labels, strict=True))) == 1


def test_restarts_by_resource() -> None:
    """A watch that was opened again is counted under its resource."""
    metrics = Metrics()
    metrics.watch_restarted("secrets")
    metrics.watch_restarted("secrets")
    metrics.api_error("unreachable")
    assert metrics.registry.get_sample_value("mesh_signer_watch_restarts_total", {"resource": "secrets"}) == 2
    assert metrics.registry.get_sample_value("mesh_signer_api_errors_total", {"code": "unreachable"}) == 1


def test_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs can be told apart: version, commit, Python, and what the process does."""
    labels = {"version": __version__, "python": platform.python_version(), "component": "signer"}
    monkeypatch.setenv(REVISION, "0123456789abcdef" * 9)
    found = Metrics("signer").registry.get_sample_value
    assert found("mesh_signer_build_info", {**labels, "commit": "0123456789abcdef" * 4}) == 1
    for unknown in ("", None):
        monkeypatch.delenv(REVISION) if unknown is None else monkeypatch.setenv(REVISION, unknown)
        found = Metrics("signer").registry.get_sample_value
        assert found("mesh_signer_build_info", {**labels, "commit": "unknown"}) == 1


def test_no_series_that_nobody_asks_for() -> None:
    """No counter or histogram has a second series with the time at which it began."""
    metrics = Metrics()
    metrics.requests.labels("foo", "issued").inc()
    metrics.signing.labels("foo").observe(0.1)
    metrics.acme_request_seconds.labels("https", "other", "order", "POST", "200").observe(0.1)
    text = generate_latest(metrics.registry).decode()
    assert "mesh_signer_requests_total{" in text
    assert "_created" not in text


def test_api_latency() -> None:
    """How long calls took is there by method."""
    metrics = Metrics()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        metrics.api_took(method, 0.2)
        count = metrics.registry.get_sample_value
        assert count("mesh_signer_api_request_duration_seconds_count", {"method": method}) == 1
        assert count("mesh_signer_api_request_duration_seconds_sum", {"method": method}) == 0.2
