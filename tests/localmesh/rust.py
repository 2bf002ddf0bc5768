"""Builds the small Rust programs that only tests need, where cargo is: what ztunnel does with certificates, by its own crates.

A machine without cargo is enough for everything else, and whoever asks here skips then, and says so. Cargo.lock decides what
is built; the result lies beside the Go programs (build.py), under a hash of it and of the sources.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.localmesh.build import cache_folder, machine_lock
from tests.localmesh.debian import NotHere
from tests.localmesh.errors import LocalMeshError

ZTUNNEL = Path(__file__).parent / "rusttools" / "ztunnel"


def find_rust(folder: Path) -> Path:
    """The program of a crate; built first, in half a minute, when it is not in the cache. NotHere without cargo."""
    digest = hashlib.sha256(f"{platform.system()}\0{platform.machine()}".encode())
    for file in (folder / "Cargo.toml", folder / "Cargo.lock", *sorted(folder.rglob("*.rs"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    target = cache_folder() / digest.hexdigest()[:16] / folder.name
    if target.exists():
        return target
    cargo = shutil.which("cargo")
    if cargo is None:
        raise NotHere("cargo is not on PATH: what ztunnel would make of an answer is not looked at")
    with machine_lock(), tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        if target.exists():  # another process was first
            return target
        command = [cargo, "build", "--quiet", "--locked", f"--manifest-path={folder / 'Cargo.toml'}"]
        print(f"localmesh: building {folder.name} with {cargo}", flush=True)
        environment = os.environ | {"CARGO_TARGET_DIR": scratch}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise LocalMeshError(f"{' '.join(command)}: {done.stderr.strip()}")
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(scratch, "debug", folder.name).rename(target)
    return target
