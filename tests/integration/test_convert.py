"""What `mesh-signer convert` makes of old manifests is taken by the real API server, with our CRDs and Istio's."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.localmesh import Cluster, LocalMeshError
from tests.localmesh.install import wait_established
from tests.localmesh.toolchain import find_go, go_environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "unit" / "convert" / "manifests"
GO_TOOLS = ROOT / "tests" / "localmesh" / "gotools" / "istio"
ISTIO_KINDS = ("gateways.networking.istio.io", "virtualservices.networking.istio.io")


def csr() -> str:
    """A request in the place of the one that the guide leaves out."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def converted(name: str) -> tuple[str, str]:
    """What the command makes of one of the old files: stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "signer", "convert"],
        input=(OLD / name).read_text("utf-8").replace("@CSR@", csr()),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def served(installed: Cluster) -> Iterator[Cluster]:
    """The cluster with our CRDs and Istio's own Gateway and VirtualService; what was not there before is removed."""
    folder = subprocess.run(
        [find_go((1, 21)), "list", "-m", "-f", "{{.Dir}}", "istio.io/istio"],
        cwd=GO_TOOLS,
        env=go_environment() | {"GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout.strip()
    text = Path(folder, "manifests", "charts", "base", "files", "crd-all.gen.yaml").read_text("utf-8")
    wanted = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one["metadata"]["name"] in ISTIO_KINDS]
    assert len(wanted) == len(ISTIO_KINDS)
    there = installed.kubectl("get", "crd", "-o", "name")
    added = [f"crd/{name}" for name in ISTIO_KINDS if f"/{name}" not in there]
    installed.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(wanted))
    wait_established(installed, *ISTIO_KINDS)
    for namespace in ("istio-system", "apps"):
        installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(namespace_object(namespace)))
    yield installed
    if added:
        installed.kubectl("delete", *added, "--wait=false")


def namespace_object(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        (
            "istio-2020.yaml",
            {
                "clusterissuer.cert-manager.io",
                "serviceaccount",
                "service",
                "deployment.apps",
                "gateway.networking.istio.io",
                "virtualservice.networking.istio.io",
                "certificate.cert-manager.io",
            },
        ),
        ("istio-2020-cluster.yaml", {"certificate.cert-manager.io"}),
        (
            "istio-2018.yaml",
            {
                "clusterissuer.cert-manager.io",
                "certificate.cert-manager.io",
                "service",
                "ingress.networking.k8s.io",
                "replicationcontroller",
            },
        ),
        ("request-2019.yaml", {"certificaterequest.cert-manager.io"}),
    ],
)
def test_the_api_server_takes_them(served: Cluster, name: str, kinds: set[str]) -> None:
    """Every object is taken as it is, with fields checked strictly: no unknown field, no wrong value, no old version."""
    out, err = converted(name)
    answer = served.kubectl("apply", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-", input=out)
    assert {line.partition("/")[0] for line in answer.split()} == kinds
    assert len(answer.split()) == len(list(yaml.safe_load_all(out)))
    assert "Warning" not in answer
    assert err == "" or all(line.startswith("mesh-signer convert: ") for line in err.splitlines())


def test_the_old_ones_are_refused(served: Cluster) -> None:
    """Without the conversion the same API server refuses them: the test above shows something."""
    with pytest.raises(LocalMeshError, match="no matches for kind"):
        served.kubectl("apply", "--dry-run=server", "-f", str(OLD / "istio-2018.yaml"))
