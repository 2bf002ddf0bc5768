"""Cert-manager's CRDs, ours, and a cluster that serves ours."""

import pytest
import yaml

from tests.integration import certmanager_crds as peer
from tests.integration.crds.objects import FOLDER, create, request
from tests.localmesh import Cluster, LocalMeshError
from tests.localmesh.install import install_crds


@pytest.fixture(scope="module")
def theirs() -> dict[str, peer.Schema]:
    return peer.definitions()


@pytest.fixture(scope="module")
def ours() -> dict[str, peer.Schema]:
    read = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("cert-manager.io_*.yaml"))]
    return {crd["spec"]["names"]["kind"]: crd for crd in read}


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs and their admission policies in force."""
    install_crds(cluster)

    def refused() -> bool:  # policies take effect a moment after they are stored
        forged = request("forged") | {"metadata": {"name": "forged", "namespace": "default"}}
        forged["spec"]["username"] = "somebody else"
        try:
            create(cluster, forged, "--dry-run=server")
        except LocalMeshError as error:
            return "spec.username is the requester's own name" in str(error)
        return False

    cluster.wait_for(refused, "the admission policy for CertificateRequests")
    return cluster
