"""The file of a backup: for one's own eyes, whole or not there, and never over another."""

import os
import stat
from pathlib import Path

import pytest

from signer.commands.backup import write_file
from signer.commands.command import NotFoundOut


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    """Whatever the umask is, the file is its owner's alone, and no part of another name is left beside it."""
    before = os.umask(0)
    try:
        write_file(tmp_path / "mesh.yaml", "a: b\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mesh.yaml").stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["mesh.yaml"]
    assert (tmp_path / "mesh.yaml").read_text() == "a: b\n"


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A file that came meanwhile is not replaced, nor what a link leads to; the message names the file and no Python error."""
    target = tmp_path / "target"
    target.write_text("mine")
    link = tmp_path / "mesh.yaml"
    link.symlink_to(target)
    with pytest.raises(NotFoundOut, match=r"mesh\.yaml: file exists$"):
        write_file(link, "a: b\n")
    assert target.read_text() == "mine"
    with pytest.raises(NotFoundOut, match=r"no such file or directory$"):
        write_file(tmp_path / "nowhere" / "mesh.yaml", "a: b\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mesh.yaml", "target"]
