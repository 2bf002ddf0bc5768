"""Writes the chart charts/mesh-signer, or with --check says which of its files are out of date."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import signer
from charts.generate.built import build_all
from charts.generate.components import COMPONENTS
from charts.generate.holes import dump
from charts.generate.pages import readme, values_page
from charts.generate.templates import FOLDER, templates
from charts.generate.values import schema

CHART = Path(__file__).resolve().parents[1] / "mesh-signer"
_CHART: dict[str, Any] = {
    "apiVersion": "v2",
    "name": "mesh-signer",
    "description": "The signer for Istio's multi-tenant workload mTLS: signs Kubernetes CertificateSigningRequests with each "
    "tenant's CA.",
    "type": "application",
    "version": signer.__version__,
    "appVersion": signer.__version__,
    "kubeVersion": ">=1.30.0-0",
    "keywords": ["istio", "certificates", "mtls", "signer"],
}


def files() -> dict[str, str]:
    """File name below the chart -> text of every generated file."""
    folders = [name for one in COMPONENTS for name in (one.folder, one.without) if name]
    built = build_all(folders)
    values = schema(built)
    return {
        "Chart.yaml": "# Written by `python -m charts.generate`.\n" + dump(_CHART),
        "values.schema.json": json.dumps(values, indent=2, ensure_ascii=False) + "\n",
        "values.yaml": values_page(values),
        "README.md": readme(values, _CHART),
        **templates(built, values["properties"]["settings"]),
    }


def stale(wanted: dict[str, str], chart: Path = CHART) -> list[str]:
    """Names of the files that differ from what the source gives, or that it no longer gives."""
    differing = [
        name
        for name, text in wanted.items()
        if not (chart / name).is_file() or (chart / name).read_text("utf-8") != text
    ]
    return sorted(differing + _leftover(wanted, chart))


def write(wanted: dict[str, str], chart: Path = CHART) -> None:
    """Write every file, and remove templates of objects that are no longer there."""
    for name in _leftover(wanted, chart):
        (chart / name).unlink()
    for name, text in wanted.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text, "utf-8")


def _leftover(wanted: dict[str, str], chart: Path) -> list[str]:
    there = (path.relative_to(chart).as_posix() for path in (chart / FOLDER).rglob("*") if path.is_file())
    return [name for name in there if name not in wanted]


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 1 when --check finds a difference."""
    wanted = files()
    if "--check" in arguments:
        names = stale(wanted)
        for name in names:
            sys.stderr.write(f"charts/{CHART.name}/{name} is out of date: run python -m charts.generate\n")
        return 1 if names else 0
    write(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
