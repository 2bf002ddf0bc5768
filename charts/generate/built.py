"""What kustomize builds: the base, the base with a component, the overlay beside cert-manager, the CRDs.

It runs `kubectl kustomize`, one at a time; what kustomize says goes to standard error with a CalledProcessError.
"""

import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
Key = tuple[str, str]
"""Kind and name: ours are never two of one kind and name."""
Objects = dict[Key, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Built:
    """What there is to make a chart of. `components` is what the base is with each one; `mesh_crds` are ours alone."""

    base: Objects
    components: dict[str, Objects]
    beside: Objects
    crds: Objects
    mesh_crds: Objects
    namespaces: Objects


def build_all(components: Sequence[str], manifests: Path = MANIFESTS) -> Built:
    """Build everything. `components` are folders below manifests/components."""
    return Built(
        build(manifests / "base"),
        {name: build_with([name], manifests) for name in components},
        build(manifests / "overlays" / "beside-cert-manager"),
        build(manifests / "crds"),
        build(manifests / "crds" / "mesh-signer"),
        build(manifests / "namespaces"),
    )


def build(folder: Path) -> Objects:
    """Build one kustomization."""
    done = subprocess.run([_kubectl(), "kustomize", folder], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own
    read = [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]
    found = {(one["kind"], one["metadata"]["name"]): one for one in read}
    if len(found) != len(read):
        raise ValueError(f"{folder}: two objects of one kind and name")
    return found


def build_with(components: Sequence[str], manifests: Path = MANIFESTS) -> Objects:
    """Build the base with components, as a user's own kustomization would."""
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(manifests, Path(temporary, "manifests"))  # kustomize takes relative paths only
        (folder := Path(temporary, "wanted")).mkdir()
        wanted = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../manifests/base"],
            "components": [f"../manifests/components/{name}" for name in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(wanted), "utf-8")
        return build(folder)


def _kubectl() -> str:
    """Return kubectl: of this virtual environment, or else from PATH."""
    own = Path(sysconfig.get_path("scripts"), "kubectl")
    return str(own) if own.is_file() else "kubectl"
