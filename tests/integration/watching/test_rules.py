"""The shipped alerts, by promtool: each fires for what it is named after, and does not for what is next to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.integration.watching.rules import alerts, promtool, shipped

DAY = 86400


@dataclass(frozen=True)
class Case:
    """Series (in promtool's form, a value each half minute), and the labels of the alerts that fire `at` that time.

    `calm` are series for which it does not fire.
    """

    series: Mapping[str, str]
    calm: Mapping[str, str]
    at: str = "10m"
    labels: tuple[Mapping[str, str], ...] = field(default=({},))
    interval: str = "30s"


def bucketed(metric: str, buckets: Mapping[str, str], labels: str = "") -> dict[str, str]:
    """The series of a histogram: for each bound how many there are."""
    found = {f'{metric}_bucket{{{labels}le="{bound}"}}': values for bound, values in buckets.items()}
    return found | {f"{metric}_count{{{labels.rstrip(',')}}}": buckets["+Inf"]}


SIGNING = "mesh_signer_signing_duration_seconds"
TENANT = {"signer": "clusterissuers.cert-manager.io/foo", "namespace": "shop", "reason": "TenantMismatch"}
SELECTED = ",".join(f'{key}="{value}"' for key, value in TENANT.items())
CA = 'kind="ClusterIssuer",name="foo"'
OF_A_CA = ({"kind": "ClusterIssuer", "name": "foo"},)
CERTIFICATE = 'namespace="shop",name="web",issuer_name="foo",issuer_kind="Issuer",issuer_group="cert-manager.io"'
OF_A_CERTIFICATE = ({"namespace": "shop", "name": "web"},)


def ca_ending(left: float, life: float) -> dict[str, str]:
    """A CA that has so many seconds left of its life at ten minutes."""
    end = left + 600
    return {
        f"mesh_signer_ca_not_after_timestamp_seconds{{{CA}}}": f"{end}x40",
        f"mesh_signer_ca_not_before_timestamp_seconds{{{CA}}}": f"{end - life}x40",
    }


CASES = {
    # A slow certificate in fifty, for an hour; and one in ten that fast ones outnumber: below the budget's rate.
    "MeshSignerSigningBudgetBurnsFast": Case(
        bucketed(SIGNING, {"1.0": "0+49x200", "+Inf": "0+50x200"}),
        bucketed(SIGNING, {"1.0": "0+998x200", "+Inf": "0+1000x200"}),
        at="90m",
    ),
    "MeshSignerSigningBudgetBurns": Case(
        bucketed(SIGNING, {"1.0": "0+9980x200", "+Inf": "0+10000x200"}),
        bucketed(SIGNING, {"1.0": "0+9995x200", "+Inf": "0+10000x200"}),
        at="90h",
        interval="1h",
    ),
    # The controllers, which export the same metrics, are there in both.
    "MeshSignerDown": Case(
        {
            'mesh_signer_build_info{component="controllers"}': "1x40",
            'mesh_signer_build_info{component="signer"}': "1x5 stale",
        },
        {
            'mesh_signer_build_info{component="controllers"}': "1x40",
            'mesh_signer_build_info{component="signer"}': "1x40",
        },
    ),
    "MeshSignerAlone": Case(
        {'mesh_signer_replicas{pod="a"}': "1x60"},
        {'mesh_signer_replicas{pod="a"}': "1x60", 'mesh_signer_replicas{pod="b"}': "2x60"},
        at="20m",
    ),
    "MeshSignerNoLeader": Case(
        {'mesh_signer_leader{pod="a"}': "0x40", 'mesh_signer_leader{pod="b"}': "1x2 0x38"},
        {'mesh_signer_leader{pod="a"}': "0x40", 'mesh_signer_leader{pod="b"}': "0x10 1x30"},
    ),
    "MeshSignerQueueLong": Case(
        bucketed("mesh_signer_queue_wait_seconds", {"5.0": "0+90x60", "10.0": "0+100x60", "+Inf": "0+100x60"}),
        bucketed("mesh_signer_queue_wait_seconds", {"5.0": "0+1000x60", "10.0": "0+1001x60", "+Inf": "0+1001x60"}),
        at="15m",
    ),
    "MeshSignerRequestsWait": Case(
        {'mesh_signer_waiting_requests{pod="a",reason="IssuerNotReady"}': "3x40"},
        {
            'mesh_signer_waiting_requests{pod="a",reason="Pending"}': "3x40",
            'mesh_signer_waiting_requests{pod="a",reason="IssuerNotReady"}': "0 1 0x38",
        },
        labels=({"reason": "IssuerNotReady"},),
    ),
    "MeshSignerEventLoopLags": Case(
        bucketed(
            "mesh_signer_event_loop_lag_seconds",
            {"0.5": "0+90x80", "1.0": "0+100x80", "+Inf": "0+100x80"},
            'instance="a",',
        ),
        bucketed("mesh_signer_event_loop_lag_seconds", {"0.5": "0+100x80", "+Inf": "0+100x80"}, 'instance="a",'),
        at="25m",
        labels=({"instance": "a"},),
    ),
    "MeshSignerAPIErrors": Case(
        {'mesh_signer_api_errors_total{code="403"}': "0+30x80"},
        {
            'mesh_signer_api_errors_total{code="404"}': "0+30x80",
            'mesh_signer_api_errors_total{code="409"}': "0+30x80",
            'mesh_signer_api_errors_total{code="500"}': "0+1x80",
        },
        at="25m",
        labels=({"code": "403"},),
    ),
    "MeshSignerAPISlow": Case(
        bucketed(
            "mesh_signer_api_request_duration_seconds",
            {"1.0": "0+90x80", "2.5": "0+100x80", "+Inf": "0+100x80"},
            'method="PUT",',
        ),
        bucketed("mesh_signer_api_request_duration_seconds", {"1.0": "0+100x80", "+Inf": "0+100x80"}, 'method="PUT",'),
        at="25m",
    ),
    "MeshSignerClockOff": Case(
        {
            'mesh_signer_clock_skew_seconds{instance="a"}': "-90x40",
            'mesh_signer_clock_skew_seconds{instance="b"}': "1x40",
        },
        {'mesh_signer_clock_skew_seconds{instance="a"}': "-50x40"},
        labels=({"instance": "a"},),
    ),
    "MeshSignerMeshStale": Case(
        {'mesh_signer_mesh_source_age_seconds{pod="a",source="ProxyConfigs"}': "0+30x40"},
        {'mesh_signer_mesh_source_age_seconds{pod="a",source="ProxyConfigs"}': "60x40"},
        at="15m",
        labels=({"source": "ProxyConfigs"},),
    ),
    "MeshSignerNoWall": Case(
        {'mesh_signer_tenancy_mode{mode="audit"}': "1x200", 'mesh_signer_tenancy_mode{mode="enforce"}': "0x200"},
        {'mesh_signer_tenancy_mode{mode="audit"}': "0x200", 'mesh_signer_tenancy_mode{mode="enforce"}': "1x200"},
        at="80m",
        labels=({"mode": "audit"},),
    ),
    # The first that is counted begins the series.
    "MeshSignerForeignCertificate": Case(
        {f'mesh_signer_foreign_certificates_total{{signer="{TENANT["signer"]}"}}': "_x18 1x22"},
        {f'mesh_signer_foreign_certificates_total{{signer="{TENANT["signer"]}"}}': "1x80"},
        at="20m",
        labels=({"signer": TENANT["signer"]},),
    ),
    "MeshSignerAnotherSigner": Case(
        {f'mesh_signer_requests_total{{signer="{TENANT["signer"]}",outcome="conflict"}}': "_x18 3 8x20"},
        {
            f'mesh_signer_requests_total{{signer="{TENANT["signer"]}",outcome="conflict"}}': "_x18 3x22",
            f'mesh_signer_requests_total{{signer="{TENANT["signer"]}",outcome="issued"}}': "0+9x40",
        },
        at="12m",
        labels=({"signer": TENANT["signer"]},),
    ),
    "MeshSignerAuditFails": Case(
        {
            'mesh_signer_audit_failing{instance="a"}': "0x10 1x30",
            'mesh_signer_audit_lines_lost_total{instance="b"}': "0x15 7x25",
        },
        {'mesh_signer_audit_failing{instance="a"}': "0x40", 'mesh_signer_audit_lines_lost_total{instance="a"}': "7x40"},
        labels=({"instance": "a"}, {"instance": "b"}),
    ),
    # One replica's counter is old and stands still, the other's begins.
    "MeshSignerRefuses": Case(
        {
            f'mesh_signer_refusals_total{{pod="a",{SELECTED}}}': "5x60",
            f'mesh_signer_refusals_total{{pod="b",{SELECTED}}}': "_x30 1x30",
        },
        {f'mesh_signer_refusals_total{{pod="a",{SELECTED}}}': "5x60"},
        at="18m",
        labels=(TENANT,),
    ),
    "MeshSignerTenantWaits": Case(
        {
            f'mesh_signer_waits_total{{pod="a",{SELECTED}}}': "_x30 1x30",
            f'mesh_signer_waiting_requests{{pod="a",reason="{TENANT["reason"]}"}}': "0x30 1x30",
        },
        {
            f'mesh_signer_waits_total{{pod="a",{SELECTED}}}': "_x30 1x30",
            f'mesh_signer_waiting_requests{{pod="a",reason="{TENANT["reason"]}"}}': "0x30 1x2 0x30",
        },
        at="20m",
        labels=(TENANT,),
    ),
    "MeshSignerWouldRefuse": Case(
        {f"mesh_signer_would_refuse_total{{{SELECTED}}}": "_x30 1x200"},
        {f"mesh_signer_would_refuse_total{{{SELECTED}}}": "1x300"},
        at="70m",
        labels=(TENANT,),
    ),
    "MeshSignerIssuerNotReady": Case(
        {
            f'mesh_signer_issuer_ready{{pod="a",{CA},reason="ErrGetKeyPair"}}': "0x40",
            f'mesh_signer_issuer_ready{{pod="b",{CA},reason="KeyPairVerified"}}': "1x40",
        },
        {
            f'mesh_signer_issuer_ready{{pod="a",{CA},reason="ErrGetKeyPair"}}': "0x4 stale",
            f'mesh_signer_issuer_ready{{pod="a",{CA},reason="KeyPairVerified"}}': "_x4 1x40",
        },
        labels=({"kind": "ClusterIssuer", "name": "foo", "reason": "ErrGetKeyPair"},),
    ),
    # A CA of ten days is not told of all its life; one of a year is for two weeks.
    "MeshSignerCAEndsSoon": Case(
        ca_ending(13 * DAY, 365 * DAY), ca_ending(5 * DAY, 10 * DAY), at="15m", labels=OF_A_CA
    ),
    "MeshSignerCAEndsNow": Case(ca_ending(1.5 * DAY, 365 * DAY), ca_ending(1.5 * DAY, 10 * DAY), labels=OF_A_CA),
    "MeshSignerCertificateNotReady": Case(
        {f'certmanager_certificate_ready_status{{{CERTIFICATE},condition="False"}}': "1x60"},
        {
            f'certmanager_certificate_ready_status{{{CERTIFICATE},condition="False"}}': "1x10 0x50",
            f'certmanager_certificate_ready_status{{{CERTIFICATE},condition="True"}}': "0x10 1x50",
        },
        at="20m",
        labels=OF_A_CERTIFICATE,
    ),
    "MeshSignerCertificateNotRenewed": Case(
        {f"certmanager_certificate_renewal_timestamp_seconds{{{CERTIFICATE}}}": "1200x200"},
        {
            f"certmanager_certificate_renewal_timestamp_seconds{{{CERTIFICATE}}}": "4000x200",
            'certmanager_certificate_renewal_timestamp_seconds{name="none"}': "0x200",
        },
        at="85m",
        labels=OF_A_CERTIFICATE,
    ),
    "MeshSignerCertificateExpired": Case(
        {f"certmanager_certificate_expiration_timestamp_seconds{{{CERTIFICATE}}}": "500x40"},
        {
            f"certmanager_certificate_expiration_timestamp_seconds{{{CERTIFICATE}}}": "700x40",
            'certmanager_certificate_expiration_timestamp_seconds{name="none"}': "0x40",
        },
        labels=OF_A_CERTIFICATE,
    ),
    "MeshSignerNotServed": Case(
        {
            'mesh_signer_edge_served_certificates{state="other"}': "2x40",
            'mesh_signer_edge_served_certificates{state="served"}': "9x40",
        },
        {
            'mesh_signer_edge_served_certificates{state="other"}': "2x4 0x36",
            'mesh_signer_edge_served_certificates{state="waiting"}': "2x40",
        },
        labels=({"state": "other"},),
    ),
}


def run(name: str, case: Case, series: Mapping[str, str], labels: tuple[Mapping[str, str], ...], folder: Path) -> str:
    """What promtool has against it; "" where these alerts fire, and no other of this name."""
    rule = alerts()[name]
    (folder / "rules.yaml").write_text(yaml.safe_dump(shipped()))
    expected = [
        {"alertname": name, "alertstate": "firing", "severity": rule["labels"]["severity"], **found} for found in labels
    ]
    test = {
        "interval": case.interval,
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{name}",alertstate="firing"}}',
                "eval_time": case.at,
                "exp_samples": [
                    {
                        "labels": "ALERTS{" + ",".join(f'{key}="{value}"' for key, value in found.items()) + "}",
                        "value": 1,
                    }
                    for found in expected
                ],
            }
        ],
    }
    text = yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": case.interval, "tests": [test]})
    (folder / "test.yaml").write_text(text)
    done = promtool("test", "rules", folder / "test.yaml")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_takes_them(tmp_path: Path) -> None:
    """Prometheus' own check finds nothing wrong with the shipped file."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(shipped()))
    done = promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    """No alert is shipped that was never seen to fire."""
    assert set(CASES) == set(alerts())


@pytest.mark.parametrize("name", CASES)
def test_fires(name: str, tmp_path: Path) -> None:
    """It fires, once for each thing that it is about, with the labels by which it is routed."""
    case = CASES[name]
    assert run(name, case, case.series, case.labels, tmp_path) == ""


@pytest.mark.parametrize("name", CASES)
def test_does_not_fire(name: str, tmp_path: Path) -> None:
    """It does not fire for what is next to it, nor where nothing is known."""
    assert run(name, CASES[name], CASES[name].calm, (), tmp_path) == ""
    if name != "MeshSignerDown":
        assert run(name, CASES[name], {}, (), tmp_path) == ""


def test_a_wrong_expectation_is_noticed(tmp_path: Path) -> None:
    """The check itself can fail: the same series with other labels."""
    case = CASES["MeshSignerRefuses"]
    assert "TenantMismatch" in run("MeshSignerRefuses", case, case.series, ({**TENANT, "namespace": "x"},), tmp_path)
