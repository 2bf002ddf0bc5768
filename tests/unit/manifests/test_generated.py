"""The CRD files are what their source gives."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from manifests.generate.__main__ import FOLDER, files, stale
from manifests.generate.schema import record, string


def test_files_are_up_to_date() -> None:
    """Whoever changes the source writes the files again."""
    assert stale() == []


def test_a_changed_or_missing_file_is_noticed(tmp_path: Path) -> None:
    """An edit by hand does not stay unseen."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    changed, missing, *_ = sorted(files())
    (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n")
    (tmp_path / missing).unlink()
    assert sorted(stale(tmp_path)) == [changed, missing]


def test_every_file_is_applied() -> None:
    """Each CRD stands in the kustomization."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert set(files()) < set(listed)
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")


@pytest.mark.parametrize("name", sorted(files()))
def test_kubectl_apply_can_take_them(name: str) -> None:
    """Plain `kubectl apply` keeps a copy in an annotation, and annotations end at 256 KiB."""
    assert len(json.dumps(yaml.safe_load(files()[name]))) < 200_000


def test_a_required_field_must_exist() -> None:
    """A misspelt required field would make a schema that nothing can satisfy."""
    with pytest.raises(KeyError, match="nmae"):
        record("x", {"name": string("x")}, required=["nmae"])
