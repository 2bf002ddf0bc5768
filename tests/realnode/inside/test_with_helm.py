"""The same by Helm: installed by the chart, tested by `helm test`, and removed. Runs last: what was installed before is gone."""

from collections.abc import Iterator

import pytest

from tests.integration.charts.helm import CHART, helm
from tests.realnode.installation import DEPLOYMENTS, MANIFESTS, NAMESPACE, Installation, ready
from tests.realnode.node import Node


@pytest.fixture(scope="module")
def released(node: Node) -> Iterator[Installation]:
    """mesh-signer by the command of docs/install.md, with the image that the node has, in a cluster without it."""
    for folder in ("overlays/istio", "crds", "namespaces"):
        node.cluster.kubectl("delete", "-k", str(MANIFESTS / folder), "--ignore-not-found")
    config = node.cluster.kubeconfig()
    where = ("--namespace", NAMESPACE)
    given = ("--set", "image.repository=docker.io/library/mesh-signer", "--wait", "--timeout=300s")
    helm("install", "mesh-signer", CHART, *where, "--create-namespace", *given, kubeconfig=config)
    installation = Installation(node)
    installation.settle()
    yield installation
    helm("uninstall", "mesh-signer", *where, "--wait", kubeconfig=config)
    assert node.cluster.get("deployments", "-n", NAMESPACE)["items"] == []


def test_ready(released: Installation) -> None:
    """`helm install --wait` ends when all Pods are ready."""
    assert all(ready(pod) for one in DEPLOYMENTS for pod in released.pods(one))


def test_helms_own_test(released: Installation) -> None:
    """`helm test` runs its Pod on the node, which finds both Services, and says that they answer."""
    said = helm("test", "mesh-signer", "--namespace", NAMESPACE, kubeconfig=released.node.cluster.kubeconfig())
    assert "Phase:          Succeeded" in said


def test_it_signs(released: Installation) -> None:
    """Requests of istiod are answered as with kustomize."""
    released.tenant()
    with released.steady() as load:
        load.go_on()
        count = load.end()
    assert (load.lost, count.refused, count.open) == ([], 0, 0)
    assert count.issued == len(load.issued)
