"""Writes a release into dist/: `python -m release [--image NAME] [--base IMAGE]`, of the last commit.

Everything is made of an export of that commit and at its time (SOURCE_DATE_EPOCH), so that the same commit gives the same
bytes again. Only the image is not: its base and its engine have a say.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import signer
from release.archive import repack
from release.sbom import sbom

ROOT = Path(__file__).resolve().parents[1]
INSTALL = "# mesh-signer {version}. Apply prerequisites.yaml first. Deleting this deletes no CA, no issuer and no namespace.\n"
PREREQUISITES = (
    "# mesh-signer {version}: its namespaces and definitions, for a cluster without a cert-manager. Never delete these: every CA,\n"
    "# issuer and Certificate goes with them.\n"
)


def make(source: Path, target: Path, *, epoch: int, revision: str, image: str = "", base: str = "") -> list[str]:
    """Write everything of the tree `source` into the empty folder `target`; what could not be made, with the reason.

    `image` is the image's name without a tag, as the manifests shall have it. Raises CalledProcessError.
    """
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C", "TZ": "UTC"}
    version = signer.__version__
    for what in ("sdist", "wheel"):
        call = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
        _run([sys.executable, "-c", call, str(target)], source, environment)
    repack(target / f"mesh_signer-{version}.tar.gz", epoch)
    _run([str(_helm()), "package", "charts/mesh-signer", "--destination", str(target)], source, environment)
    # Beside the sdist both would be called alike but for a letter.
    chart = (target / f"mesh-signer-{version}.tgz").rename(target / f"mesh-signer-chart-{version}.tgz")
    repack(chart, epoch)
    overlays = {
        "prerequisites.yaml": (PREREQUISITES, ("namespaces", "crds")),
        "install.yaml": (INSTALL, ("overlays/istio",)),
    }
    for name, (header, folders) in overlays.items():
        texts = [_run([_kubectl(), "kustomize", f"manifests/{one}"], source, environment) for one in folders]
        text = "---\n".join(texts)
        if image:
            text = text.replace(f"image: mesh-signer:{version}", f"image: {image}:{version}")
        (target / name).write_text(header.format(version=version) + text, "utf-8")
    (target / f"mesh-signer-{version}.cdx.json").write_text(sbom(source, version, environment), "utf-8")
    missing = _image(source, target, revision, epoch, image or "mesh-signer", base)
    files = sorted(path for path in target.iterdir() if path.name != "SHA256SUMS")
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (target / "SHA256SUMS").write_text(sums, "utf-8")
    return missing


def _image(source: Path, target: Path, revision: str, epoch: int, name: str, base: str) -> list[str]:
    """Build the image and save it as an archive; the reason where that cannot be."""
    version = signer.__version__
    given = {"VERSION": version, "REVISION": revision, "SOURCE_DATE_EPOCH": str(epoch)} | (
        {"BASE": base} if base else {}
    )
    arguments = [f"--build-arg={key}={value}" for key, value in given.items()]
    archive, tag = target / f"mesh-signer-{version}-image.tar", f"{name}:{version}"
    if shutil.which("buildah"):
        _run(["buildah", "build", f"--timestamp={epoch}", *arguments, "--tag", tag, "."], source)
        _run(["buildah", "push", tag, f"docker-archive:{archive}:{tag}"], source)
        return []
    if not shutil.which("docker"):
        return ["no image archive: neither buildah nor docker is here"]
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:  # noqa: S607 - from PATH
        return ["no image archive: docker is here, but no daemon answers it (docker info)"]
    _run(["docker", "build", *arguments, "--tag", tag, "."], source)
    _run(["docker", "save", "--output", str(archive), tag], source)
    return []


def _run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    # No names of packages or paths of the user's own: what is made depends on the source alone.
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return done.stdout


def _helm() -> Path | str:
    """Return Helm: of the version that the tests use, built from its Go module where it is not there yet."""
    from tests.localmesh.build import find_program  # noqa: PLC0415 - only whoever makes a release needs it

    return find_program("helm")


def _kubectl() -> str:
    own = Path(sys.executable).with_name("kubectl")
    return str(own) if own.is_file() else "kubectl"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603, S607


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, also without an image where no engine is; 1 where the tree is not the last commit."""
    parser = argparse.ArgumentParser(
        prog="python -m release", description="Write a release of the last commit into dist/."
    )
    parser.add_argument(
        "--image", default="", help="name of the image, without a tag, for install.yaml and the archive"
    )
    parser.add_argument("--base", default="", help="the image's base, best by its digest")
    options = parser.parse_args(arguments)
    if changed := _git("status", "--porcelain"):
        sys.stderr.write(f"release: commit first, a release is of a commit:\n{changed}\n")
        return 1
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary, "source.tar")
        _git("archive", "--format=tar", f"--output={archive}", "HEAD")
        source = Path(temporary, "source")
        with tarfile.open(archive) as exported:
            exported.extractall(source, filter="data")
        epoch, revision = int(_git("log", "-1", "--format=%ct")), _git("rev-parse", "HEAD")
        missing = make(source, target, epoch=epoch, revision=revision, image=options.image, base=options.base)
    sys.stdout.write((target / "SHA256SUMS").read_text("utf-8"))
    for reason in missing:
        sys.stderr.write(f"release: {reason}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
