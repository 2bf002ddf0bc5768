"""A workload of bar that asks for foo's signer, as anybody in bar can: by an annotation on its Pods."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.realnode.istio import Istio
from tests.realnode.istio_images import sample

THIEF = "thief"
IDENTITY = f"spiffe://cluster.local/ns/bar/sa/{THIEF}"


@pytest.fixture(scope="module")
def thief(task: Istio) -> Iterator[Istio]:
    """Istio's sample curl under another name in bar."""
    documents = [one for one in yaml.safe_load_all(sample("curl").replace("curl\n", f"{THIEF}\n")) if one]
    (deployment,) = [one for one in documents if one["kind"] == "Deployment"]
    deployment["spec"]["template"]["metadata"]["annotations"] = {
        "proxy.istio.io/config": json.dumps({"proxyMetadata": {"ISTIO_META_CERT_SIGNER": "foo"}})
    }
    text = yaml.safe_dump_all(documents)
    task.kubectl("apply", "-n", "bar", "-f", "-", input=text)
    yield task
    task.kubectl("delete", "-n", "bar", "-f", "-", input=text)


def test_told_why(thief: Istio) -> None:
    """The people of bar see on their ProxyConfig who was refused, and why."""

    def found() -> list[Any]:
        events = thief.cluster.get("events", "-n", "bar", "--field-selector=type=Warning")["items"]
        return [one for one in events if IDENTITY in one["message"]]

    events = thief.node.wait_for(found, "an Event in bar")
    assert {one["involvedObject"]["kind"] for one in events} == {"ProxyConfig"}
    assert {one["reason"] for one in events} == {"TenantMismatch"}


def test_explained(thief: Istio) -> None:
    """`mesh-signer explain` says the same to an administrator."""
    asked = ("explain", "--namespace=bar", f"--service-account={THIEF}", "--signer=foo")
    config = f"--kubeconfig={thief.cluster.kubeconfig()}"
    command = [sys.executable, "-m", "signer", *asked, config]
    # What this run is told of its node would be settings of ours.
    env = {key: value for key, value in os.environ.items() if not key.startswith("MESH_SIGNER_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert "REFUSED" in done.stdout, done.stdout + done.stderr
    assert IDENTITY in done.stdout
    assert "TenantMismatch" in done.stdout


def test_not_started(thief: Istio) -> None:
    """Its Pod does not get past its sidecar, which has no certificate; the task's own workloads go on."""
    pod = thief.pod(THIEF, "bar")
    states = {one["name"]: one for one in pod["status"]["initContainerStatuses"]}
    assert "terminated" in states["istio-init"]["state"]
    assert not states["istio-proxy"]["started"]
    assert [one["ready"] for one in pod["status"]["containerStatuses"]] == [False]
    assert thief.page("http://httpbin.foo:8000/html")
