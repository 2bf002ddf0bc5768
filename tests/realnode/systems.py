"""Debian systems as folders and archives: the one that the node's programs run in, and the base of our image.

Why whole systems: containerd, runc, iptables and the CNI plugins find their parts in fixed places. Installed with apt they would
change the machine, start daemons on it, and be another version on each machine; unpacked beside each other they would not find
their parts. A system of its own is the same everywhere, and is only ever read: the node writes above it. mmdebstrap makes one in
less than a minute, and itself comes out of its package without being installed.

Synchronous; the lock of the machine's builds, and the finished system is renamed into place.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.localmesh.build import cache_folder, machine_lock
from tests.localmesh.debian import NotHere, unpacked

SUITE = "trixie"
_SECONDS = 900
_DEFAULT_MIRROR = "http://deb.debian.org/debian"


@dataclass(frozen=True)
class System:
    """A minimal Debian of SUITE with these packages, as a folder or, when its name ends in .tar, as an archive."""

    name: str
    packages: tuple[str, ...]

    def path(self) -> Path:
        """Where the finished system lies, whether it is there already or not."""
        digest = hashlib.sha256("\0".join([SUITE, os.uname().machine, *self.packages]).encode()).hexdigest()[:16]
        return cache_folder() / f"system-{digest}" / self.name


NODE = System(
    "node",
    (
        "buildah",
        "ca-certificates",
        "catatonit",
        "conntrack",
        "containerd",
        "containernetworking-plugins",
        "iproute2",
        "ipset",
        "iptables",
        "netavark",
        "runc",
    ),
)
BASE = System("base.tar", ("ca-certificates", "python-is-python3", "python3", "python3-pip", "python3-venv"))
"""In place of the image python:3.13-slim, which no registry of packages has: the same Python, out of Debian."""
ISTIO_BASE = System("istio-base.tar", ("ca-certificates", "curl", "iptables", "nftables"))
"""In place of Istio's image `base`: what istio-init needs, and curl."""


def find_system(system: System) -> Path:
    """The system; made first when it is not in the cache. Needs root. Raises NotHere when its packages cannot be had."""
    target = system.path()
    if target.exists():
        return target
    tools = unpacked("mmdebstrap", "mmdebstrap is not here")
    with machine_lock():
        if not target.exists():
            print(f"realnode: making the system {system.name} out of {len(system.packages)} packages", flush=True)
            _make(system, tools, target)
    return target


def mirror(targets: str) -> str:
    """Where to fetch from: the Debian archive that this machine's own apt has, Debian's where it has none.

    Args:
        targets: one URI a line, as `apt-get indextargets` writes them.
    """
    for uri in targets.split():
        if re.fullmatch(r"\w+://\S+/debian/?", uri):
            return uri.rstrip("/")
    return _DEFAULT_MIRROR


def _make(system: System, tools: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent))
    scratch = folder / system.name
    env = os.environ | {"PATH": f"{tools}/usr/bin:{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C"}
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    targets = subprocess.run(asked, env=env, capture_output=True, text=True, check=False).stdout
    include = f"--include={','.join(system.packages)}"
    # What it mounts is mounted in a namespace of its own, and is gone however it ends.
    apart = ["unshare", "--mount", "--propagation", "private"]
    plain = ["--mode=root", "--variant=minbase", "--quiet", include, "--aptopt=APT::Install-Recommends false"]
    try:
        _run([*apart, "mmdebstrap", *plain, SUITE, str(scratch), mirror(targets)], env)
        scratch.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str], env: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotHere(f"no end within {_SECONDS} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise NotHere(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-800:]}")
