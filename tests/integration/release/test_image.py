"""The image's environment, laid out as the Dockerfile does and without a container engine: what is left out, what is in it."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from release.prepare import LICENCES, TRIMMED, licences, site_packages, trim

ROOT = Path(__file__).resolve().parents[3]
LOCKED = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
MEGABYTES = 85
"""Of the finished environment, compiled. The base is 115 more, and the image shall stay below 200."""
COMMANDS = ("convert", "doctor", "edge", "explain", "mesh-config", "run", "tenants")
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: %s}}]
clusters: [{name: it, cluster: {server: "https://127.0.0.1:1"}}]
users:
  - {name: token, user: {token: abc}}
  - {name: none, user: {}}
  - name: plugin
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        interactiveMode: Never
        command: %s
        args: [-c, 'print(''{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}'')']
  - {name: broken, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /nonexistent, interactiveMode: Never}}}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the lock names, out of this one, and the project; nothing compiled."""
    folder = tmp_path_factory.mktemp("image") / "mesh-signer"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / "lib" / version / "site-packages"
    for name in LOCKED:
        if name == "uvloop":  # in the image; where the tests run it may be left out
            continue
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            if source.suffix == ".pyc" or ".." in file.parts or not source.is_file():
                continue
            (target := packages / str(file)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for name in ("signer", "issuers"):
        shutil.copytree(ROOT / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def whole(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same before anything is trimmed."""
    copy = tmp_path_factory.mktemp("whole") / "mesh-signer"
    shutil.copytree(environment, copy, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def finished(environment: Path, whole: Path) -> Path:  # noqa: ARG001 - the copy is made first
    """The environment as the image has it."""
    packages = site_packages(environment)
    assert trim(packages) > 50e6
    licences(packages, environment / LICENCES)
    compiled = [
        str(environment / "bin" / "python"),
        "-m",
        "compileall",
        "-q",
        "-f",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    assert " ".join(compiled[2:]) in (ROOT / "Dockerfile").read_text()
    subprocess.run([*compiled, str(environment / "lib")], check=True)
    return environment


def said(environment: Path, *args: str) -> tuple[int, str]:
    """Status and output of the command in an environment, without its folder's name."""
    command = [str(environment / "bin" / "python"), "-I", "-m", "signer", *args]
    plain = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MESH_SIGNER_LOG_FORMAT": "text"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain, input="", timeout=120)
    text = (done.stdout + done.stderr).replace(str(environment), "")
    return done.returncode, re.sub(r"\d\d:\d\d:\d\d[.\d]*Z?|\d{4}-\d\d-\d\dT", "", text)


def test_size(finished: Path) -> None:
    """With its base the image stays below 200 MB."""
    size = sum(path.stat().st_size for path in finished.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < MEGABYTES * 1e6


def test_what_is_trimmed_is_gone_and_nothing_else(finished: Path, whole: Path) -> None:
    """Every pattern still finds something in the packages as they come, so none is left from an older version of one."""
    before, after = site_packages(whole), site_packages(finished)
    left_out: set[Path] = set()
    for pattern in TRIMMED:
        found = [path for path in before.glob(pattern) if path.name != "__init__.py"]
        assert found, pattern
        left_out |= {path.relative_to(before) for path in found}
    for path in before.rglob("*"):
        name = path.relative_to(before)
        assert (after / name).exists() != bool({name, *name.parents} & left_out), name


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work(finished: Path, whole: Path, command: str) -> None:
    """Each command knows its options in the trimmed environment as in the whole one."""
    assert said(finished, command, "--help") == (0, said(whole, command, "--help")[1])


@pytest.mark.parametrize("user", ["token", "none", "plugin", "broken"])
def test_kubeconfigs_are_read(finished: Path, whole: Path, tmp_path: Path, user: str) -> None:
    """All that the package kubernetes is for still works: each kind of credentials ends as in the whole environment."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG % (user, sys.executable))
    code, text = said(finished, "tenants", f"--kubeconfig={config}")
    assert (code, text) == said(whole, "tenants", f"--kubeconfig={config}")
    assert code == 2
    assert ("exec plugin" in text or "nonexistent" in text) == (user == "broken"), text
    assert "Error:" not in text.replace("ConnectError:", ""), text


def test_every_module_of_ours_can_be_imported(finished: Path) -> None:
    """Nothing that any of our modules imports, at any time, was trimmed."""
    code = (
        "import importlib, pkgutil, sys\n"
        "for root in ('signer', 'issuers'):\n"
        "    for one in pkgutil.walk_packages(importlib.import_module(root).__path__, root + '.'):\n"
        "        if not one.name.endswith('__main__'): importlib.import_module(one.name)\n"
        "import kubernetes.config.kube_config\n"
    )
    subprocess.run([finished / "bin" / "python", "-I", "-c", code], check=True)


def test_compiled_modules_are_never_stale(finished: Path) -> None:
    """Each module is compiled, and taken as it is: no layer's times are compared with anything."""
    sources = list(site_packages(finished).rglob("*.py"))
    for source in sources:
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        if not cached.exists():
            assert "test" in source.parts[-2] or "template" in str(source), source  # not Python, or not of this version
            continue
        assert int.from_bytes(cached.read_bytes()[4:8], "little") == 1, cached  # PEP 552: by hash, unchecked


def test_licences(finished: Path) -> None:
    """Of each package that is in the image there is what its licence is, and the text."""
    folder = finished / LICENCES
    installed = {
        path.name.partition("-")[0].lower().replace("_", "-") for path in site_packages(finished).glob("*.dist-info")
    }
    assert {path.name.lower().replace("_", "-").replace(".", "-") for path in folder.iterdir()} == installed
    for package in folder.iterdir():
        assert len((package / "METADATA").read_text().splitlines()) > 1, package
        assert [path for path in package.iterdir() if path.name != "METADATA"], package
