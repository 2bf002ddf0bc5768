"""Fixtures for tests on the shared cluster: our manifests applied, and our processes under their ServiceAccounts.

The processes live for one module: other modules run controllers of their own on the same cluster.
"""

import secrets
from collections.abc import Callable, Iterator

import pytest

from tests import pki
from tests.integration.hot_path import ASKERS_ROLE, Place
from tests.localmesh import Cluster
from tests.localmesh.install import COMPONENTS, install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs, base and the role for namespaced Issuers, applied as a user would."""
    install(cluster, more=[COMPONENTS / "namespaced-issuers" / "rbac.yaml"])
    cluster.apply(ASKERS_ROLE)
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
