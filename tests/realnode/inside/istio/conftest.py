"""The Istio task on the node: mesh-signer and Istio installed as their docs say, and the tenants' workloads. Tests share it."""

import pytest
import yaml

from tests.localmesh import istio_install
from tests.realnode.installation import Installation
from tests.realnode.istio import Istio
from tests.realnode.node import Node

# The vanilla Envoy cannot tell mTLS from plain text by itself.
_STRICT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": istio_install.NAMESPACE},
    "spec": {"mtls": {"mode": "STRICT"}},
}


@pytest.fixture(scope="session")
def signer(node: Node) -> Installation:
    """mesh-signer from the shipped manifests, before there is any Istio."""
    installation = Installation(node)
    installation.by_kustomize()
    return installation


@pytest.fixture(scope="session")
def istio(signer: Installation) -> Istio:
    """Istio by `istioctl install`."""
    made = Istio(signer.node)
    made.install()
    made.cluster.apply(yaml.safe_dump(_STRICT))
    return made


@pytest.fixture(scope="session")
def task(istio: Istio) -> Istio:
    """The task's tenants, with the workloads that its commands deploy, all ready."""
    istio_install.create_tenants(istio.cluster)
    placed = [("httpbin", "foo"), ("curl", "foo"), ("httpbin", "bar")]
    for which, namespace in placed:
        istio.deploy(which, namespace)
    for which, namespace in placed:
        istio.wait(which, namespace)
    return istio
