"""How the node is kept apart from the machine: the command that enters namespaces of its own, and what is mounted there.

Whatever is done inside ends with the namespaces: processes, mounts, interfaces, rules of iptables, routes, ipsets. The first
process of the process namespace is catatonit, which takes care of orphans; when it ends, the kernel kills the rest. A network
namespace begins empty, so nothing in it has a way out. Pure but for `run`.
"""

import contextlib
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

_APART = ("--mount", "--net", "--pid", "--ipc", "--uts")


def command(inside: Sequence[str | Path], catatonit: Path) -> list[str]:
    """The command that runs `inside` in namespaces of its own, all of which end when the caller does."""
    # setpriv has the kernel kill unshare when its parent ends; --kill-child goes on from there.
    watched = ["setpriv", "--pdeathsig", "KILL", "unshare", *_APART, "--fork", "--kill-child", "--mount-proc"]
    return [*watched, "--propagation", "private", str(catatonit), "-g", "--", *map(str, inside)]


def mounts(system: Path, work: Path, binds: Mapping[Path, str], *, apart: bool) -> str:
    """The script that makes `work`/root a system to run programs in, by chroot; for a mount namespace of its own.

    Args:
        system: stays as it is: what is written goes to `work`.
        work: has the folders upper, scratch and root.
        binds: what of the machine is seen in it, and where, without the leading slash.
        apart: whether the network namespace is another than that which /sys shows.
    """
    root = shlex.quote(str(work / "root"))
    layers = f"lowerdir={system},upperdir={work}/upper,workdir={work}/scratch"
    lines = [
        "set -e",
        f"mount -t overlay overlay -o {shlex.quote(layers)} {root}",
        f"mount -t proc proc {root}/proc",
        f"mount -t sysfs sysfs {root}/sys\nmount --rbind /sys/fs/cgroup {root}/sys/fs/cgroup"
        if apart
        else f"mount --rbind /sys {root}/sys",
        f"mount --rbind /dev {root}/dev",
        f"mount -t tmpfs tmpfs {root}/run",
        f"mount -t tmpfs tmpfs {root}/tmp",
    ]
    for source, target in binds.items():
        inside = f"{root}/{shlex.quote(target)}"
        above = f"{root}/{shlex.quote(str(PurePosixPath(target).parent))}"
        made = f"mkdir -p {inside}" if source.is_dir() else f"mkdir -p {above} && touch {inside}"
        if not target.startswith("proc/"):  # there is nothing to make there
            lines.append(made)
        lines.append(f"mount --bind {shlex.quote(str(source))} {inside}")
    return "\n".join(lines) + "\n"


def work_folders(work: Path) -> None:
    """Make the folders that `mounts` needs."""
    for name in ("upper", "scratch", "root"):
        (work / name).mkdir()


def run(program: Sequence[str | Path], catatonit: Path, env: Mapping[str, str]) -> int:
    """Run a program in namespaces of its own, to its end; its status. When we are interrupted, all of it is killed."""
    process = subprocess.Popen(command(program, catatonit), env=dict(env))
    try:
        return process.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(subprocess.TimeoutExpired):  # at a terminal, it was told as well
            process.wait(10)
        raise
    finally:
        process.kill()
        process.wait()
