"""Builds the real servers from Go modules, once per machine, with visible progress.

Why from source: the Go module proxy is the one registry that has kube-apiserver and etcd for every
platform, so a clean clone needs no container, no downloads from project sites and no root.

Where: `${XDG_CACHE_HOME:-~/.cache}/mesh-signer/bin/<hash>/<program>`; the hash covers go.mod, go.sum, our own
sources and all flags, so a changed version never runs an old binary. One file lock lets several processes
(pytest runs, the demo) ask for the same binary; the finished file is renamed into place.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.localmesh.errors import LocalMeshError
from tests.localmesh.toolchain import find_go, go_directive, go_environment

GOTOOLS = Path(__file__).parent / "gotools"
KUBERNETES = "v1.36.3"
_VERSION = "k8s.io/component-base/version"
KUBE_LDFLAGS = f"-X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"
_TTY_SECONDS = 0.5
_LINE_SECONDS = 15.0
_ASIDE_SECONDS = 60.0
_CORES = 4  # that one build keeps busy


@dataclasses.dataclass(frozen=True)
class Program:
    """One Go program: which package of which module, and how it is built.

    `module` is the folder of its go.mod; a module per family, because Kubernetes and Istio want different
    versions of the same libraries.
    """

    name: str
    module: Path
    package: str
    tags: str = ""
    ldflags: str = ""

    def flags(self) -> list[str]:
        """What the result depends on. -mod=readonly: go.mod and go.sum decide, nothing is looked up anew.

        What debuggers read (DWARF) would be left out by the linker (-w): without it from the start a build takes a twelfth less.
        """
        tags = ["-tags", self.tags] if self.tags else []
        leave_out = ["-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {self.ldflags}".strip()]
        return ["-mod=readonly", "-buildvcs=false", "-trimpath", *tags, *leave_out]

    def path(self) -> Path:
        """Where the finished binary lies, whether it is built already or not."""
        digest = hashlib.sha256("\0".join([*self.flags(), platform.system(), platform.machine()]).encode())
        own = self.module.rglob("*.go") if self.package.startswith(".") else ()
        for file in [self.module / "go.mod", self.module / "go.sum", *sorted(own)]:
            digest.update(file.name.encode() + b"\0" + (file.read_bytes() if file.exists() else b""))
        return cache_folder() / digest.hexdigest()[:16] / self.name


HELM = "v3.22.0"
# As its own Makefile has it: for `helm template`, which has no server to ask for its version.
_HELM_LDFLAGS = (
    f"-X helm.sh/helm/v3/internal/version.version={HELM} -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 "
    "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36"
)
_ISTIO_VERSION = "istio.io/istio/pkg/version"
_ISTIO_LDFLAGS = f"-X {_ISTIO_VERSION}.buildVersion=1.32-dev -X {_ISTIO_VERSION}.buildStatus=Clean"

# Istio's tags are those of its own Makefile.core.mk, so that the program is the one that others run. istioctl has istiod's, so
# what the two have in common is compiled once: a sixth of the time.
_ISTIO_TAGS = "vtprotobuf,disable_pgv"
PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", GOTOOLS / "kube", "go.etcd.io/etcd/server/v3", ldflags=KUBE_LDFLAGS),
        Program("kube-apiserver", GOTOOLS / "kube", "k8s.io/kubernetes/cmd/kube-apiserver", ldflags=KUBE_LDFLAGS),
        Program(
            "kube-controller-manager",
            GOTOOLS / "kube",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            ldflags=KUBE_LDFLAGS,
        ),
        Program(
            "pilot-discovery",
            GOTOOLS / "istio",
            "istio.io/istio/pilot/cmd/pilot-discovery",
            tags=_ISTIO_TAGS,
            ldflags=_ISTIO_LDFLAGS,
        ),
        Program(
            "pilot-agent",
            GOTOOLS / "istio",
            "istio.io/istio/pilot/cmd/pilot-agent",
            tags="agent,disable_pgv,grpcnotrace,retrynotrace",
            ldflags=_ISTIO_LDFLAGS,
        ),
        Program(
            "istioctl",
            GOTOOLS / "istio",
            "istio.io/istio/istioctl/cmd/istioctl",
            tags=_ISTIO_TAGS,
            ldflags=_ISTIO_LDFLAGS,
        ),
        Program("helm", GOTOOLS / "helm", "helm.sh/helm/v3/cmd/helm", ldflags=_HELM_LDFLAGS),
        Program("pebble", GOTOOLS / "pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble"),
        Program("pebble-challtestsrv", GOTOOLS / "pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"),
    )
}


def cache_folder() -> Path:
    """The folder of all built binaries."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mesh-signer" / "bin"


