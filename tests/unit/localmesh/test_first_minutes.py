"""What a demo builds, in which order, and what it says of that before anything is built."""

import re
import subprocess
import threading
from pathlib import Path

import pytest

from tests.localmesh import first_minutes
from tests.localmesh.build import PROGRAMS, _go_name, missing
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.first_minutes import FIRST, building, told
from tests.localmesh.mesh import PROGRAMS as MESH
from tests.localmesh.story import Story

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
        ("github.com/letsencrypt/pebble/v2/cmd/pebble", "pebble"),
        ("example.com/v2", "example.com"),
        ("example.com/vice", "vice"),
    ],
)
def test_what_go_calls_a_program(package: str, name: str) -> None:
    """Several programs of one call of Go are found by the names that Go gives them."""
    assert _go_name(package) == name


def test_programs_of_one_call_have_names_of_their_own() -> None:
    """No two programs of a module are called the same by Go: one would overwrite the other."""
    groups: dict[object, list[str]] = {}
    for program in PROGRAMS.values():
        groups.setdefault((program.module, program.tags, program.ldflags), []).append(_go_name(program.package))
    assert max(map(len, groups.values())) > 1
    assert [names for names in groups.values() if len(set(names)) < len(names)] == []


@pytest.mark.parametrize("target", ["demo", "demo-edge"])
def test_a_demo_builds_only_what_it_shows(target: str) -> None:
    """`make demo` does not go through `make binaries`, which builds what tests need as well."""
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "tests.localmesh.demo" in done.stdout
    assert "tests.localmesh build" not in done.stdout
    assert {"helm", "pebble"} & set(MESH) == set()


def test_what_comes_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is built, each program is named once, with how long it takes; the API server comes first."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    left = missing(MESH)
    assert left == list(MESH)
    text = told(left, 2)
    assert [len(re.findall(rf"\b{name}\b", text)) for name in MESH] == [1] * len(MESH)
    first, _, rest = text.partition("first certificates")
    assert all(name in first for name in FIRST)
    assert "istiod" in rest or "pilot-discovery" in rest
    assert re.findall(r"about (\d+) minute", text) == ["4", "9"]
    assert re.findall(r"about (\d+) minute", told(left, 16)) == ["1", "1"]
    assert "etcd" not in told(["istioctl"], 2)


def test_nothing_is_told_where_all_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine that has everything a demo begins at once, as its picture shows it."""
    monkeypatch.setattr(first_minutes, "missing", lambda _names: [])
    monkeypatch.setattr(first_minutes, "find_programs", lambda *_, **__: None)
    monkeypatch.setattr(first_minutes, "find_module_file", lambda _name: None)
    monkeypatch.setattr(first_minutes, "first_certificates", lambda _story: pytest.fail("nothing is left to wait for"))
    first_minutes.prepare(Story())
    assert capsys.readouterr().out == ""


def test_a_build_that_fails_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be built meanwhile is told when the first act is over, and not lost in its thread."""

    def fail(_names: object, **_: object) -> None:
        raise LocalMeshError("no network")

    monkeypatch.setattr(first_minutes, "find_programs", fail)
    with pytest.raises(LocalMeshError, match="no network"), building(["istioctl"]):
        pass


def test_a_failure_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first act fails, nothing goes on building behind the message."""
    ended = []

    def wait(_names: object, *, aside: bool, stop: threading.Event) -> None:
        ended.append((aside, stop.wait(60)))

    monkeypatch.setattr(first_minutes, "find_programs", wait)
    with pytest.raises(LocalMeshError, match="first act"), building(["istioctl"]):
        raise LocalMeshError("first act")
    assert ended == [(True, True)]
