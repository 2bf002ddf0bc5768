"""The overlay for a cluster with a real cert-manager: it applies, its signer works, and it leaves cert-manager's alone."""

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests import pki
from tests.integration import certmanager_crds
from tests.integration.hot_path import Place
from tests.integration.plain_api import Api, Refused
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.install import BESIDE, OWN_CRDS, install, wait_established
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def beside(private_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A cluster with cert-manager's CRDs and namespace and Istio's, then our own CRDs and the overlay, twice as for an upgrade."""
    cluster = private_cluster()
    for name in ("cert-manager", "istio-system"):
        cluster.create_namespace(name)
    cluster.apply(yaml.safe_dump_all(certmanager_crds.definitions().values()))
    for _ in range(2):
        install(cluster, BESIDE, crds=OWN_CRDS)
    wait_established(cluster)
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


@contextlib.contextmanager
def cert_manager(cluster: LocalCluster) -> Iterator[None]:
    """A cert-manager's leader election, as far as others see it: a Lease in kube-system, from the start, that is renewed."""
    ended = threading.Event()
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cert-manager-controller"
    spec = {"holderIdentity": "cert-manager-external-cert-manager-controller", "leaseDurationSeconds": 15}

    meta = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": path.rsplit("/", maxsplit=1)[-1]},
    }
    api = Api(kubeconfig.read(cluster.kubeconfig()))

    def renew() -> None:
        number = 0
        while not ended.wait(0.5):
            number += 1
            api.apply(path, meta | {"spec": spec | {"leaseTransitions": number}})
        api.close()

    api.apply(path, meta | {"spec": spec})
    thread = threading.Thread(target=renew, name="cert-manager")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_cert_manager_that_works(private_cluster: Callable[..., LocalCluster]) -> None:
    """Where a cert-manager renews its Lease our controllers leave Certificates alone, though the definitions are ours; not for good."""
    cluster = private_cluster()
    install(cluster)
    place = Place.of(cluster)
    place.ca_issuer("own", pki.CA("own"), "default")
    path = "/apis/cert-manager.io/v1/namespaces/default/certificates"
    spec = {"secretName": "a", "dnsNames": ["a.example.com"], "issuerRef": {"name": "own"}}
    meta = {"name": "a", "namespace": "default"}
    place.api.post(path, {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": meta, "spec": spec})
    options = ("--controllers=issuers,certificates,certificaterequests", "--leader-elect=false")
    process = SignerProcess(cluster, *options, account=CONTROLLERS_ACCOUNT)
    try:
        with cert_manager(cluster):
            process.start()
            place.until("a word about the cert-manager", lambda: "a cert-manager is at work" in process.log)
            assert "kube-system/cert-manager-controller, held by cert-manager-external" in process.log
            assert "conditions" not in place.api.get(f"{path}/a").get("status", {})
        # It went without a word: what it held runs out, and nobody else works then.
        place.until("the Certificate's status", lambda: place.api.get(f"{path}/a").get("status", {}).get("conditions"))
    finally:
        process.stop()
        place.api.close()
