"""docs/runbooks.md has a section for each alert that is shipped, and every alert can be routed, read and followed up."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.observe.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "runbooks.md").read_text()
RULES = yaml.safe_load((ROOT / "manifests/components/alerts/prometheusrule.yaml").read_text())
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in RULES["spec"]["groups"] for rule in group["rules"] if "alert" in rule
}
PARTS = ("Means", "Lost meanwhile", "Look", "Do")


def series() -> dict[str, set[str]]:
    """Every name that a query may ask for -> its labels, of ours and of cert-manager's."""
    found: dict[str, set[str]] = {}
    metrics = Metrics()
    for field in vars(metrics).values():
        if not hasattr(field, "describe"):
            continue
        (family,) = field.describe()
        labels = set(getattr(field, "_labelnames", ()))
        for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",)):
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    found["mesh_signer_build_info"] = {"version", "commit", "python", "component"}
    return found


def test_sections() -> None:
    """Each alert has one section, in the order of the rules, and no section is about an alert that there is not."""
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_each_section_is_whole(name: str) -> None:
    """It says what the alert means, what is lost meanwhile, how to look, and what to do."""
    section = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\*\*(.+?)\.\*\* \S", section, re.MULTILINE)) == PARTS


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_it_must(name: str) -> None:
    """Severity, summary and description are there, the runbook's address leads to its section, and the name is ours."""
    rule = ALERTS[name]
    assert name.startswith("MeshSigner")
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks.md#{name.lower()}")
    assert rule["annotations"]["description"].endswith(".")
    assert len(rule["annotations"]["summary"]) <= 100


@pytest.mark.parametrize("name", ALERTS)
def test_each_label_is_one_that_the_alert_has(name: str) -> None:
    """What the texts say of labels is what the expression keeps: it is aggregated over replicas, and by those."""
    rule = ALERTS[name]
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    if rule["expr"].startswith("absent("):
        kept = set()
    else:
        kept = {label for by in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in by.split(", ")}
    assert named <= kept
    assert re.search(r"\b(sum|max|min|absent)\b", rule["expr"]) or "mesh_signer:" in rule["expr"]


def test_every_metric_and_label_is_there() -> None:
    """No rule asks for a metric or a label that mesh-signer does not have; what is recorded is what is asked for."""
    known, target = series(), {"instance"}
    rules = [rule for group in RULES["spec"]["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    asked = set()
    for rule in rules:
        asked |= set(re.findall(r"mesh_signer:[\w:]+", rule["expr"]))
        names = re.findall(r"\b(?:mesh_signer_|certmanager_)\w+", rule["expr"])
        if "mesh_signer:" not in rule["expr"]:
            assert names
        labels = {label for name in names for label in known[name]}
        selected = set(re.findall(r"[{,](\w+)(?:=|!=|=~|!~)\"", rule["expr"]))
        grouped = {label for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"]) for label in by.split(", ")}
        assert selected | grouped <= labels | target, rule
    assert asked == recorded
