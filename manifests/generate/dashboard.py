"""The Grafana dashboard: panels as values, written as Grafana's JSON (schema 39, Grafana 10 and later). Pure.

Of our own, since a library for it (grafanalib, grafana-foundation-sdk) is larger than what it would write here: one kind of
panel, a row of which is a line below.
"""

import json
from dataclasses import dataclass
from typing import Any

UID = "mesh-signer"
WIDTH, HEIGHT = 8, 7
FILE = "components/dashboard/configmap.yaml"
"""Below manifests/."""
_TENANT = 'namespace=~"$namespace"'


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: expressions with their legends, and the unit of what they give."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    text: str = ""


def _quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """The median and the 99th percentile of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        (f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))", f"{legend}{name}")
        for share, name in ((0.5, "half"), (0.99, "99 %"))
    )


ROWS: dict[str, tuple[Panel, ...]] = {
    "Requests": (
        Panel(
            "Answers",
            (("sum by (outcome) (rate(mesh_signer_requests_total[$__rate_interval]))", "{{outcome}}"),),
            "reqps",
        ),
        Panel(
            "Certificates by tenant",
            (
                (
                    f"topk(10, sum by (namespace) (rate(mesh_signer_issued_total{{{_TENANT}}}[$__rate_interval])))",
                    "{{namespace}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Refusals by tenant",
            (
                (
                    f"sum by (namespace, reason) (rate(mesh_signer_refusals_total{{{_TENANT}}}[$__rate_interval]))",
                    "{{namespace}}: {{reason}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Work on a certificate",
            _quantiles("mesh_signer_signing_duration_seconds"),
            "s",
            "Decision, signature and write, without waits. The objective: 99.9 % within a second.",
        ),
        Panel("Wait for its turn", _quantiles("mesh_signer_queue_wait_seconds"), "s"),
        Panel(
            "From approval to certificate",
            _quantiles("mesh_signer_request_duration_seconds"),
            "s",
            "With all that a request waited for.",
        ),
        Panel("Waiting, by reason", (("sum by (reason) (mesh_signer_waiting_requests) > 0", "{{reason}}"),)),
        Panel(
            "Waits by tenant",
            (
                (
                    f"sum by (namespace, reason) (rate(mesh_signer_waits_total{{{_TENANT}}}[$__rate_interval]))",
                    "{{namespace}}: {{reason}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Queue and writes",
            (
                ("sum(mesh_signer_queue_length)", "ready, wait for their turn"),
                ("sum(mesh_signer_in_flight_writes)", "writes under way"),
            ),
        ),
    ),
    "CAs and certificates": (
        Panel(
            "CAs end in",
            (
                (
                    "min by (kind, namespace, name) (mesh_signer_ca_not_after_timestamp_seconds) - time()",
                    "{{kind}} {{namespace}} {{name}}",
                ),
            ),
            "s",
        ),
        Panel(
            "Certificates end in",
            (
                (
                    (
                        "bottomk(20, min by (namespace, name) "
                        f"(certmanager_certificate_expiration_timestamp_seconds{{{_TENANT}}} > 0)) - time()"
                    ),
                    "{{namespace}}/{{name}}",
                ),
            ),
            "s",
        ),
        Panel(
            "Issuers that sign",
            (
                ("count(max by (kind, namespace, name) (mesh_signer_issuer_ready) == 1)", "ready"),
                ("count(max by (kind, namespace, name) (mesh_signer_issuer_ready) == 0)", "not ready"),
            ),
        ),
    ),
    "Processes": (
        Panel("Answers of the API server", _quantiles("mesh_signer_api_request_duration_seconds", "method"), "s"),
        Panel(
            "Errors of the API server",
            (("sum by (code) (rate(mesh_signer_api_errors_total[$__rate_interval]))", "{{code}}"),),
            "reqps",
        ),
        Panel("Lag of the event loop", _quantiles("mesh_signer_event_loop_lag_seconds", "instance"), "s"),
        Panel(
            "CPU",
            (
                (
                    (
                        "rate(process_cpu_seconds_total[$__rate_interval]) * on (instance) group_left (component) "
                        "mesh_signer_build_info"
                    ),
                    "{{instance}} {{component}}",
                ),
            ),
        ),
        Panel(
            "Memory",
            (
                (
                    "process_resident_memory_bytes * on (instance) group_left (component) mesh_signer_build_info",
                    "{{instance}} {{component}}",
                ),
            ),
            "bytes",
        ),
        Panel(
            "Audit lines",
            (("sum by (kind) (rate(mesh_signer_audit_lines_total[$__rate_interval]))", "{{kind}}"),),
            "reqps",
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    placed: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        placed.append({"type": "row", "title": title, "gridPos": _place(0, top, 24, 1), "panels": []})
        top += 1
        for number, panel in enumerate(row):
            across, down = number % 3, number // 3
            placed.append(_panel(panel, _place(across * WIDTH, top + down * HEIGHT, WIDTH, HEIGHT)))
        top += -(-len(row) // 3) * HEIGHT
    for number, one in enumerate(placed, 1):
        one["id"] = number
    return {
        "uid": UID,
        "title": "mesh-signer",
        "tags": ["istio", "certificates"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _namespaces()]},
        "panels": placed,
    }


def text() -> str:
    """The same as text, as the ConfigMap has it."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False)


def config_map() -> dict[str, Any]:
    """The ConfigMap that Grafana's sidecar finds by its label."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "mesh-signer-dashboard",
            "namespace": "cert-manager",
            "labels": {"app.kubernetes.io/part-of": "mesh-signer", "grafana_dashboard": "1"},
        },
        "data": {"mesh-signer.json": text() + "\n"},
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _source() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _source(),
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _source(), "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _namespaces() -> dict[str, Any]:
    return {
        "name": "namespace",
        "label": "Tenant's namespace",
        "type": "query",
        "datasource": _source(),
        "query": {"query": "label_values(mesh_signer_issued_total, namespace)", "refId": "namespaces"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
