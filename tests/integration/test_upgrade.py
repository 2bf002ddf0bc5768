"""From earlier states of this project to today's and back: what they stored is taken over, nothing is issued anew, nothing is lost.

No version is released yet, so that these are commits: their own program, manifests and chart, out of the repository's history. In a clone
without that history the tests are skipped, and say so.
"""

import json
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import pytest

from tests import pki
from tests.integration.charts.helm import CHART, helm
from tests.integration.hot_path import ASKERS, PATIENCE, Place
from tests.integration.tenants import Tenants, define_proxy_configs
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.install import ISTIO, install, wait_established
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
# Before SignerRecords and the chart; with both.
FIRST = "29439425e94a88f90c20cbc75336bc4e63ae90bf"
WITH_CHART = "1361342b36d302125121ef35d5c9b8ec6ed320e2"
SLOW = "--controllers=issuers,certificates,certificaterequests"
Json = dict[str, Any]


def earlier(commit: str, folder: Path) -> Path:
    """A commit's program, manifests and chart in a folder; skips where the history does not have it."""
    parts = [one for one in ("issuers", "signer", "manifests", "charts") if known(commit, one)]
    if not parts:
        pytest.skip(f"this clone's history has no commit {commit[:7]}: git fetch --unshallow")
    done = subprocess.run(["git", "archive", commit, *parts], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def known(commit: str, path: str) -> bool:
    """Whether the history has a path of a commit."""
    command = ["git", "cat-file", "-e", f"{commit}:{path}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def process(cluster: Cluster, *options: str, source: Path = ROOT, **more: Any) -> SignerProcess:
    """A process of the program in `source`, and of no other that Python would find."""
    env = {"PYTHONPATH": str(source), "PYTHONSAFEPATH": "1"}
    return SignerProcess(cluster, *options, env=env, tenancy="enforce", **more)


@pytest.fixture
def place(private_cluster: Callable[..., LocalCluster]) -> Iterator[Place]:
    """A cluster of the test's own, in which requests are made in others' names."""
    cluster = private_cluster()
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": ASKERS}}
    asks = {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create"]}
    group = {"apiGroup": "rbac.authorization.k8s.io", "name": ASKERS}
    cluster.apply(json.dumps(kind | {"kind": "ClusterRole", "rules": [asks]}))
    binding = {"roleRef": group | {"kind": "ClusterRole"}, "subjects": [group | {"kind": "Group"}]}
    cluster.apply(json.dumps(kind | {"kind": "ClusterRoleBinding"} | binding))
    found = Place.of(cluster)
    yield found
    found.api.close()


def certificate(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"secretName": name, "issuerRef": {"name": "plain", "kind": "ClusterIssuer"}} | spec,
    }


CERTIFICATES = (
    certificate("rsa", dnsNames=["rsa.internal"]),
    certificate("ca", isCA=True, commonName="below", privateKey={"algorithm": "ECDSA"}),
    certificate("labelled", dnsNames=["l.internal"], secretTemplate={"labels": {"a": "b"}, "annotations": {"c": "d"}}),
    certificate("usages", uris=["spiffe://x/y"], usages=["client auth", "digital signature"], duration="48h"),
)


def ready(cluster: Cluster) -> bool:
    """Each Certificate says Ready of its present spec."""
    found = cluster.get("certificates", "-n", "default")["items"]
    conditions = [
        one for each in found for one in each.get("status", {}).get("conditions", []) if one["type"] == "Ready"
    ]
    return [one["status"] for one in conditions] == ["True"] * len(CERTIFICATES)


def stored(cluster: Cluster) -> Json:
    """All that an issuance, or a change of owners, would show in."""
    secrets = {
        one["metadata"]["name"]: cluster.get("secret", one["metadata"]["name"], "-n", "default")["data"]
        for one in CERTIFICATES
    }
    revisions = {
        one["metadata"]["name"]: one["status"]["revision"]
        for one in cluster.get("certificates", "-n", "default")["items"]
    }
    requests = sorted(one["metadata"]["uid"] for one in cluster.get("certificaterequests", "-n", "default")["items"])
    owners = {one["metadata"]["uid"]: one["spec"] for one in cluster.get("signerbindings")["items"]}
    return {"secrets": secrets, "revisions": revisions, "requests": requests, "owners": owners}


def looked_at(cluster: Cluster, controllers: SignerProcess, mark: str) -> None:
    """Wait until a process has worked on the Certificates: it carries a label of a secretTemplate into the Secret."""
    patch = json.dumps({"spec": {"secretTemplate": {"labels": {"seen-by": mark}}}})
    cluster.kubectl("patch", "certificate", "labelled", "-n", "default", "--type=merge", "-p", patch)

    def carried() -> bool:
        controllers.check()
        labels = cluster.get("secret", "labelled", "-n", "default")["metadata"].get("labels", {})
        return bool(labels.get("seen-by") == mark)

    cluster.wait_for(carried, f"the label {mark} on the Secret", 60)
    cluster.wait_for(lambda: ready(cluster), "all Certificates Ready", 60)


@pytest.mark.parametrize("commit", [FIRST, WITH_CHART], ids=["first", "with the chart"])
def test_there_and_back(place: Place, tmp_path: Path, commit: str) -> None:
    """Certificates, owners and requests of an earlier state go on under today's program and manifests, and back under the earlier."""
    source, cluster = earlier(commit, tmp_path), place.cluster
    manifests = source / "manifests"

    def earliers(crds: bool = True) -> None:
        if (manifests / "namespaces").is_dir():
            cluster.kubectl("apply", "-k", manifests / "namespaces")
        if crds:
            cluster.kubectl("apply", "-k", manifests / "crds")
            wait_established(cluster)
        cluster.kubectl("apply", "-k", manifests / "overlays" / "istio")

    earliers()
    define_proxy_configs(cluster)
    tenants = Tenants(place)
    tenants.add("foo", "bar")
    place.ca_issuer("plain", pki.CA("plain"))
    for one in CERTIFICATES:
        cluster.apply(json.dumps(one))
    old = {"source": source}
    with process(cluster, "--controllers=csr", **old), process(cluster, SLOW, account=CONTROLLERS_ACCOUNT, **old):
        for tenant in ("foo", "bar"):
            assert place.issued(tenants.ask(tenant)).signed_by(tenants.cas[tenant])
        cluster.wait_for(lambda: ready(cluster), "what the earlier one issues", 60)
    before = stored(cluster)
    assert len(before["owners"]) == 2
    waiting = tenants.ask("foo", account="meanwhile")  # nobody runs

    install(cluster, ISTIO)
    with process(cluster, "--controllers=csr"), process(cluster, SLOW, account=CONTROLLERS_ACCOUNT) as controllers:
        assert place.issued(waiting).signed_by(tenants.cas["foo"])
        assert place.answered(tenants.ask("bar", "foo")).failed[0]
        looked_at(cluster, controllers, "today")
        assert stored(cluster) == before
    waiting = tenants.ask("bar", account="meanwhile")

    earliers(crds=False)  # as docs/operations.md has it: today's definitions may stay
    with (
        process(cluster, "--controllers=csr", **old),
        process(cluster, SLOW, account=CONTROLLERS_ACCOUNT, **old) as controllers,
    ):
        assert place.issued(waiting).signed_by(tenants.cas["bar"])
        assert place.answered(tenants.ask("foo", "bar")).failed[0]
        looked_at(cluster, controllers, "earlier")
        assert stored(cluster) == before


class Asking(threading.Thread):
    """Makes and approves a request every tenth of a second, until it is told to stop."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(name="asking")
        self._place = Place.of(cluster)
        self._ended = threading.Event()
        self.names: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.names.append(self._place.ask("plain"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._place.api.close()


def test_helm_upgrade_and_rollback(place: Place, tmp_path: Path) -> None:
    """While requests come in, `helm upgrade` from an earlier chart and `helm rollback`, with a rollout each, lose and double none."""
    source, cluster = earlier(WITH_CHART, tmp_path / "earlier"), place.cluster
    chart = source / "charts" / "mesh-signer"
    where = ("--namespace", "cert-manager")

    def run(*args: str | Path) -> str:
        return helm(*args, *where, kubeconfig=cluster.kubeconfig())

    run("install", "mesh-signer", chart, "--create-namespace")
    wait_established(cluster)
    define_proxy_configs(cluster)
    place.ca_issuer("plain", pki.CA("plain"))
    for one in CERTIFICATES:
        cluster.apply(json.dumps(one))

    def rollout(*former: SignerProcess, source: Path = ROOT) -> tuple[SignerProcess, ...]:
        """As a Deployment does it: the new one is ready before the old one ends."""
        new = (
            process(cluster, "--controllers=csr", source=source),
            process(cluster, SLOW, source=source, account=CONTROLLERS_ACCOUNT),
        )
        for one in new:
            one.start()
        for one in former:
            one.stop()
        return new

    running = rollout(source=source)
    cluster.wait_for(lambda: ready(cluster), "what the earlier one issues", 60)
    before = stored(cluster)
    every = [running]
    with Asking(cluster) as asking:
        cluster.wait_for(lambda: len(asking.names) > 5, "requests", 60)
        run("upgrade", "mesh-signer", CHART)
        every.append(running := rollout(*running))
        looked_at(cluster, running[1], "today")
        assert stored(cluster) == before
        run("rollback", "mesh-signer", "1")
        every.append(running := rollout(*running, source=source))
        looked_at(cluster, running[1], "earlier")
        assert stored(cluster) == before
    for name in asking.names:
        assert place.answered(name, PATIENCE).chain, name
    for each in running:
        each.stop()
    lines = [line for signer, _ in every for line in signer.audit() if line.get("outcome") == "stored"]
    uids = [line["uid"] for line in lines]
    assert len(asking.names) > 20
    assert sorted(uids) == sorted(place.look(name)["metadata"]["uid"] for name in asking.names)
    assert all(any(line["uid"] in uids for line in signer.audit()) for signer, _ in every), (
        "each of the three answered some"
    )
