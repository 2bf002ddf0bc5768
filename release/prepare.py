"""Makes of a virtual environment what the image holds: without what is never imported, with the licences of all in it.

`python prepare.py ENVIRONMENT` runs in the image's first stage, before anything is compiled. It knows the standard library
alone, because that stage has nothing else. Nothing is concurrent.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path

TRIMMED = (
    # The client's second half, for asyncio, with a copy of every model: the API server is spoken to by signer/kube.
    "kubernetes/aio",
    # One class for each group and each kind of the API, loaded by name when somebody asks for one. Reading kubeconfigs
    # asks for none.
    "kubernetes/client/api/*_api.py",
    "kubernetes/client/models/*.py",
    # What only a compiler reads.
    "**/*.pyx",
    "**/*.pxd",
    "**/*.pyi",
    # Tests of packages, with their data.
    "*/tests",
    "*/_internal/tests",
)
"""Patterns below site-packages. `__init__.py` stays, so that what is left of a package can be imported."""
LICENCES = Path("share", "licenses")
"""Below the environment: a folder for each package."""
_NAMES = ("LICEN", "COPYING", "NOTICE", "AUTHORS")


def site_packages(environment: Path) -> Path:
    """Return the folder of an environment's packages."""
    (found,) = environment.glob("lib/python3.*/site-packages")
    return found


def trim(packages: Path) -> int:
    """Remove what TRIMMED names; returns how many bytes that was."""
    size = 0
    for pattern in TRIMMED:
        for path in sorted(packages.glob(pattern)):
            if path.name == "__init__.py":
                continue
            files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
            size += sum(one.stat().st_size for one in files)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return size


def licences(packages: Path, target: Path) -> list[str]:
    """Copy each package's licence files to a folder of its name, or write there what its metadata says; the names."""
    names = []
    for info in sorted(packages.glob("*.dist-info")):
        metadata = HeaderParser().parsestr((info / "METADATA").read_text("utf-8"))
        names.append(str(metadata["Name"]))
        (folder := target / names[-1]).mkdir(parents=True, exist_ok=True)
        said = [metadata["License-Expression"], metadata["License"], *metadata.get_all("Classifier", [])]
        lines = [str(one) for one in said if one and (not str(one).count("::") or str(one).startswith("License"))]
        (folder / "METADATA").write_text("\n".join([f"{names[-1]} {metadata['Version']}", *lines]) + "\n", "utf-8")
        for path in _texts(info):
            shutil.copy(path, folder / "-".join(path.relative_to(info).parts[-2:]).removeprefix("licenses-"))
    return names


def _texts(info: Path) -> Iterator[Path]:
    for path in sorted(info.rglob("*")):
        if path.is_file() and ("licenses" in path.parent.parts or path.name.upper().startswith(_NAMES)):
            yield path


def main(arguments: Sequence[str]) -> int:
    """Trim one environment and collect its licences."""
    environment = Path(arguments[0])
    packages = site_packages(environment)
    size = trim(packages)
    names = licences(packages, environment / LICENCES)
    sys.stdout.write(f"{size / 1e6:.0f} MB trimmed, licences of {len(names)} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
