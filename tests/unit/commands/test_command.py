"""How commands end, and what the paper says of them."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from signer.cli import build_parser, main
from signer.commands.doctor import examine
from signer.commands.live import Listing
from tests.unit.commands.meshes import facts, mesh
from tests.unit.tenancy.worlds import world

ROOT = Path(__file__).parents[3]
PAPER = (ROOT / "docs" / "commands.md").read_text()
COMMANDS = ("explain", "tenants", "mesh-config", "doctor")
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
"""


def subparsers() -> dict[str, argparse.ArgumentParser]:
    (found,) = [one for one in build_parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(found.choices)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_kubeconfig(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a way to a cluster a command says so in one line, and ends with 2."""
    assert main([command, "--kubeconfig=/nowhere/at/all"]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert found.err.startswith(f"mesh-signer {command}: kubeconfig /nowhere/at/all")


def test_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An API server that is away is "could not be determined", named by its cause."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    assert main(["tenants", f"--kubeconfig={config}"]) == 2
    assert "could not be read" in capsys.readouterr().err
    assert main(["tenants", f"--kubeconfig={config}", "release", "foo"]) == 2
    assert "no answer from the API server" in capsys.readouterr().err
    assert main(["doctor", f"--kubeconfig={config}"]) == 2
    assert "UNKNOWN" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["tenants", "releas", "foo"],
        ["tenants", "release"],
        ["tenants", "--grace=never"],
        ["mesh-config", "--revision=UP", "--write", "a"],
    ],
)
def test_usage(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that means nothing ends with 2 and one line."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    assert main([*arguments, f"--kubeconfig={config}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_options(command: str) -> None:
    """Each command takes what the signer was given of the wall, and tells its exit status in its help."""
    parser = subparsers()[command]
    known = {option for action in parser._actions for option in action.option_strings}
    assert {"--kubeconfig", "--istio-namespace", "--grace", "--cert-signer-domain", "--output"} <= known
    assert "Exit status" in " ".join((parser.description or "").split())


def test_the_paper_knows_every_command() -> None:
    """docs/commands.md has a section for each command, and for each of its own options a word."""
    for command in COMMANDS:
        assert f"\n## {command}\n" in PAPER
        own = [
            one for action in subparsers()[command]._actions for one in action.option_strings if one.startswith("--")
        ]
        shared = {one for action in subparsers()["run"]._actions for one in action.option_strings} | {
            "--output",
            "--help",
            "--filename",
        }
        assert [one for one in own if one not in shared and one not in PAPER] == []


def test_the_paper_knows_every_check() -> None:
    """The doctor's checks are the rows of the paper's table, no more and no fewer."""
    table = PAPER.partition("\n## doctor\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))
    sources = " ".join(one.read_text() for one in (ROOT / "signer" / "commands" / "checks").glob("*.py"))
    made = set(re.findall(r'Finding\(\s*"[a-z]+"(?: if \w+ else "[a-z]+")?,\s*"([a-z-]+)"', sources))
    made |= set(re.findall(r'Finding\(\s*\w+,\s*"([a-z-]+)"', sources))
    assert told == made


def test_nothing_read_is_no_clean_bill() -> None:
    """Where nothing could be read, each source is told as not checked."""
    names = ("crds", "cluster_roles", "deployments", "pods", "admission_policies")
    listings: dict[str, Any] = {name: Listing(problem=f"{name} may not be read") for name in names}
    empty = mesh(world(claimed={}, signers=frozenset(), defaults=frozenset()), issuers=[], gaps=("namespaces",))
    found = examine(facts(empty, **listings, access_problem="no"))
    assert {one.severity for one in found} == {"unknown"}
    assert all(any(name in one.what for one in found) for name in names)
