"""One mesh for many tests: real istiod, pilot-agent and Envoy, the Istio task's tenants, mesh-signer as it is deployed.

Bringing it up takes longer than any test on it, so tests share it and place workloads of their own names.
"""

from collections.abc import Iterator

import pytest

from tests.localmesh.mesh import Mesh, Options, build_everything
from tests.localmesh.workload import Workload


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> None:
    """Every program is there; building one can take minutes the first time, so its progress is shown."""
    if request.config.getoption("--kubeconfig") is not None:
        pytest.skip("the mesh is of processes beside an API server on loopback, which --kubeconfig does not give")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build_everything()


@pytest.fixture(scope="session")
def mesh(built: None) -> Iterator[Mesh]:  # noqa: ARG001 - only to come after it
    """The mesh of this session."""
    with Mesh(Options(tenancy="off")) as made:
        yield made


@pytest.fixture(scope="session")
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
