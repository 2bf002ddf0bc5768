"""Builds a kustomization as `kubectl apply -k` would, without a server."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.localmesh.toolchain import find_kubectl

MANIFESTS = Path(__file__).parents[3] / "manifests"
Objects = dict[tuple[str, str], dict[str, Any]]


def read_all(text: str) -> list[Any]:
    """All documents of a YAML text, by libyaml: PyYAML's own reader takes seconds for the CRDs."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def build(folder: Path) -> Objects:
    """(kind, name) -> object."""
    done = subprocess.run(
        [find_kubectl(), "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    read = [one for one in read_all(done.stdout) if one]
    named = {(one["kind"], one["metadata"]["name"]): one for one in read}
    assert len(named) == len(read), "two objects of one kind and name"
    return named


def build_with_components(components: Sequence[str]) -> Objects:
    """The base with components of ours, as a user's own kustomization would have it."""
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(MANIFESTS, Path(temporary, "manifests"))  # kustomize takes relative paths only
        folder = Path(temporary, "wanted")
        folder.mkdir()
        wanted = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../manifests/base"],
            "components": [f"../manifests/components/{name}" for name in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
        return build(folder)
