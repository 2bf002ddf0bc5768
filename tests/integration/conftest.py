"""Fixtures for tests on the shared cluster: our manifests applied, and our processes under their ServiceAccounts.

The processes live for one module: other modules run controllers of their own on the same cluster.
"""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import pki
from tests.integration.hot_path import ASKERS, Place
from tests.localmesh import Cluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

MANIFESTS = Path(__file__).parents[2] / "manifests"

_ASKERS = f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {ASKERS}}}
rules: [{{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {ASKERS}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {ASKERS}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: Group, name: {ASKERS}}}]
"""


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs, base and the role for namespaced Issuers, applied as a user would."""
    cluster.apply_kustomize(MANIFESTS / "crds")
    cluster.apply_kustomize(MANIFESTS / "namespaces")
    cluster.apply_kustomize(MANIFESTS / "base")
    cluster.apply(MANIFESTS / "components" / "namespaced-issuers" / "rbac.yaml")
    cluster.apply(_ASKERS)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/clusterissuers.cert-manager.io")
    return cluster


@pytest.fixture(scope="module")
def signer(installed: Cluster) -> Iterator[SignerProcess]:
    """The signer as its Deployment runs it: only the requests, under its own ServiceAccount."""
    with SignerProcess(installed, "--controllers=csr") as process:
        yield process


@pytest.fixture(scope="module")
def controllers(installed: Cluster) -> Iterator[SignerProcess]:
    """The controllers as their Deployment runs them."""
    options = "--controllers=issuers,certificates,certificaterequests"
    with SignerProcess(installed, options, account=CONTROLLERS_ACCOUNT) as process:
        yield process


@pytest.fixture
def place(installed: Cluster) -> Iterator[Place]:
    """The cluster, and a connection to it; what is made through it is removed afterwards."""
    found = Place.of(installed)
    yield found
    found.forget()
    found.api.close()


@pytest.fixture
def name() -> str:
    """A name that nobody else has."""
    return f"t-{secrets.token_hex(5)}"


@pytest.fixture(scope="session")
def root() -> pki.CA:
    """A self-signed P-256 CA."""
    return pki.CA("hot-path-root")


@pytest.fixture
def ca(place: Place, root: pki.CA) -> str:
    """A ClusterIssuer of its own for the test, with `root`; its name."""
    name = f"ca-{secrets.token_hex(5)}"
    place.ca_issuer(name, root)
    return name


@pytest.fixture
def readable(installed: Cluster, namespace: str) -> Callable[[], str]:
    """Lets the signer read the Secrets of the test's namespace, as the example for namespaced Issuers does."""

    def bind() -> str:
        installed.kubectl(
            "create",
            "rolebinding",
            "mesh-signer-secrets",
            "--clusterrole=mesh-signer-secrets",
            "--serviceaccount=cert-manager:mesh-signer",
            "-n",
            namespace,
        )
        return namespace

    return bind
