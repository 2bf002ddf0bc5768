"""The shipped rules as Prometheus reads them, and Debian's Prometheus and promtool to read them with."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.localmesh.debian import NotHere, find_packaged

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "manifests/components/alerts/prometheusrule.yaml"
_SPAN = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def shipped() -> dict[str, Any]:
    """`spec` of the PrometheusRule: a file of rules as Prometheus takes it."""
    found: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())["spec"]
    return found


def alerts() -> dict[str, dict[str, Any]]:
    """Each alert by its name."""
    found = [rule for group in shipped()["groups"] for rule in group["rules"] if "alert" in rule]
    named = {rule["alert"]: rule for rule in found}
    assert len(named) == len(found), "two alerts of one name"
    return named


def seconds(span: str) -> int:
    """How long `10m` is."""
    return int(span[:-1]) * _SECONDS[span[-1]]


def hurried(factor: float) -> dict[str, Any]:
    """A copy in which each window, offset and `for` is so many times shorter: for tests that cannot wait an hour.

    Thresholds stay as they are. The shortest is five seconds: `rate` needs some scrapes in it.
    """

    def shorter(found: re.Match[str]) -> str:
        span = seconds((found[1] or found[3]) + (found[2] or found[4]))
        return f"{max(round(span / factor), 5)}s"

    copy = shipped()
    for group in copy["groups"]:
        for rule in group["rules"]:
            rule["expr"] = _SPAN.sub(shorter, rule["expr"])
            if "for" in rule:
                rule["for"] = f"{max(round(seconds(rule['for']) / factor), 1)}s"
    return copy


def program(name: str) -> tuple[Path, dict[str, str]]:
    """Debian's `prometheus` or `promtool`, and what its environment must have; the test is skipped where there is none."""
    try:
        return find_packaged(name)
    except NotHere as error:
        pytest.skip(f"no {name}: {error}")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; what it says is in stdout and stderr."""
    path, env = program("promtool")
    return subprocess.run([path, *arguments], env=env, capture_output=True, text=True, check=False, timeout=120)
