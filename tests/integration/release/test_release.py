"""`make release` on this tree: what is written, that it can be used, and that the same source gives the same bytes."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import signer
from release.__main__ import make
from tests.integration.charts.helm import CHART, helm
from tests.unit.manifests.kustomize import MANIFESTS, build

ROOT = Path(__file__).resolve().parents[3]
EPOCH = 1_780_000_000
VERSION = signer.__version__


def export(target: Path) -> Path:
    """The files that git knows, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (source := ROOT / name).is_file():
            (copy := target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            copy.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    return target


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two releases of the same source, made in two places."""
    made = []
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp(name)
        target = folder / "dist"
        target.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            # No engine: an image is not the same twice, and takes a registry.
            patch.setattr("release.__main__.shutil.which", lambda _: None)
            missing = make(export(folder / "source"), target, epoch=EPOCH, revision="abc", image="reg.example.com/ms")
        assert missing == ["no image archive: neither buildah nor docker is here"]
        made.append(target)
    return made


def test_the_same_bytes(folders: list[Path]) -> None:
    """Whoever makes a release of the same source gets the same sums."""
    one, two = ((folder / "SHA256SUMS").read_text() for folder in folders)
    assert one == two
    lines = {name: digest for digest, name in (line.split("  ") for line in one.splitlines())}
    assert set(lines) == {path.name for path in folders[0].iterdir()} - {"SHA256SUMS"}
    for name, digest in lines.items():
        assert hashlib.sha256((folders[0] / name).read_bytes()).hexdigest() == digest


def test_packages(folders: list[Path]) -> None:
    """The wheel has the program; the source distribution has manifests, chart and docs besides, and can be built again."""
    wheel = zipfile.ZipFile(folders[0] / f"mesh_signer-{VERSION}-py3-none-any.whl")
    names = set(wheel.namelist())
    assert {"signer/cli.py", "signer/py.typed", "issuers/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "manifests", "charts", "docs", "release"))]
    metadata = wheel.read(f"mesh_signer-{VERSION}.dist-info/METADATA").decode()
    assert "Description-Content-Type: text/markdown" in metadata
    assert f"/blob/v{VERSION}/docs/install.md" in metadata
    assert not re.search(r"\]\((?!https?:|#)", metadata)
    with tarfile.open(folders[0] / f"mesh_signer-{VERSION}.tar.gz") as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
        assert {member.mtime for member in sdist.getmembers()} == {EPOCH}
    for name in (
        *("setup.py", "Dockerfile", ".dockerignore", "requirements.lock", "Makefile", "release/prepare.py"),
        *("manifests/base/signer.yaml", "manifests/crds/kustomization.yaml", "docs/install.md", "docs/adr/README.md"),
        *(
            "charts/mesh-signer/values.schema.json",
            "charts/mesh-signer/templates/_names.tpl",
            "charts/mesh-signer/.helmignore",
        ),
    ):
        assert name in inside, name


def test_chart(folders: list[Path]) -> None:
    """The packed chart renders what the one in the repository does."""
    packed = folders[0] / f"mesh-signer-chart-{VERSION}.tgz"
    assert helm("template", "m", packed) == helm("template", "m", CHART)


def test_manifests(folders: list[Path]) -> None:
    """install.yaml is the overlay with the image's name, and holds nothing that must stay when it is deleted."""
    read = {
        name: [one for one in yaml.load_all((folders[0] / name).read_text(), Loader=yaml.CSafeLoader) if one]
        for name in ("install.yaml", "prerequisites.yaml")
    }
    keys = {name: {(one["kind"], one["metadata"]["name"]) for one in some} for name, some in read.items()}
    assert keys["install.yaml"] == set(build(MANIFESTS / "overlays" / "istio"))
    assert keys["prerequisites.yaml"] == set(build(MANIFESTS / "namespaces")) | set(build(MANIFESTS / "crds"))
    assert not {kind for kind, _ in keys["install.yaml"]} & {"Namespace", "CustomResourceDefinition"}
    images = re.findall(r"image: (\S+)", (folders[0] / "install.yaml").read_text())
    assert images == [f"reg.example.com/ms:{VERSION}"] * 2


def test_sbom(folders: list[Path]) -> None:
    """The list of parts is the lock's: each package with version and hashes, below this version of ours."""
    found = json.loads((folders[0] / f"mesh-signer-{VERSION}.cdx.json").read_text())
    lock = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert {(one["name"], one["version"]) for one in found["components"]} == set(lock)
    assert all(one["externalReferences"][0]["hashes"] for one in found["components"])
    assert (found["bomFormat"], found["metadata"]["component"]["version"]) == ("CycloneDX", VERSION)
    (root,) = [one for one in found["dependencies"] if one["ref"] == "root-component"]
    assert len(root["dependsOn"]) == len(lock)
