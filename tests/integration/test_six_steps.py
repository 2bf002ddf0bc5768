"""The six steps of docs/install.md, from the source to a certificate: these very commands, on a real API server.

Two steps need what is not here. The source is copied rather than cloned, since there is no place to clone from; the image is not built,
since nothing runs it: where step 3 has made the Deployments, what they would run is started as processes, by their arguments and under
their accounts.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.release.test_release import export
from tests.localmesh import LocalCluster
from tests.localmesh.build import find_program
from tests.localmesh.install import wait_established
from tests.localmesh.processes import free_port
from tests.localmesh.signer import SignerProcess
from tests.localmesh.toolchain import find_kubectl
from tests.unit.docs.test_install import six_steps

pytestmark = pytest.mark.integration

# Of the containers' arguments those that name ports: of a Pod's own, not of this machine's.
_PLACES = ("--bind=", "--http01-solver-bind=")


@pytest.fixture
def shell(private_cluster: Callable[..., LocalCluster], tmp_path: Path) -> tuple[LocalCluster, Callable[[str], str]]:
    """A cluster, and what runs a block of the page in the source's folder, as a person would who is its administrator."""
    cluster = private_cluster()
    source, programs = export(tmp_path / "mesh-signer"), tmp_path / "bin"
    programs.mkdir()
    (programs / "helm").symlink_to(find_program("helm"))
    (programs / "kubectl").symlink_to(find_kubectl())
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig()),
        **dict.fromkeys(("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), str(tmp_path / "helm")),
    }

    def run(block: str) -> str:
        command = ["bash", "-euo", "pipefail", "-c", block.replace("YOUR-REGISTRY", "registry.example.com")]
        done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    return cluster, run


def as_deployed(cluster: LocalCluster, name: str) -> SignerProcess:
    """What a Deployment runs, as a process under its ServiceAccount."""
    pod = cluster.get("deployment", name, "-n", "cert-manager")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    run, *options = (one.replace("$(POD_NAMESPACE)", "cert-manager") for one in container["args"])
    assert run == "run"
    kept = [one for one in options if not one.startswith(_PLACES)]
    solver = f"--http01-solver-bind=127.0.0.1:{free_port()}"
    return SignerProcess(cluster, *kept, solver, account=pod["serviceAccountName"], tenancy="enforce")


def test_six_steps(shell: tuple[LocalCluster, Callable[[str], str]]) -> None:
    """Who knows nothing but the page has a certificate after its six steps."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here, which looks at the certificate in the last step")
    cluster, run = shell
    clone, image, *steps = six_steps()
    assert "git clone" in clone
    assert "docker build" in image
    install, issuer, request, look = steps
    run(install)
    wait_established(cluster)
    with as_deployed(cluster, "mesh-signer"), as_deployed(cluster, "mesh-signer-controllers"):
        run(issuer)
        assert "approved" in run(request)
        said = run(look)
    assert "issuer=CN = first" in said or "issuer=CN=first" in said
    assert "DNS:hello.example.internal" in said
