"""The commands as an operator runs them, in an Istio namespace of each test's own, so that no other test's mesh is seen."""

import json
from collections.abc import Iterator

import pytest
import yaml

from signer.cli import main
from tests.integration.commands.operating import OPERATORS, Result, Run, World, operators_roles
from tests.integration.hot_path import Place
from tests.localmesh import Cluster, istio_install
from tests.localmesh.install import wait_established


@pytest.fixture(scope="module")
def mesh(installed: Cluster) -> Cluster:
    """The cluster with ProxyConfigs."""
    rendered = istio_install.render({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"})
    (crd,) = [one for one in rendered.objects if one["metadata"]["name"] == "proxyconfigs.networking.istio.io"]
    installed.apply(json.dumps(crd))
    wait_established(installed, "proxyconfigs.networking.istio.io")
    return installed


@pytest.fixture
def istio(mesh: Cluster, namespace: str) -> str:
    """An Istio namespace of the test's own, whose ConfigMaps the operator may write."""
    mesh.apply(yaml.safe_dump_all(operators_roles(namespace)))
    return namespace


@pytest.fixture
def run(mesh: Cluster, istio: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as the operator, or as another user."""

    def call(*arguments: str, user: str = "olga", groups: tuple[str, ...] = (OPERATORS,)) -> Result:
        config = mesh.kubeconfig(user, groups)
        status = main([*arguments, f"--kubeconfig={config}", f"--istio-namespace={istio}"])
        return Result(status, *capsys.readouterr())

    return call


@pytest.fixture
def world(place: Place, istio: str) -> Iterator[World]:
    found = World(place, istio)
    yield found
    place.forget()
    found.close()
