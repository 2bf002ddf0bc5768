"""How commands end, and what the paper says of them."""

import argparse
import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.cli import build_parser, main
from signer.commands.checks.codes import CODES
from signer.commands.checks.examination import examine
from signer.commands.checks.install import CONTROLLERS_CRDS, NEEDED_CRDS
from signer.commands.live import Listing
from tests.unit.commands.hanging import Hanging
from tests.unit.commands.meshes import facts, mesh
from tests.unit.tenancy.worlds import world

ROOT = Path(__file__).parents[3]
PAPER = (ROOT / "docs" / "commands.md").read_text()
SEVERITIES = {"error", "warning", "unknown", "note"}
COMMANDS = ("explain", "tenants", "mesh-config", "doctor", "edge")
LINES = (
    ("explain", "foo"),
    ("tenants",),
    ("tenants", "release", "foo"),
    ("release", "signer", "foo"),
    ("release", "host", "foo.example.com"),
    ("status",),
    ("version",),
    ("mesh-config",),
    ("doctor",),
    ("edge",),
    ("ui",),
    ("renew", "foo", "-n", "bar"),
    ("retry", "foo", "-n", "bar"),
    ("backup", "-"),
    ("leave",),
    ("leave", "--yes"),
)
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


@pytest.mark.heavy
@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_no_kubeconfig(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a way to a cluster a command says so in one line, and ends with 2."""
    assert main([*line, "--kubeconfig=/nowhere/at/all"]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert found.err.startswith(f"mesh-signer {line[0]}: kubeconfig /nowhere/at/all")


@pytest.mark.heavy
@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_nobody_answers(arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An API server that is away is told by every command in one line, with its cause, and nothing of Python's."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    assert main([*arguments, f"--kubeconfig={config}"]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert found.err.endswith("http://127.0.0.1:1: GET /version: cannot connect to 127.0.0.1:1: connection refused\n")


@pytest.mark.heavy
@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_a_server_that_hangs(arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that takes connections and says nothing costs one time-out, whatever the command would have read."""
    with Hanging(after=0) as server:
        config = server.kubeconfig(tmp_path)
        assert main([*arguments, f"--kubeconfig={config}", "--request-timeout=1s"]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert found.err.endswith(" within 1s: GET /version: no answer in time\n")
    assert server.asked == 1


@pytest.mark.heavy
@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_falls_silent(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that hangs after its first answer is waited for once more: no command asks it all that it wanted to."""
    with Hanging(after=1) as server:
        config = server.kubeconfig(tmp_path)
        named = ("foo",) if command in {"explain", "mesh-config"} else ()
        assert main([command, *named, f"--kubeconfig={config}", "--request-timeout=1s"]) == 2
    assert "no answer in time" in "".join(capsys.readouterr())
    # What was asked side by side when it fell silent: the client has 16 connections.
    assert server.asked <= 1 + 16


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tenants", "releas", "foo"], "usage: tenants"),
        (["tenants", "release"], "usage: tenants"),
        (["tenants", "--grace=never"], "--grace: 'never' is not a duration such as 24h or 90m"),
        (["tenants", "--namespace=UP"], "--namespace: 'UP' is no namespace's name"),
        (["tenants", "-n", "a", "-A"], "not allowed with"),
        (["tenants", "-o", "xml"], "'xml'"),
        (["tenants", "--context=away"], "--context away is none of its contexts, which are: c"),
        (["doctor", "--request-timeout=soon"], "--request-timeout: 'soon' is no time up to an hour, as 5s or 1m are"),
        (["doctor", "--request-timeout=2h"], "--request-timeout: '2h' is no time up to an hour, as 5s or 1m are"),
        (["ui", "--port=http"], "--port: http is no port: give a number up to 65535"),
        (["ui", "--port=65536"], "--port: 65536 is no port"),
        (["ui", "--port=-1"], "--port: -1 is no port"),
        (["edge", "--namespace=a/b"], "--namespace: 'a/b' is no namespace's name"),
        (["mesh-config", "--revision=UP", "--write", "a"], "--revision: 'UP' is no revision's name"),
        (
            ["doctor", "--suppress=IstioReadCAs"],
            "--suppress: 'IstioReadCAs' is no finding's code: is IstioReadsCAs meant?",
        ),
        (["doctor", "--fail-on=all"], "'all'"),
        (["explain", "-f", "/nowhere"], "explain: /nowhere: no such file or directory"),
        (["explain", "-f", "/"], "explain: /: is a directory"),
        (["explain", "a", "-f", "b"], "give one of NAME, -f FILE"),
        (["explain", "certificate", "a", "b"], "usage: explain certificate NAME"),
        (["restore", "/nowhere"], "/nowhere: no such file or directory"),
        (["restore", "/dev/null"], "/dev/null: it is no backup"),
        (["backup", "/"], "/ is there already"),
        (["leave", "--wait=soon"], "--wait: 'soon' is no time up to an hour, as 5s or 1m are"),
        (["renew"], "name Certificates, or say --all"),
        (["renew", "a", "--all"], "name Certificates, or say --all"),
        (["renew", "a", "-A"], "--all-namespaces: it goes with --all"),
        (["renew", "a", "-n", "B"], "--namespace: 'B' is no namespace's name"),
        (["renew", "A"], "'A' is no Certificate's name"),
        (["retry", "A"], "'A' is no Certificate's name"),
        (["retry", "a", "-n", "B"], "--namespace: 'B' is no namespace's name"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_usage(arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that means nothing ends with 2 and one line that says what is wrong, before anybody is asked."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    try:
        status = main([*arguments, f"--kubeconfig={config}"])
    except SystemExit as end:  # argparse's own
        status = int(str(end.code))
    found = capsys.readouterr()
    assert (status, found.out, found.err.count("\n")) == (2, "", 1)
    assert told in found.err
    assert "connect" not in found.err


KUBECONFIGS = {
    "a: [\n": "line 2 is not valid YAML: ",
    "a: 1\n": "current-context is not set; give --context, one of: none",
    "contexts: 3\ncurrent-context: x\n": "it has not the form of a kubeconfig",
    "hello": "it has not the form of a kubeconfig",
    KUBECONFIG.replace("current-context: c", "current-context: d"): "current-context d is none of its contexts",
    KUBECONFIG.replace("{cluster: c}", "{cluster: d}"): "",
    KUBECONFIG.replace("http://127.0.0.1:1", "ftp://x"): "the server 'ftp://x' is not an http(s) URL",
}


@pytest.mark.parametrize("text", KUBECONFIGS, ids=range(len(KUBECONFIGS)))
def test_a_kubeconfig_that_is_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with a kubeconfig is told in one line with the file, and in no words of Python's."""
    config = tmp_path / "config"
    config.write_text(text)
    assert main(["tenants", f"--kubeconfig={config}"]) == 2
    found = capsys.readouterr().err
    assert found.startswith(f"mesh-signer tenants: kubeconfig {config}: {KUBECONFIGS[text]}")
    assert found.count("\n") == 1
    assert not re.search(r"Error|Exception|object is not|object does not|NoneType|Traceback", found)


def test_a_fault_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw is one line with the place to report, and no traceback."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)

    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("signer.commands.command.load_config", broken)
    assert main(["tenants", f"--kubeconfig={config}"]) == 2
    found = capsys.readouterr().err
    assert re.fullmatch(
        r"mesh-signer tenants: this is a fault of mesh-signer's own; please report it \(KeyError, \S+ line \d+\)\n",
        found,
    )


def test_as_a_plugin_of_kubectl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As `kubectl mesh-signer` the help says what to type; the program of that name is installed."""
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-mesh_signer", "tenants", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.startswith("usage: kubectl mesh-signer tenants ")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-mesh_signer"] == scripts["mesh-signer"]


@pytest.mark.parametrize("command", [*COMMANDS, "ui"])
def test_options(command: str) -> None:
    """Each command takes what the signer was given of the wall, and tells its exit status in its help."""
    parser = subparsers()[command]
    known = {option for action in parser._actions for option in action.option_strings}
    assert {
        "--kubeconfig",
        "--context",
        "--request-timeout",
        "--istio-namespace",
        "--grace",
        "--cert-signer-domain",
    } <= known
    assert ("--output" in known) == (command != "ui")
    assert {"cluster", "settings of the signer"} <= {one.title for one in parser._action_groups}
    assert "Exit status" in " ".join((parser.description or "").split())


def test_the_paper_knows_every_command() -> None:
    """docs/commands.md has a section for each command, and for each of its own options a word."""
    for command in (*COMMANDS, "ui"):
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
    made = set(re.findall(r'Finding\(\s*"[a-z]+"(?: if [\w ]+ else "[a-z]+")?,\s*"([a-z-]+)"', sources))
    made |= set(re.findall(r'Finding\(\s*\w+,\s*"([a-z-]+)"', sources))
    assert told == made


def test_the_paper_knows_every_code() -> None:
    """The codes of findings are the rows of the paper's table, in its words; each is some check's, and no check has others."""
    table = PAPER.partition("\n| code | what is the case |\n")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)) == dict(CODES)
    files = [one for one in (ROOT / "signer" / "commands" / "checks").glob("*.py") if one.name != "codes.py"]
    written = {
        node.value
        for one in files
        for node in ast.walk(ast.parse(one.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CODES) - written == set()
    given = {
        one.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code"
        for one in ast.walk(keyword.value)
        if isinstance(one, ast.Constant) and one.value not in SEVERITIES
    }
    assert given - set(CODES) == set()


@pytest.mark.heavy
def test_all_definitions_that_we_ship() -> None:
    """The doctor looks for each CustomResourceDefinition of manifests/crds, and for no other."""
    folder = ROOT / "manifests" / "crds"
    shipped = {
        one["metadata"]["name"]
        for file in folder.rglob("*.yaml")
        for one in yaml.safe_load_all(file.read_text())
        if one["kind"] == "CustomResourceDefinition"
    }
    assert {*NEEDED_CRDS, *CONTROLLERS_CRDS} == shipped


def test_nothing_read_is_no_clean_bill() -> None:
    """Where nothing could be read, each source is told as not checked."""
    names = ("crds", "cluster_roles", "deployments", "pods", "admission_policies")
    listings: dict[str, Any] = {name: Listing(problem=f"{name} may not be read") for name in names}
    empty = mesh(world(claimed={}, signers=frozenset(), defaults=frozenset()), issuers=[], gaps=("namespaces",))
    found = examine(facts(empty, **listings, access_problem="no"))
    assert {one.severity for one in found} == {"unknown"}
    assert all(any(name in one.what for one in found) for name in names)
