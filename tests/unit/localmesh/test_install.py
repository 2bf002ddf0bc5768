"""How the local mesh installs mesh-signer: in one place, and all of it is waited for."""

import re
from pathlib import Path

import pytest

from tests.localmesh.install import CRDS, OWN_CRDS, definitions
from tests.unit.manifests.kustomize import build

ROOT = Path(__file__).parents[3]
FILES = [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
PLACE = ROOT / "tests" / "localmesh" / "install.py"


@pytest.mark.heavy
@pytest.mark.parametrize("folder", [CRDS, OWN_CRDS], ids=["all", "own"])
def test_definitions(folder: Path) -> None:
    """The CRDs that are waited for are those that kustomize applies."""
    applied = {name for kind, name in build(folder) if kind == "CustomResourceDefinition"}
    assert applied
    assert set(definitions(folder)) == applied


def test_the_order_stands_in_one_place() -> None:
    """No other setup applies the namespaces or the CRDs by itself, so a change of their order is one change."""
    by_itself = re.compile(r"apply_kustomize\W.*(NAMESPACES|CRDS|BASE|namespaces|crds|base)\b")
    found = {path for path in FILES if path != Path(__file__) and by_itself.search(path.read_text("utf-8"))}
    assert found == {PLACE}
