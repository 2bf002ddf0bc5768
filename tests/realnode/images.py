"""The images that the node runs, as archives: ours by the Dockerfile as it is, the sandbox's, and DNS.

buildah runs in the node's system with the machine's network, since pip fetches what the lock names, and so in namespaces for
mounts and processes only. Kept in the cache under a hash of all that goes in, so a change of the program builds a new one.
"""

import hashlib
import os
import resource
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.localmesh.build import cache_folder, machine_lock
from tests.localmesh.debian import NotHere
from tests.localmesh.errors import LocalMeshError
from tests.realnode.configuration import COREDNS, PAUSE
from tests.realnode.namespaces import mounts, work_folders
from tests.realnode.programs import find_program
from tests.realnode.systems import BASE, NODE, find_system

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "docker.io/library/mesh-signer:0.1.0"
"""What the manifests' `mesh-signer:0.1.0` means to a kubelet."""
_BASE = "docker.io/library/python:3.13-slim"
_CONTEXT = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "README.md",
    "issuers",
    "pyproject.toml",
    "release",
    "requirements-build.lock",
    "requirements.lock",
    "setup.py",
    "signer",
)
_SECONDS = 1200
_KEPT = 3

# vfs copies each layer; overlay needs nothing that the node does not need anyway.
_BUILD = """\
set -e
export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot HOME=/root
mkdir -p /etc/containers
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > /etc/containers/policy.json
echo 'unqualified-search-registries = []' > /etc/containers/registries.conf
"""
_PLAIN = """\
image=$(buildah from scratch)
buildah add --quiet $image {source} {target}
buildah config {config} $image
buildah commit --quiet $image {name}
"""
_OURS = """\
buildah bud --quiet --pull=never --network host {limits} --volume /pip/pip.conf:/etc/pip.conf:ro \
--volume /pip/ca.crt:/pip/ca.crt:ro --tag {name} /src
"""
_PUSH = "buildah push --quiet {name} docker-archive:/out/{file}:{name}\n"


