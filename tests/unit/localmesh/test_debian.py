"""Where BIND and libfaketime come from."""

from pathlib import Path

import pytest

from tests.localmesh import debian
from tests.localmesh.errors import LocalMeshError


def test_neither_program_nor_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine without both, the tests that need it can say why they are skipped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(debian.NotHere, match="named is neither on PATH, nor is there apt"):
        debian.find_packaged("named")
    with pytest.raises(debian.NotHere, match=r"x/lib\.so is not below /usr/lib, nor is there apt"):
        debian.find_library("x/lib.so", "x")


def test_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that the machine has is used as it is, and nothing is fetched."""
    program = tmp_path / "named"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.find_packaged("named") == (program, {})


def test_unpacked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A library comes out of its package, which is fetched once; one that is not in there is told."""
    fetched: list[str] = []

    def unpack(package: str, target: Path) -> None:
        fetched.append(package)
        Path(target, "usr/lib/any/x").mkdir(parents=True)
        Path(target, "usr/lib/any/x/lib.so").touch()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/bin/true")
    monkeypatch.setattr(debian, "_unpack", unpack)
    found = debian.find_library("x/lib.so", "libx")
    assert found == debian.find_library("x/lib.so", "libx")
    assert (found.is_file(), fetched) == (True, ["libx"])
    with pytest.raises(LocalMeshError, match=r"the package libx has no y/lib\.so"):
        debian.find_library("y/lib.so", "libx")
