"""What no language's registry has, from Debian's or Ubuntu's packages: BIND's `named`, Prometheus, libfaketime, Chromium.

Why so: `make test` must do on a fresh machine, and without root. apt downloads what the machine's own sources have, into a
state folder of ours, and the packages are only unpacked: nothing of them is installed or run by dpkg. What the machine
has already is used as it is.

Synchronous. One lock lets several processes ask for the same package; the finished folder is renamed into place.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.localmesh.build import cache_folder, machine_lock
from tests.localmesh.errors import LocalMeshError

BROWSER = "chromedriver"
PACKAGES = {
    "named": "bind9",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    BROWSER: "chromium-driver",
    "pdns_server": "pdns-backend-sqlite3",
}
"""The program, and the package that has it."""
_SECONDS = 600


class NotHere(LocalMeshError):
    """It cannot be had on this machine: the tests that need it are skipped, with this reason."""


def find_packaged(name: str) -> tuple[Path, dict[str, str]]:
    """A program, and what its environment must have: from PATH, else from the package, unpacked here once.

    Raises NotHere when it cannot be had: there is no apt, or its sources are out of reach.
    """
    if on_path := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return Path(on_path), {}
    target = unpacked(PACKAGES[name], f"{name} is neither on PATH")
    program = next((one for one in target.rglob(f"*bin/{name}") if os.access(one, os.X_OK)), None)
    if program is None:
        raise LocalMeshError(f"{target}: the package {PACKAGES[name]} has no {name}")
    libraries = sorted({str(one.parent) for one in target.rglob("*.so*")})
    return program, {"LD_LIBRARY_PATH": ":".join(libraries)}


def find_library(name: str, package: str) -> Path:
    """A library that programs are started with (LD_PRELOAD): of this machine, else from the package, unpacked here once.

    Args:
        name: the file, in a folder of its own below /usr/lib, as the package has it: `faketime/libfaketimeMT.so.1`.
        package: Debian's package that has it.

    Raises NotHere as `find_packaged` does.
    """
    for pattern in (f"lib*/{name}", f"lib/*/{name}"):
        for found in sorted(Path("/usr").glob(pattern)):
            return found
    target = unpacked(package, f"{name} is not below /usr/lib")
    library = next(target.rglob(name), None)
    if library is None:
        raise LocalMeshError(f"{target}: the package {package} has no {name}")
    return library


def unpacked(package: str, missing: str) -> Path:
    """The folder of an unpacked package; `missing` begins the reason when it cannot be had."""
    target = cache_folder() / f"debian-{_release()}" / package
    if not target.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise NotHere(f"{missing}, nor is there apt to fetch it from ({package})")
        with machine_lock():
            if not target.exists():
                _unpack(package, target)
    return target


def _release() -> str:
    """What the packages of this machine fit: a later release has other libraries."""
    text = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([\w.]+)"?$', text, re.MULTILINE))
    return f"{found.get('ID', 'unknown')}-{found.get('VERSION_ID', '')}-{os.uname().machine}"


def _unpack(package: str, target: Path) -> None:
    print(f"localmesh: fetching {package} with apt", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        state, root = Path(scratch, "state"), Path(scratch, "root")
        for folder in ("lists/partial", "cache/archives/partial"):
            Path(state, folder).mkdir(parents=True)
        # A state of our own: apt's real one needs root. Which packages the machine has already, dpkg's list tells.
        options = [
            *("-qq", "-o", f"Dir::State={state}", "-o", f"Dir::State::lists={state}/lists"),
            *("-o", "Dir::State::status=/var/lib/dpkg/status", "-o", f"Dir::Cache={state}/cache"),
            *("-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"),
        ]
        _run(["apt-get", *options, "update"])
        wanted = ["--no-install-recommends", "--download-only", "-y", "install", package]
        _run(["apt-get", *options, *wanted])
        root.mkdir()
        for one in sorted(Path(state, "cache/archives").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(one), str(root)])
        root.rename(target)


def _run(command: list[str]) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotHere(f"no end within {_SECONDS} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise NotHere(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-800:]}")
