"""Where BIND comes from."""

from pathlib import Path

import pytest

from tests.localmesh import debian


def test_neither_program_nor_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine without both, the tests that need it can say why they are skipped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(debian.NotHere, match="named is neither on PATH, nor is there apt"):
        debian.find_packaged("named")


def test_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that the machine has is used as it is, and nothing is fetched."""
    program = tmp_path / "named"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.find_packaged("named") == (program, {})