def find_program(name: str) -> Path:
    """A server's binary, ready to run: from KUBEBUILDER_ASSETS when that is set and has it, else built here.

    etcd and kube-apiserver must be in KUBEBUILDER_ASSETS when it is set (mixing versions by accident helps
    nobody); kube-controller-manager, which setup-envtest does not bring, is built when it is not there.
    """
    return _given(name) or build(PROGRAMS[name])


def find_programs(names: Iterable[str], *, aside: bool = False, stop: threading.Event | None = None) -> None:
    """Have all of these ready, as `find_program` does; arguments as those of `build_all`."""
    build_all([PROGRAMS[name] for name in names if not _given(name)], aside=aside, stop=stop)


def missing(names: Iterable[str]) -> list[str]:
    """Those of these that are still to be built."""
    return [name for name in names if not _given(name) and not PROGRAMS[name].path().exists()]


def _given(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return None
    if os.access(given := Path(assets, name), os.X_OK):
        return given
    if name in {"etcd", "kube-apiserver"}:
        raise LocalMeshError(
            f"KUBEBUILDER_ASSETS is set, but {given} is not there. Put etcd, kube-apiserver and kubectl into "
            f"{assets}, or unset KUBEBUILDER_ASSETS to have them built (`make binaries`)."
        )
    return None


# What else is needed of Istio, from the same module as its programs: the template of Envoy's bootstrap, and the samples of
# its tasks. Its CRDs, RBAC and the ConfigMap come out of istioctl, which carries the charts.
MODULE_FILES = {
    name: (GOTOOLS / "istio", "istio.io/istio", inside)
    for name, inside in (
        ("envoy_bootstrap.json", "tools/packaging/common"),
        ("httpbin.yaml", "samples/httpbin"),
        ("curl.yaml", "samples/curl"),
    )
}


def find_module_file(name: str) -> Path:
    """A file of MODULE_FILES, kept beside the binaries so that a later run asks Go for nothing."""
    folder, module, inside = MODULE_FILES[name]
    digest = hashlib.sha256((folder / "go.sum").read_bytes()).hexdigest()[:16]
    target = cache_folder() / digest / name
    if target.exists():
        return target
    with machine_lock():
        go = [str(find_go(go_directive(folder / "go.mod")))]
        for command in ([*go, "mod", "download", module], [*go, "list", "-m", "-f", "{{.Dir}}", module]):
            done = subprocess.run(
                command, cwd=folder, env=go_environment(), capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise LocalMeshError(f"{name} of {module}: {' '.join(command)}: {done.stderr.strip()}")
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{name}.{os.getpid()}")
        scratch.write_bytes(Path(done.stdout.strip(), inside, name).read_bytes())
        scratch.rename(target)
    return target


def build_module(folder: Path, package: str, name: str) -> Path:
    """Build a small Go program of our own and return its path.

    Args:
        folder: holds go.mod and go.sum.
        package: the main package, "." for the folder itself.
        name: of the binary.
    """
    return build(Program(name, folder.resolve(), package))


def build(program: Program) -> Path:
    """The program's binary; built first when it is not in the cache. One build at a time on the machine."""
    if not (target := program.path()).exists():
        build_all([program])
    return target


def build_all(programs: Sequence[Program], *, aside: bool = False, stop: threading.Event | None = None) -> None:
    """Build those that are not in the cache.

    Programs of one module and with the same flags are made by one call of Go, so that what they have in common is compiled
    once and one links while the next compiles; such groups run side by side where there are four cores for each.
    `aside`: something else is shown meanwhile, so that this has a low priority and tells a line now and then. `stop` ends it.
    """
    if all(program.path().exists() for program in programs):
        return
    with machine_lock():
        groups: dict[object, list[Program]] = {}
        for program in programs:  # another process may have built some while we waited
            if not program.path().exists():
                groups.setdefault((program.module, program.tags, program.ldflags), []).append(program)
        at_once = max(1, min(len(groups), (os.cpu_count() or 1) // _CORES))
        steady = sys.stdout.isatty() and not aside and at_once == 1
        with ThreadPoolExecutor(at_once) as pool:
            for _ in pool.map(lambda group: _build_group(group, _Telling(steady, aside, stop)), groups.values()):
                pass


def _build_group(programs: Sequence[Program], telling: "_Telling") -> None:
    module, flags = programs[0].module, programs[0].flags()
    for program in programs:
        program.path().parent.mkdir(parents=True, exist_ok=True)
    go = find_go(go_directive(module / "go.mod"))
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        one = len(programs) == 1
        to = Path(scratch, programs[0].name) if one else Path(scratch)
        command = [str(go), "build", "-v", *flags, "-o", str(to), *(program.package for program in programs)]
        _run_with_progress(" and ".join(program.name for program in programs), command, module, telling)
        for program in programs:
            (to if one else Path(scratch, _go_name(program.package))).rename(program.path())


def _go_name(package: str) -> str:
    """What Go calls the program of a package: the last element of its path that is no version."""
    *_, before, last = ("", *package.split("/"))
    return before if re.fullmatch(r"v\d+", last) else last


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """One build or download at a time on the machine."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("localmesh: waiting for another process that is building", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclasses.dataclass(frozen=True)
class _Telling:
    """How a build tells how far it is: on one line of a terminal, or by a line now and then."""

    steady: bool
    aside: bool
    stop: threading.Event | None

    @property
    def every(self) -> float:
        return _TTY_SECONDS if self.steady else _ASIDE_SECONDS if self.aside else _LINE_SECONDS

    def check(self, name: str) -> None:
        if self.stop is not None and self.stop.is_set():
            raise LocalMeshError(f"building {name} was given up")


def _run_with_progress(name: str, command: list[str], folder: Path, telling: _Telling) -> None:
    telling.check(name)
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=go_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    told: list[str] = []  # every line of go's stderr: package names (-v), downloads, errors

    def read() -> None:
        assert process.stderr is not None
        told.extend(line.rstrip() for line in process.stderr)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if telling.aside:
        with contextlib.suppress(OSError):  # what Go starts has the same
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)
    tty, due = telling.steady, started + telling.every
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_TTY_SECONDS)
            running = process.returncode is None
            if running:
                telling.check(name)
            if running and time.monotonic() < due:
                continue
            due = time.monotonic() + telling.every
            line = f"localmesh: building {name}: {time.monotonic() - started:4.0f} s"
            if running:
                packages = sum(1 for one in told if not one.startswith("go: "))
                line += f", {packages} packages compiled, now {told[-1] if told else 'reading the module'}"
            else:
                line += ", done" if process.returncode == 0 else ", failed"
            print(f"\r\x1b[K{line[:118]}" if tty else line, end="" if tty and running else "\n", flush=True)
            if not running:
                break
    finally:
        process.kill()
        process.wait()
        reader.join()
        if process.stderr is not None:
            process.stderr.close()
    if process.returncode != 0:
        errors = [
            line for line in told if not re.fullmatch(r"[\w./~-]+", line) and not line.startswith("go: downloading")
        ]
        raise LocalMeshError(
            f"building {name} failed:\n  "
            + "\n  ".join(errors[-20:] or told[-5:])
            + f"\nin {folder}: {' '.join(command)}\n"
            "The Go module proxy must be reachable (GOPROXY), with 10 GB of free disk. A folder with ready binaries can "
            "be named instead: KUBEBUILDER_ASSETS=<folder with etcd, kube-apiserver, kubectl>."
        )
