"""The CRD files are what their source gives."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from manifests.generate import __main__ as module
from manifests.generate.__main__ import FOLDER, MESH_FOLDER, files, stale
from manifests.generate.schema import record, string
from tests.unit.manifests.kustomize import read_all

FILES = files()


@pytest.fixture(autouse=True)
def _made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "files", lambda: FILES)


def test_files_are_up_to_date() -> None:
    """Whoever changes the source writes the files again."""
    assert stale() == []


def test_dashboard_is_up_to_date() -> None:
    """The dashboard that is applied is the one that its source gives."""
    assert module.DASHBOARD.read_text("utf-8") == module.dashboard()


def test_admission_is_up_to_date() -> None:
    """`doctor` knows the admission policies that the manifests have."""
    assert module.ADMISSION.read_text("utf-8") == module.admission()


def test_a_changed_or_missing_file_is_noticed(tmp_path: Path) -> None:
    """An edit by hand does not stay unseen."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    changed, missing, *_ = sorted(FILES)
    (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n")
    (tmp_path / missing).unlink()
    assert sorted(stale(tmp_path)) == [changed, missing]


def test_every_file_is_applied() -> None:
    """Each CRD stands in a kustomization: cert-manager's kinds in the first, which includes the one of our own."""
    listed = {
        folder: yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        for folder in (FOLDER, FOLDER / MESH_FOLDER)
    }
    for folder, names in listed.items():
        there = [path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"]
        assert sorted(set(names) - {MESH_FOLDER}) == sorted(there)
    assert MESH_FOLDER in listed[FOLDER]
    assert set(FILES) < {*listed[FOLDER], *(f"{MESH_FOLDER}/{name}" for name in listed[FOLDER / MESH_FOLDER])}


def test_our_own_kinds_are_apart() -> None:
    """What is applied beside a real cert-manager has no CRD of cert-manager's group."""
    built = [read_all(path.read_text())[0] for path in (FOLDER / MESH_FOLDER).glob("mesh-signer.dev_*.yaml")]
    assert {crd["spec"]["names"]["kind"] for crd in built} == {
        "SignerPolicy",
        "SignerBinding",
        "SignerRecord",
        "EdgePolicy",
        "HostClaim",
        "CASource",
        "TenantBridge",
        "TenantBridgePolicy",
    }
    assert {crd["spec"]["group"] for crd in built} == {"mesh-signer.dev"}
    scopes = {crd["spec"]["names"]["kind"]: crd["spec"]["scope"] for crd in built}
    assert [kind for kind, scope in scopes.items() if scope != "Cluster"] == ["TenantBridge"]
    assert all("status" in version["subresources"] for crd in built for version in crd["spec"]["versions"])


@pytest.mark.parametrize("name", sorted(FILES))
def test_kubectl_apply_can_take_them(name: str) -> None:
    """Plain `kubectl apply` keeps a copy in an annotation, and annotations end at 256 KiB."""
    assert len(json.dumps(read_all(FILES[name])[0])) < 200_000


def test_a_required_field_must_exist() -> None:
    """A misspelt required field would make a schema that nothing can satisfy."""
    with pytest.raises(KeyError, match="nmae"):
        record("x", {"name": string("x")}, required=["nmae"])
