"""What happens to Pods in a cluster's life loses no request: each approved one is issued exactly once, while more come in steadily."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.localmesh.errors import LocalMeshError
from tests.realnode.configuration import NODE
from tests.realnode.installation import DEPLOYMENTS, NAMESPACE, Installation, name, ready
from tests.realnode.requesting import Steady


@pytest.fixture
def load(installed: Installation) -> Iterator[Steady]:
    """Requests that come in steadily while the test does something; afterwards all were issued, and once each."""
    installed.settle()
    with installed.steady() as load:
        yield load
        load.go_on()
        installed.settle()
        load.go_on()
        count = load.end()
        print(f"{count.issued} issued, the slowest after {load.longest:.2f} s")
    assert load.lost == []
    assert (count.refused, count.both, count.issued_twice, count.open, count.deleted_open) == (0, 0, 0, 0, 0)
    assert count.issued >= len(load.issued) > 10


def test_a_pod_is_deleted(installed: Installation, load: Steady) -> None:
    """A signer's Pod that goes takes no request with it: the other one answers, and a third takes its place."""
    gone = name(installed.pods("mesh-signer")[0])
    installed.kubectl("delete", "pod", "-n", NAMESPACE, gone)
    load.go_on()
    installed.settle()
    assert gone not in map(name, installed.pods("mesh-signer"))


def test_all_signers_are_deleted(installed: Installation, load: Steady) -> None:
    """With both signers gone at once, requests wait for the next one, and istiod does not give up on any."""
    gone = [name(pod) for pod in installed.pods("mesh-signer")]
    installed.kubectl("delete", "pod", "-n", NAMESPACE, *gone)
    load.go_on()
    installed.settle()
    assert not set(gone) & set(map(name, installed.pods("mesh-signer")))


def test_the_leader_is_killed(installed: Installation, load: Steady) -> None:
    """Where the leading controllers are killed at once, without an end in good order, the others lead and go on making CAs."""
    leader = holder(installed)
    pods = {name(pod): pod for pod in installed.pods("mesh-signer-controllers")}
    installed.node.kill(pods[leader])
    issuers = f"after-{leader[-5:]}"
    installed.node.cluster.apply(json.dumps(a_ca(issuers)))
    load.go_on()
    installed.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=180s", f"certificate/{issuers}")
    installed.settle()
    restarts = {
        name(pod): pod["status"]["containerStatuses"][0]["restartCount"]
        for pod in installed.pods("mesh-signer-controllers")
    }
    assert restarts[leader] == pods[leader]["status"]["containerStatuses"][0]["restartCount"] + 1, "it was killed"
    installed.kubectl("delete", "-n", NAMESPACE, f"certificate/{issuers}", f"secret/{issuers}")
    installed.kubectl("delete", f"clusterissuer/{issuers}")


@pytest.mark.usefixtures("load")
def test_a_rolling_update(installed: Installation) -> None:
    """A rollout of both Deployments replaces every Pod, one that is ready before one that ends."""
    before = {name(pod) for one in DEPLOYMENTS for pod in installed.pods(one)}
    installed.kubectl("rollout", "restart", "-n", NAMESPACE, *(f"deployment/{one}" for one in DEPLOYMENTS))
    installed.settle()
    assert not before & {name(pod) for one in DEPLOYMENTS for pod in installed.pods(one)}


def test_a_drain(installed: Installation, load: Steady) -> None:
    """A drain waits for the last ready Pod of each Deployment, as the budgets say, until there is another node to go to.

    With one node there is none: half of the Pods go, the drain does not end, and the other half goes on signing.
    """
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector=app.kubernetes.io/part-of=mesh-signer")
    try:
        with pytest.raises(LocalMeshError) as refused:
            installed.kubectl("drain", NODE, *flags, "--timeout=20s")
        assert "violate the pod's disruption budget" in str(refused.value)
        held = set(re.findall(r'evicting pods/"(\S+?)"', str(refused.value)))
        load.go_on(10)
        for one in DEPLOYMENTS:
            pods = installed.pods(one)
            assert [pod["spec"].get("nodeName") for pod in pods if ready(pod)] == [NODE], "the budget held one back"
            assert any("nodeName" not in pod["spec"] for pod in pods), "and the other one has been evicted"
            assert held & {name(pod) for pod in pods if ready(pod)}, str(refused.value)
    finally:
        installed.kubectl("uncordon", NODE)


def holder(installed: Installation) -> str:
    """The Pod whose controllers lead, by their Lease."""
    leases = {
        one["metadata"]["name"]: one["spec"].get("holderIdentity", "")
        for one in installed.node.cluster.get("leases", "-n", NAMESPACE)["items"]
    }
    pods = {name(pod) for pod in installed.pods("mesh-signer-controllers")}
    (leader,) = {pod for pod in pods for identity in leases.values() if identity.startswith(pod)}
    return leader


def a_ca(name: str) -> dict[str, object]:
    """A self-signed CA, made by the controllers."""
    reference = {"name": name, "kind": "ClusterIssuer", "group": "cert-manager.io"}
    issuer = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": name},
        "spec": {"selfSigned": {}},
    }
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"isCA": True, "commonName": name, "secretName": name, "issuerRef": reference},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [issuer, certificate]}
