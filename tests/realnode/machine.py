"""What the node needs of the machine, and what must be on the machine afterwards as it was before. Reads; makes cgroups only.

A control group is the one thing that no namespace takes along when it ends. So the node's Pods are below one group of its own,
in each hierarchy, that is made before and removed after.
"""

import contextlib
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.realnode.configuration import TUNABLES

_CGROUPS = Path("/sys/fs/cgroup")
_V2 = ("cpuset", "cpu", "io", "memory", "pids")
_NEEDED = ("overlay", "tmpfs", "sysfs")
_CAP_SYS_ADMIN, _CAP_NET_ADMIN = 21, 12
# What kube-proxy and others may set besides, for the whole machine.
_WATCHED = (*TUNABLES, "net/netfilter/nf_conntrack_max", "net/ipv4/ip_forward", "fs/inotify/max_user_instances")
_PLACES = ("/etc/cni", "/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet")


def lacking() -> str | None:
    """Why this machine cannot run a node, None when nothing speaks against it; without trying anything."""
    if os.geteuid() != 0:
        return "it needs root, for namespaces, mounts and control groups"
    capabilities = capability_bits(Path("/proc/self/status").read_text())
    if not capabilities >> _CAP_SYS_ADMIN & 1 or not capabilities >> _CAP_NET_ADMIN & 1:
        return "root has not both CAP_SYS_ADMIN and CAP_NET_ADMIN here, as in a container that is not privileged"
    kinds = file_systems(Path("/proc/filesystems").read_text())
    if missing := [kind for kind in _NEEDED if kind not in kinds]:
        return f"the kernel has no file system {', '.join(missing)}"
    if tools := [tool for tool in ("apt-get", "perl", "setpriv", "unshare", "mount") if shutil.which(tool) is None]:
        return f"there is no {', '.join(tools)} on PATH"
    if not any(hierarchies(Path("/proc/self/mountinfo").read_text())):
        return "no control groups are mounted below /sys/fs/cgroup"
    return None


def capability_bits(status: str) -> int:
    """The effective capabilities in /proc/PID/status, a bit each."""
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)


def file_systems(text: str) -> set[str]:
    """The kinds of file systems in /proc/filesystems."""
    return {line.split()[-1] for line in text.splitlines() if line.strip()}


def hierarchies(mountinfo: str) -> tuple[list[Path], list[Path]]:
    """Where control groups are mounted, by /proc/self/mountinfo: those of version 1, and those of version 2.

    Where both are, resources are in the first, and runc makes groups in the second all the same. (proc(5): the mount point is
    field 5; the kind comes after the dash.)
    """
    first, second = [], []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        place, kind = before.split()[4], after.split()[0]
        if kind == "cgroup":
            first.append(Path(place))
        elif kind == "cgroup2":
            second.append(Path(place))
    return first, second


def open_files() -> int:
    """How many files a process may have open here at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@contextlib.contextmanager
def control_group(name: str) -> Iterator[str]:
    """A control group for the node in every hierarchy, gone afterwards with all below it; how a kubelet names it."""
    first, second = hierarchies(Path("/proc/self/mountinfo").read_text())
    try:
        for place in first or second:
            _make_group(place, place / name)
        yield f"/{name}"
    finally:
        for place in (*first, *second):
            _remove_group(place / name)


def _make_group(parent: Path, group: Path) -> None:
    if (parent / "cgroup.controllers").exists():
        offered = set((parent / "cgroup.controllers").read_text().split())
        _enable(parent, offered)
        group.mkdir()
        _enable(group, offered)
        return
    group.mkdir()
    # A new group of cpuset has none, and takes no process until it has.
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (parent / file).exists():
            (group / file).write_text((parent / file).read_text())


def _enable(group: Path, offered: set[str]) -> None:
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in _V2 if one in offered))


def _remove_group(group: Path) -> None:
    """Remove it with all below it. Its processes ended with their namespace, but the kernel may still be busy with the last."""
    deadline = time.monotonic() + 30
    for folder, _, _ in [*os.walk(group, topdown=False)]:
        while True:
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                break


def state() -> dict[str, list[str]]:
    """What a node could leave behind or change on a machine, to be compared: as text, for JSON."""
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "interfaces": sorted(one.name for one in Path("/sys/class/net").iterdir()),
        "sysctls": [f"{name}={_value(name)}" for name in _WATCHED],
        "places": [place for place in _PLACES if Path(place).exists()],
        "groups": sorted({one for place in _CGROUPS.iterdir() for one in _names(place)}),
    }


def inhabitants(namespaces: dict[str, str]) -> list[str]:
    """The processes of this machine that are in one of these namespaces, as `PID NAME`.

    Args:
        namespaces: kind as in /proc/PID/ns to what its link says.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if any(str((process / "ns" / kind).readlink()) == link for kind, link in namespaces.items()):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
    return found


def own_namespaces() -> dict[str, str]:
    """The namespaces that this process is in, as `inhabitants` takes them."""
    return {kind: str(Path("/proc/self/ns", kind).readlink()) for kind in ("mnt", "net", "pid", "ipc", "uts")}


def _value(name: str) -> str:
    file = Path("/proc/sys", name)
    return file.read_text().strip() if file.exists() else ""


def _names(place: Path) -> list[str]:
    return [one.name for one in place.iterdir() if one.is_dir()] if place.is_dir() else []
