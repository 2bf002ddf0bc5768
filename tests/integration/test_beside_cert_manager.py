"""The overlay for a cluster with a real cert-manager: it applies, its signer works, and it leaves cert-manager's alone."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests import pki
from tests.integration import certmanager_crds
from tests.integration.hot_path import Place
from tests.integration.plain_api import Refused
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAY = MANIFESTS / "overlays" / "beside-cert-manager"


@pytest.fixture
def beside(private_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A cluster with cert-manager's CRDs and namespace and Istio's, then our own CRDs and the overlay, twice as for an upgrade."""
    cluster = private_cluster()
    for name in ("cert-manager", "istio-system"):
        cluster.create_namespace(name)
    cluster.apply(yaml.safe_dump_all(certmanager_crds.definitions().values()))
    for _ in range(2):
        cluster.apply_kustomize(MANIFESTS / "crds" / "mesh-signer")
        cluster.apply_kustomize(OVERLAY)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    return cluster


def test_only_the_requests(beside: LocalCluster) -> None:
    """cert-manager's CRDs and its namespace stay as they are; ours sign, and cert-manager's CSR controllers cannot."""
    for kind, crd in certmanager_crds.definitions().items():
        kept = beside.get("crd", crd["metadata"]["name"])
        assert "mesh-signer.dev/crds" not in kept["metadata"].get("annotations", {}), kind
        assert "app.kubernetes.io/part-of" not in kept["metadata"].get("labels", {}), kind
    namespace = beside.get("namespace", "cert-manager")["metadata"]
    assert set(namespace["labels"]) == {"kubernetes.io/metadata.name"}
    names = {one["metadata"]["name"] for one in beside.get("deployments", "-n", "cert-manager")["items"]}
    assert names == {"mesh-signer"}

    place, ca = Place.of(beside), pki.CA("beside")
    place.ca_issuer("foo", ca)
    with SignerProcess(beside) as signer:  # which controllers it runs, it sees by the CRDs
        issued = place.issue("foo")
        assert issued.signed_by(ca)
        assert "mesh-signer-controllers" not in beside.kubectl("get", "leases", "-n", "cert-manager", "-o", "name")
        assert signer.ready()[0]

    # As cert-manager's ClusterRole cert-manager-controller-certificatesigningrequests has it.
    signers = ["issuers.cert-manager.io/*", "clusterissuers.cert-manager.io/*"]
    group = "certificates.k8s.io"
    rules = [
        {"apiGroups": [group], "resources": ["certificatesigningrequests/status"], "verbs": ["update", "patch"]},
        {"apiGroups": [group], "resources": ["signers"], "resourceNames": signers, "verbs": ["sign"]},
    ]
    meta = {"name": "cert-manager-controller-certificatesigningrequests"}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}
    beside.apply(json.dumps(role))
    account = "system:serviceaccount:cert-manager:cert-manager"
    beside.kubectl(
        *("create", "clusterrolebinding", meta["name"]),
        *(f"--clusterrole={meta['name']}", "--serviceaccount=cert-manager:cert-manager"),
    )
    request = place.look(place.ask("foo"))
    path = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{request['metadata']['name']}/status"
    request["status"]["certificate"] = base64.b64encode(issued.pem).decode()

    def refusal() -> str:
        try:
            place.api.call("PUT", path, request, user=account)
        except Refused as error:
            return error.message
        return "taken"

    beside.wait_for(lambda: "cannot update" not in refusal(), "the role of cert-manager's controller")
    assert "needs the verb sign on signers.mesh-signer.dev clusterissuers.cert-manager.io/foo" in refusal()
    place.api.close()
