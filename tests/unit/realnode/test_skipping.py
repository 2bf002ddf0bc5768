"""Where no node can be: the reason is printed, and nobody's `make` fails for it."""

import pytest

from tests.localmesh.debian import NotHere
from tests.localmesh.errors import LocalMeshError
from tests.realnode import __main__ as realnode
from tests.realnode import machine


def run(monkeypatch: pytest.MonkeyPatch, reason: str | None, built: Exception | None = None) -> int:
    def build(_: object) -> None:
        if built is not None:
            raise built

    monkeypatch.setattr("sys.argv", ["realnode", "build"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(machine, "lacking", lambda: reason)
    monkeypatch.setattr(realnode, "_build", build)
    return realnode.main()


def test_the_machine_lacks_something(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the machine lacks is said before anything is built."""
    assert run(monkeypatch, "it needs root", AssertionError("built")) == 0
    assert capsys.readouterr().out == "realnode: skipped, this machine cannot run a node: it needs root\n"


def test_packages_are_out_of_reach(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """So is what cannot be fetched."""
    assert run(monkeypatch, None, NotHere("no mirror answers")) == 0
    assert "skipped, this machine cannot run a node: no mirror answers" in capsys.readouterr().out


def test_a_failed_build_is_no_reason_to_skip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image that does not build, for one, is a fault of ours."""
    assert run(monkeypatch, None, LocalMeshError("building image.tar: no")) == 1
    assert "building image.tar: no" in capsys.readouterr().err
    assert run(monkeypatch, None) == 0
