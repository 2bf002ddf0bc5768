"""What stands around Istio's own files fits them: images under the names that they have, and the task's file for this node."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.localmesh import istio_install
from tests.localmesh.build import MODULE_FILES
from tests.realnode import images, istio, istio_images, programs
from tests.realnode.images import Step
from tests.realnode.suites import INSIDE, SUITES

SAMPLE = """
apiVersion: v1
kind: Service
metadata: {name: httpbin}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin}
spec: {template: {spec: {containers: [{name: httpbin, image: "docker.io/mccutchen/go-httpbin:v2.15.0"}]}}}
---
"""


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str, str]]:
    """What would be built: file, digest and script."""
    made: list[tuple[str, str, str]] = []

    def find(file: str, digest: str, script: str, _: object) -> Path:
        made.append((file, digest, script))
        return Path(file)

    monkeypatch.setattr(images, "_find", find)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return made


def test_a_sample_is_built_under_the_name_that_its_file_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Istio's file is applied as it is, so the image is the one that it names, of the version that we build."""
    monkeypatch.setattr(istio_images, "sample", lambda _: SAMPLE)
    image = istio_images.sample_image("httpbin")
    assert image == "docker.io/mccutchen/go-httpbin:v2.15.0"
    module = (programs.PROGRAMS["go-httpbin"].module / "go.mod").read_text()
    assert re.findall(r"go-httpbin/v2 (v\S+)", module) == [image.rpartition(":")[2]]
    assert {"httpbin.yaml", "curl.yaml"} <= set(MODULE_FILES)


def test_steps(scripts: list[tuple[str, str, str]], tmp_path: Path) -> None:
    """An image stands on an earlier one, and the last one is what is kept; what goes in, or where, changes its name."""
    (base := tmp_path / "base.tar").write_text("x")
    (program := tmp_path / "envoy").write_text("y")
    steps = [Step("base:1", {base: "/"}), Step("proxy:1", {program: "/usr/bin/envoy"}, "--user 1:1", "base:1")]
    images.assembled("proxy.tar", steps)
    file, digest, script = scripts.pop()
    lines = [shlex.split(line) for line in script.splitlines()]
    assert [line[-1] for line in lines if "commit" in line[:2]] == ["base:1", "proxy:1"]
    assert [line[-1] for line in lines if line[0].startswith("image=")] == ["scratch)", "base:1)"]
    assert (file, lines[-1][-1]) == ("proxy.tar", "docker-archive:/out/proxy.tar:proxy:1")
    program.write_text("z")
    images.assembled("proxy.tar", steps)
    assert scripts.pop()[1] != digest


def test_the_tasks_file_is_changed_where_the_node_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the task's file says stays: signers, roots, rights. Added are images, what plain Envoy lacks, and sizes."""
    monkeypatch.setattr(istio_install, "root", lambda _, tenant: f"the root of {tenant}")
    document = istio.fitted(istio_install.task(None))  # type: ignore[arg-type]  # nothing else is asked of the cluster
    shipped = yaml.safe_load((istio_install.EXAMPLE / "istio.yaml").read_text())["spec"]
    made = document["spec"]
    assert made["components"]["pilot"]["k8s"].items() >= shipped["components"]["pilot"]["k8s"].items()
    assert made["values"]["pilot"]["env"].items() >= shipped["values"]["pilot"]["env"].items()
    config = made["meshConfig"]["defaultConfig"]["proxyMetadata"]
    assert config.items() >= shipped["meshConfig"]["defaultConfig"]["proxyMetadata"].items()
    assert [one["pem"] for one in made["meshConfig"]["caCertificates"]] == [
        f"the root of {tenant}" for tenant in istio_install.TENANTS
    ]
    assert f"{made['hub']}/pilot:{made['tag']}" == f"{istio_images.HUB}/pilot:{istio_images.TAG}"


def test_each_set_of_tests_leaves_the_other_out() -> None:
    """`make test-node` needs no Istio, and the other one installs its own mesh-signer, before Istio."""
    plain, with_istio = SUITES["node"].tests, SUITES["istio"].tests
    assert plain == (str(INSIDE), f"--ignore={with_istio[0]}")
    assert Path(with_istio[0]).is_dir()
