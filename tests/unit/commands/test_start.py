"""What a start of the command imports: no more than what it does needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from signer.cli import COMMANDS

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


def started(*arguments: str, script: str = START, **environment: str) -> tuple[int, set[str]]:
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


@pytest.mark.parametrize("command", COMMANDS)
def test_one_command(command: str) -> None:
    """A command imports no other."""
    status, modules = started(command, "--help")
    assert status == 0
    assert {FILES[one] for one in modules & set(FILES)} == {command}


def test_run() -> None:
    """The controllers import no command but their own, and before they are at work no library of the edge."""
    status, modules = started("run", "--kubeconfig=/nowhere", "--audit-log=none", "--bind=none")
    assert (status, "signer.app" in modules, "kubernetes" in modules) == (2, True, True)
    assert {FILES[one] for one in modules & set(FILES)} == {"run"}
    assert modules & {"acme", "dns", "josepy"} == set()


def test_pod(tmp_path: Path) -> None:
    """In a Pod the library of kubeconfigs is not needed: it would cost memory in each replica."""
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text("x")
    script = f"import pathlib, signer.kube.config as c\nc._SERVICE_ACCOUNT = pathlib.Path({str(tmp_path)!r})\n{START}"
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    status, modules = started("run", "--audit-log=none", "--bind=none", script=script, **pod)
    assert (status, "signer.app" in modules, "kubernetes" in modules) == (2, True, False)
