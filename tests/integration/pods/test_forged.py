"""Requests that no honest node makes, on a cluster without a single gate before ours: what we look up ourselves is enough.

NodeRestriction is off, and the admission policy is not there: so an attacker is whoever may create requests.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.plain_api import Json
from tests.integration.pods.conftest import COMPONENT, CONTROLLERS
from tests.integration.pods.kubelet import FLAGS, Kubelet, answer_of
from tests.integration.tenants import meshed
from tests.localmesh import LocalCluster
from tests.localmesh.install import install
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

OTHER = "0b0b0b0b-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def open_kubelet() -> Iterator[tuple[Kubelet, SignerProcess]]:
    """A node on a cluster that asks nobody who he is, and the signer under its own rights."""
    with LocalCluster(api_flags=FLAGS[:-1]) as cluster:
        install(cluster, more=[COMPONENT / "rbac.yaml"])
        with meshed(cluster) as tenants:
            tenants.add("foo", "bar")
            with SignerProcess(cluster, CONTROLLERS, tenancy="enforce") as process:
                yield Kubelet.of(tenants), process


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "Issued"),
        ({"podName": "nobody"}, "PodNotFound"),
        ({"podUID": OTHER}, "PodMismatch"),
        ({"serviceAccountName": "other"}, "PodMismatch"),
        ({"nodeName": "other"}, "PodMismatch"),
        ({"serviceAccountUID": OTHER}, "open"),
        ({"nodeUID": OTHER}, "open"),
    ],
)
def test_each_field_is_held_against_what_exists(
    open_kubelet: tuple[Kubelet, SignerProcess], changes: dict[str, Any], outcome: str
) -> None:
    """A request that differs in one field from the Pod that is there gets no certificate; nor an answer where the kubelet is to ask anew."""
    kubelet, _ = open_kubelet
    tenants = kubelet.tenants
    kubelet.account(tenants.name("foo"), "other")
    pod = kubelet.pod(tenants.name("foo"), "web")
    made = ask(kubelet, kubelet.request(pod, tenants.signer("foo"), **changes))
    if outcome == "open":
        assert "uid" in kubelet.told(pod, "PodMismatch")["message"]
        assert answer_of(kubelet.look(made)) is None
        return
    kind, answer = kubelet.answered(made)
    assert (kind, answer["reason"]) == ("Issued" if outcome == "Issued" else "Denied", outcome)


def test_a_pod_of_another_namespace(open_kubelet: tuple[Kubelet, SignerProcess]) -> None:
    """A request in a namespace where the attacker may create some names a Pod of another: there is no such Pod in his."""
    kubelet, _ = open_kubelet
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"))
    body = kubelet.request(pod, tenants.signer("bar"))
    body["metadata"]["namespace"] = tenants.name("bar")
    assert kubelet.answered(ask(kubelet, body))[1]["reason"] == "PodNotFound"


@pytest.mark.parametrize("end", ["deleted", "made again", "Succeeded", "Failed"])
def test_a_pod_that_is_no_more(open_kubelet: tuple[Kubelet, SignerProcess], end: str) -> None:
    """A Pod that has ended, or is another one of the same name, gets no certificate."""
    kubelet, _ = open_kubelet
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"))
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
    if end in {"deleted", "made again"}:
        kubelet.api.delete(f"{path}?gracePeriodSeconds=0")
    if end == "made again":
        fresh = {"name": meta["name"]}
        kubelet.api.post(path.rpartition("/")[0], pod | {"metadata": fresh, "status": {}})
    elif end != "deleted":
        kubelet.api.call("PATCH", f"{path}/status", {"status": {"phase": end}}, kind="application/merge-patch+json")
    kind, answer = kubelet.answered(ask(kubelet, kubelet.request(pod, tenants.signer("foo"))))
    assert kind == "Denied"
    assert answer["reason"] == ("PodMismatch" if end == "made again" else "PodNotFound")


def ask(kubelet: Kubelet, body: Json) -> Json:
    return kubelet.create(body, "attacker", ("system:masters",))
