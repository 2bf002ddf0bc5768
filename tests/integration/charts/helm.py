"""The real Helm, and what it makes of our chart."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.localmesh.build import find_program
from tests.unit.manifests.kustomize import Objects, read_all

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "mesh-signer"
KEEP = "helm.sh/resource-policy"


class Failed(Exception):
    """Helm refused; the message is its standard error."""


def helm(*args: str | Path, values: Any = None, kubeconfig: Path | None = None) -> str:
    """Run Helm with nothing of the user's own, and `values` as a file of values; its standard output."""
    with tempfile.TemporaryDirectory() as home:
        given: tuple[str | Path, ...] = ()
        if values is not None:
            # As JSON: PyYAML leaves texts bare that Helm's YAML takes for numbers.
            (file := Path(home, "values.yaml")).write_text(json.dumps(values))
            given = ("--values", file)
        places = dict.fromkeys(("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME"), home)
        environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig or "/nonexistent"), **places}
        command = [find_program("helm"), *args, *given]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr)
    return done.stdout


def template(values: Any, namespace: str = "cert-manager", chart: Path = CHART) -> list[dict[str, Any]]:
    """What the chart renders to without a cluster, in Helm's order."""
    text = helm("template", "mesh-signer", chart, "--namespace", namespace, values=values)
    return [one for one in read_all(text) if one]


def rendered(values: Any, namespace: str = "cert-manager", chart: Path = CHART) -> Objects:
    """(kind, name) -> object, without hooks; none twice."""
    objects = [one for one in template(values, namespace, chart) if not hooked(one)]
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(named) == len(objects), "two objects of one kind and name"
    return named


def hooked(one: dict[str, Any]) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})
