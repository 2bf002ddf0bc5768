"""docs/operations.md is complete: each option, metric, reason and audit field stands in it, and none that is not there."""

import argparse
import ast
import re
from pathlib import Path

import msgspec
import pytest

from signer import authorities, certificates, csr, edge, pods, tenancy
from signer.observe.audit import AuditLine
from signer.observe.metrics import Metrics
from signer.settings.given import PREFIX
from signer.settings.options import add_arguments

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "operations.md").read_text()
EDGE = (ROOT / "docs" / "edge.md").read_text()


def options() -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    return [option for action in parser._actions for option in action.option_strings]


def exposed() -> set[str]:
    """The metrics' names as Prometheus sees them; those of the Python process apart."""
    found = set()
    for metric in Metrics().registry.collect():
        if metric.name.startswith(("mesh_signer_", "certmanager_")):
            found.add(f"{metric.name}_total" if metric.type == "counter" else metric.name)
    return found


def reasons() -> set[str]:
    """Reasons in the code: Reason("X", ...), constants of that form in the modules that name them, and Events."""
    found = set()
    constants = ("state.py", "policies.py", "ownership.py", "check.py")
    for package in (authorities, certificates, csr, edge, pods, tenancy):
        for file in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                    first = {"Reason": 0, "Pend": 0, "Fail": 0, "tell": 2, "emit": 1, "_emit": 2, "Notice": 1}.get(name)
                    if first is not None and len(node.args) > first:
                        argument = node.args[first]
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            found.add(argument.value)
                elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and file.name in constants:
                    found.add(str(node.value.value))
    return {reason for reason in found if re.fullmatch(r"[A-Z][A-Za-z]+", reason)} - {"Normal", "Warning"}


def test_options() -> None:
    """Each option of `mesh-signer run` has its line in the table of settings."""
    assert [option for option in options() if f"\n| `{option}` |" not in PAGE] == []


def test_no_option_of_the_past() -> None:
    """The table of settings names no option that there is not."""
    assert set(re.findall(r"^\| `(--[a-z0-9-]+)` \|", PAGE, re.MULTILINE)) == set(options())
    assert PREFIX in PAGE


def test_metrics() -> None:
    """Each metric has its line."""
    assert [name for name in sorted(exposed()) if f"\n| `{name}` |" not in PAGE] == []


def test_no_metric_of_the_past() -> None:
    """The page, its alerts included, names no metric that there is not."""
    named = set(re.findall(r"\b(?:mesh_signer|certmanager)_[a-z_]+", PAGE))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) if name not in exposed() else name for name in named} == exposed()


def test_every_metric_is_set() -> None:
    """No metric is promised that nothing sets."""
    source = "".join(file.read_text() for file in (ROOT / "signer").rglob("*.py"))
    fields = [name for name in vars(Metrics()) if name != "registry"]
    assert [name for name in fields if f"metrics.{name}" not in source and f"self.{name}.labels" not in source] == []


@pytest.mark.heavy
def test_reasons() -> None:
    """Each reason of a condition or an Event stands there, or in docs/edge.md, with what to do.

    The search finds what is known to be there, so that it does not pass by finding nothing.
    """
    assert {
        "IssuerNotFound",
        "CARequestsNotAllowed",
        "ErrGetKeyPair",
        "Renewing",
        "ErrorUpdate",
        "Requested",
    } <= (found := reasons())
    assert [reason for reason in sorted(found) if f"`{reason}`" not in PAGE + EDGE] == []


def test_audit_fields() -> None:
    """The example lines of the audit log are real ones, and each field has its line."""
    lines = re.findall(r"^\{.*\}$", PAGE, re.MULTILINE)
    assert [msgspec.json.decode(line, type=AuditLine).audit for line in lines] == ["intent", "outcome"]
    table = PAGE.partition("\n## Audit log")[2].partition("\n## ")[0]
    documented = {
        name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    names = set(AuditLine.__struct_encode_fields__)
    assert names == documented
    assert all(set(msgspec.json.decode(line)) <= names for line in lines)
