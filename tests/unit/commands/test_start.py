"""What a start of the command imports: no more than what it does needs."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from signer.cli import COMMANDS, main
from tests.pki import ANY_TIME, CA

HEAVY = {"aiohttp", "asyncio", "cryptography", "kubernetes", "msgspec", "yaml"}
FILES = {f"signer.commands.{name.replace('-', '_')}": name for name in COMMANDS}
START = """
import json, sys
from signer.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
sys.stderr.write(json.dumps([status, sorted(sys.modules)]))
"""


def started(*arguments: str, script: str = START, **environment: str) -> tuple[int | str, set[str]]:
    """Run the command in a process of its own: its exit status, and the modules that it has at its end."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    status, modules = json.loads(done.stderr.splitlines()[-1])
    return status, set(modules)


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ()])
def test_no_command(arguments: tuple[str, ...]) -> None:
    """The version, the list of commands and a wrong command line cost no library and no command's module."""
    status, modules = started(*arguments)
    assert status == (0 if arguments else 2)
    assert {one for one in modules if one.split(".")[0] in HEAVY or one.startswith("signer.commands")} == set()


EACH = """
import json, os, sys
import acme.client, signer.app, signer.slow_controllers, yaml
from signer.cli import COMMANDS, main
for command in COMMANDS:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    try:
        status = main([command, "--help"])
    except SystemExit as end:
        status = end.code
    sys.stderr.write(json.dumps([command, status, sorted(sys.modules)]) + "\\n")
    sys.stderr.flush()
    os._exit(0)
"""
"""Each command in a process of its own, which has all but commands from the start: nothing below imports one."""


@pytest.mark.heavy
def test_one_command() -> None:
    """A command imports no other."""
    done = subprocess.run([sys.executable, "-c", EACH], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert {
        command: (status, [FILES[one] for one in modules if one in FILES]) for command, status, modules in found
    } == {command: (0, [command]) for command in COMMANDS}


LIBRARIES = {
    "acme",
    "aiohttp",
    "attr",
    "dns",
    "josepy",
    "jsonschema",
    "kubernetes",
    "multidict",
    "requests",
    "urllib3",
    "yarl",
}
"""What the controllers need for some settings only, and what comes with it."""
ROOMS = ("signer.certificates", "signer.convert", "signer.edge", "signer.injector", "issuers.acme")
RUN = ("run", "--audit-log=none", "--bind=none")
KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: USER}]
"""
DIALS = """
import gc, json, os, sys
import signer.kube.http.dial as d

async def connect(*_):
    print(json.dumps(["dials", FOUND]), file=sys.stderr, flush=True)
    os._exit(0)

d.Dialer.connect = connect
from signer.cli import main
main(sys.argv[1:])
"""
"""Ends the program where it would dial the API server: it is ready to ask by then."""
IMPORTED = DIALS.replace("FOUND", "sorted(sys.modules)")
COLLECTED = DIALS.replace("FOUND", "[str(gc.isenabled()), str(gc.get_freeze_count() > 10_000)]")


def not_needed(modules: set[str]) -> set[str]:
    return {one for one in modules if one.split(".")[0] in LIBRARIES or one.startswith(ROOMS)}


@pytest.mark.heavy
def test_run(tmp_path: Path) -> None:
    """With a plain kubeconfig the controllers import neither the library of kubeconfigs, nor aiohttp, nor any slow controller."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG.replace("USER", "{token: t}"))
    status, modules = started(*RUN, "--controllers=csr", f"--kubeconfig={config}", script=IMPORTED)
    assert (status, "signer.csr.controller" in modules) == ("dials", True)
    assert {FILES[one] for one in modules & set(FILES)} == {"run"}
    assert not_needed(modules) == set()


@pytest.mark.heavy
def test_run_with_a_plugin(tmp_path: Path) -> None:
    """A kubeconfig with a plugin is what the library is imported for."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG.replace("USER", "{exec: {command: 'false', apiVersion: v1, args: []}}"))
    status, modules = started(*RUN, f"--kubeconfig={config}")
    assert (status, "kubernetes" in modules) == (2, True)
    assert modules & {"acme", "aiohttp", "dns", "josepy"} == set()


@pytest.mark.heavy
def test_pod(tmp_path: Path) -> None:
    """In a Pod nothing of that is needed either: it would cost time and memory in each replica."""
    for name in ("token", "namespace"):
        (tmp_path / name).write_text("x")
    (tmp_path / "ca.crt").write_bytes(CA("API server", now=ANY_TIME).pem)
    script = f"import pathlib, signer.kube.access.config as c\nc._SERVICE_ACCOUNT = pathlib.Path({str(tmp_path)!r})\n"
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    status, modules = started(*RUN, "--controllers=csr", script=script + IMPORTED, **pod)
    assert (status, "signer.csr.controller" in modules) == ("dials", True)
    assert not_needed(modules) == set()
    assert "signer.kube.access.kubeconfig" not in modules


@pytest.mark.heavy
def test_nothing_is_collected_twice(tmp_path: Path) -> None:
    """What the controllers import is never gone through by the garbage collector, which is on again afterwards."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG.replace("USER", "{token: t}"))
    assert started(*RUN, f"--kubeconfig={config}", script=COLLECTED) == ("dials", {"True"})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The completion of each shell knows every command and its options, and asks no cluster."""
    monkeypatch.setattr(socket.socket, "connect", None)
    assert not main(["completion", shell])
    monkeypatch.undo()
    done = capsys.readouterr()
    assert [name for name in COMMANDS if name not in done.out] == []
    assert "suppress" in done.out
    assert done.err == ""
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.out, text=True, check=True)


@pytest.mark.heavy
def test_version_alone() -> None:
    """`version --client` needs no cluster; what scripts ask, `--version`, needs no module of a command either."""
    status, modules = started("version", "--client")
    assert (status, "kubernetes" in modules) == (0, False)