def find_image() -> Path:
    """Our image, built from this work tree by its Dockerfile; an archive that `ctr images import` reads."""
    base = _PLAIN.format(source="/base.tar", target="/", config="--env PATH=/usr/local/bin:/usr/bin:/bin", name=_BASE)
    script = base + _OURS.format(name=IMAGE, limits=_limits()) + _PUSH.format(name=IMAGE, file="image.tar")
    digest = hashlib.sha256((BASE.path().parent.name + script).encode())
    for file in context(ROOT):
        digest.update(f"\0{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return _find("image.tar", digest.hexdigest(), script, {find_system(BASE): "base.tar", ROOT: "src"})


def find_sandbox() -> Path:
    """The image of every Pod's sandbox: Debian's catatonit, which can pause and is static."""
    script = _PLAIN.format(
        source="/usr/bin/catatonit", target="/pause", config="""--entrypoint '["/pause", "-P"]'""", name=PAUSE
    ) + _PUSH.format(name=PAUSE, file="pause.tar")
    return _find("pause.tar", hashlib.sha256((NODE.path().parent.name + script).encode()).hexdigest(), script, {})


def find_resolver() -> Path:
    """CoreDNS as an image."""
    return of_program(find_program("coredns"), COREDNS)


def of_program(program: Path, name: str, folder: str = "", options: str = "") -> Path:
    """An image with a static program in `folder` and nothing else; `options` are further ones of `buildah config`."""
    place = f"{folder}/{program.name}"
    config = f"""--entrypoint '["{place}"]' {options}""".strip()
    return assembled(f"{program.name}.tar", [Step(name, {program: place}, config)])


@dataclass(frozen=True)
class Step:
    """One image: what is added to an earlier one, or to nothing.

    Args:
        name: the image's.
        added: files of this machine, from the cache, to where they are in the image; an archive is unpacked there.
        config: options of `buildah config`.
        base: the name of an earlier step's image.
    """

    name: str
    added: Mapping[Path, str]
    config: str = ""
    base: str = "scratch"


def assembled(file: str, steps: Sequence[Step]) -> Path:
    """The last of these images, as an archive; nothing is run to make them."""
    script = ""
    binds = {}
    digest = hashlib.sha256()
    for step in steps:
        script += f"image=$(buildah from --pull=never {step.base})\n"
        for source, place in step.added.items():
            digest.update(f"\0{_mark(source)}".encode())
            binds[source] = f"added/{source.name}"
            script += f"buildah add --quiet $image /added/{source.name} {place}\n"
        script += f"buildah config {step.config} $image\n" if step.config else ""
        script += f"buildah commit --quiet $image {step.name}\n"
    script += _PUSH.format(name=steps[-1].name, file=file)
    digest.update(script.encode())
    return _find(file, digest.hexdigest(), script, binds)


def context(root: Path) -> Iterator[Path]:
    """The files that go into our image, in an order that does not change."""
    for name in _CONTEXT:
        path = root / name
        found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        yield from (one for one in found if "__pycache__" not in one.parts)


def pip_configuration(listed: str) -> str:
    """A pip.conf for the build, out of what this machine's pip is told: its index and proxy, and the CA where it is mounted.

    Args:
        listed: as `pip config list` writes it, a line for each setting, as in `global.index-url='https://...'`.
    """
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        # Folders of this machine are not there in the build.
        if section in {"global", "user", "site", "install", ":env:"} and name in {
            "index-url",
            "extra-index-url",
            "proxy",
            "trusted-host",
            "timeout",
            "default-timeout",
            "retries",
        }:
            settings[name] = value.strip().strip("'\"").replace("\\n", "\n  ")
    return "\n".join(["[global]", "cert = /pip/ca.crt", *(f"{name} = {value}" for name, value in settings.items()), ""])


def _mark(file: Path) -> str:
    """What changes with a file: a folder of the cache is named by a hash of what is in it."""
    if file.is_relative_to(cache_folder()):
        return file.parent.name
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _find(file: str, digest: str, script: str, binds: dict[Path, str]) -> Path:
    target = cache_folder() / f"node-image-{digest[:16]}" / file
    if target.exists():
        return target
    system = find_system(NODE)
    with machine_lock():
        if not target.exists():
            print(f"realnode: building {file}", flush=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            _build(system, script, binds, target)
            forget(file)
    return target


def forget(file: str) -> None:
    """Remove all but the last few archives of this name: each change of the program makes one of 250 MB."""
    for old in sorted(cache_folder().glob(f"node-image-*/{file}"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old.parent)


def _build(system: Path, script: str, binds: dict[Path, str], target: Path) -> None:
    work = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        work_folders(work)
        for name in ("out", "storage", "pip"):
            (work / name).mkdir()
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        )
        (work / "pip" / "pip.conf").write_text(pip_configuration(listed.stdout))
        shutil.copyfile(_authorities(), work / "pip" / "ca.crt")
        seen = {
            work / "out": "out",
            work / "storage": "var/lib/containers",
            work / "pip": "pip",
            Path("/etc/resolv.conf"): "etc/resolv.conf",
            Path("/etc/hosts"): "etc/hosts",
        }
        prepared = mounts(system, work, {**seen, **binds}, apart=False)
        inside = f"exec chroot {shlex.quote(str(work / 'root'))} sh -c {shlex.quote(_BUILD + script)}"
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        done = subprocess.run(
            [*apart, "sh", "-c", prepared + inside], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        if done.returncode != 0:
            raise LocalMeshError(f"building {target.name}: {(done.stdout + done.stderr).strip()[-3000:]}")
        (work / "out" / target.name).rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _limits() -> str:
    """Options of buildah for the limits as they are: it would raise these two, which needs CAP_SYS_RESOURCE."""
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    return " ".join(f"--ulimit {name}={':'.join(map(str, resource.getrlimit(one)))}" for name, one in limits.items())


def _authorities() -> Path:
    """The CAs that this machine's pip believes."""
    found = [os.environ.get("PIP_CERT"), ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"]
    for one in found:
        if one and Path(one).is_file():
            return Path(one)
    raise NotHere("no file with the CAs that pip believes: set PIP_CERT")
