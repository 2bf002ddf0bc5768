"""docs/install.md says what works: its kustomization is built, and the folders and files that it names are there."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.unit.manifests.kustomize import MANIFESTS, Objects, build

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE | re.DOTALL)


def six_steps() -> list[str]:
    """The blocks of commands of the page's first section, one for each numbered step."""
    section = (ROOT / "docs" / "install.md").read_text().partition("\n## Six steps to a certificate\n")[2]
    found = re.findall(
        r"^(\d)\. .+\n\n   ```console\n((?:   .*\n)+?)   ```\n", section.partition("\n## ")[0], re.MULTILINE
    )
    assert [number for number, _ in found] == [str(number + 1) for number in range(len(found))]
    return [re.sub(r"^   ", "", text, flags=re.MULTILINE) for _, text in found]


def test_six_steps() -> None:
    """A newcomer has a certificate after six steps at most, and everything that he types stands in them."""
    steps = six_steps()
    section = (ROOT / "docs" / "install.md").read_text().partition("\n## Six steps to a certificate\n")[2]
    section = section.partition("\n## ")[0]
    assert 1 < len(steps) <= 6
    assert section.count("```") == 2 * len(steps)
    assert len(re.findall(r"^\d+\. ", section, re.MULTILINE)) == len(steps)
    for name in re.findall(r"(?:-f|install mesh-signer) ((?:manifests|charts)/\S+)", "".join(steps)):
        assert (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """The user's own kustomization, of the two blocks that make one."""
    folder = tmp_path_factory.mktemp("install")
    shutil.copytree(MANIFESTS, folder / "manifests")
    (own := folder / "own").mkdir()
    texts = [
        block.replace("PATH/", "../") for block in BLOCKS if block.startswith(("apiVersion: kustomize", "patches:"))
    ]
    assert len(texts) == 2
    (own / "kustomization.yaml").write_text("".join(texts))
    return build(own)


def test_own_kustomization(built: Objects) -> None:
    """The image's name and a further option reach both Deployments."""
    for name in ("mesh-signer", "mesh-signer-controllers"):
        (container,) = built["Deployment", name]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "your-registry/mesh-signer:0.1.0"
        assert container["args"][0] == "run"
        assert container["args"][-1] == "--max-workload-lifetime=12h"
    assert ("ValidatingAdmissionPolicy", "claims.mesh-signer.dev") in built


def test_blocks_are_yaml() -> None:
    """What is shown as an object is one."""
    objects = [one for block in BLOCKS for one in yaml.safe_load_all(block)]
    assert {one.get("kind") for one in objects} == {"Kustomization", "ClusterRole", None}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_what_is_there(page: Path) -> None:
    """Each folder after `kubectl apply -k` and `delete -k` is a kustomization."""
    for name in re.findall(r"kubectl (?:apply|delete) -k (manifests/[\w/-]+)", page.read_text()):
        assert (ROOT / name / "kustomization.yaml").is_file(), name
