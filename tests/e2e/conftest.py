"""One mesh for many tests: real istiod, pilot-agent and Envoy, the Istio task's tenants, mesh-signer as it is deployed.

Bringing it up takes longer than any test on it, so tests share it and place workloads of their own names. It lasts for
the tests of this folder and no longer: other folders measure, and share the machine.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.localmesh.bridges import FILES, OPTION
from tests.localmesh.mesh import Mesh, Options, build_everything
from tests.localmesh.traffic import serials
from tests.localmesh.workload import Workload

# A workload that renews after a twentieth of its certificate's life, and not half of it.
QUICK = {"SECRET_GRACE_PERIOD_RATIO": "0.95", "SECRET_GRACE_PERIOD_RATIO_JITTER": "0.001"}
# The same without a policy's help: 600 s is the least that the API server takes, and it is renewed after 1% of them.
SHORT = {**QUICK, "SECRET_TTL": "600s", "SECRET_GRACE_PERIOD_RATIO": "0.99"}


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> None:
    """Every program is there; building one can take minutes the first time, so its progress is shown."""
    if request.config.getoption("--kubeconfig") is not None:
        pytest.skip("the mesh is of processes beside an API server on loopback, which --kubeconfig does not give")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build_everything()


@pytest.fixture(scope="package")
def mesh(built: None) -> Iterator[Mesh]:  # noqa: ARG001 - only to come after it
    """The mesh of all tests in this folder; it ends with them. Bridges may be built on it, and are by those who ask for one."""
    with Mesh(Options(controllers_options=[OPTION], manifests=FILES[:2])) as made:
        yield made


@pytest.fixture(scope="package")
def task(mesh: Mesh) -> dict[str, Workload]:
    """The workloads of the Istio task, and one more in bar that asks."""
    placed = [
        mesh.place("httpbin", "foo", "foo", server=True),
        mesh.place("curl", "foo", "foo"),
        mesh.place("httpbin", "bar", "bar", server=True),
        mesh.place("curl", "bar", "bar"),
    ]
    mesh.wait_ready(*placed)
    return {str(workload): workload for workload in placed}


def refusals_of(mesh: Mesh, workload: Workload) -> list[dict[str, Any]]:
    """The audit lines that refuse a workload."""
    lines = (line for line in mesh.signer.audit() if line["verdict"] == "refuse")
    return [line for line in lines if line.get("identity") == workload.spiffe_id]


def wait_for_rotations(mesh: Mesh, workloads: Sequence[Workload], rotations: int, timeout: float = 120) -> None:
    """Wait until each of these has had so many new certificates."""
    for _ in range(rotations):
        before = serials(workloads)

        def changed(before: dict[str, int] = before) -> bool:
            return all(before[name] != now for name, now in serials(workloads).items())

        mesh.cluster.wait_for(changed, f"a new certificate for each of {', '.join(before)}", timeout)


def claim(mesh: Mesh, signer: str) -> None:
    """Bar's ProxyConfig names another signer, as its people would write it."""
    patch = f'{{"spec": {{"environmentVariables": {{"ISTIO_META_CERT_SIGNER": "{signer}"}}}}}}'
    mesh.cluster.kubectl("patch", "proxyconfig", "barpc", "-n", "bar", "--type=merge", "--patch", patch)
