"""`mesh-signer explain podcertificaterequest` says what the signer did, and why."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import pki
from tests.integration.plain_api import Json
from tests.integration.pods.kubelet import Kubelet, answer_of
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


def explain(kubelet: Kubelet, made: Json) -> tuple[int, Any]:
    """Its exit status and its answer."""
    meta = made["metadata"]
    command = [
        sys.executable,
        "-m",
        "signer",
        "explain",
        "podcertificaterequest",
        meta["name"],
        "-n",
        meta["namespace"],
    ]
    config = f"--kubeconfig={kubelet.tenants.place.cluster.kubeconfig()}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, config, "-o", "json"], env=env, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_what_became_of_it(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """What was issued, denied, and what waits are explained so, with the reason that the request, or its Pod's Event, has."""
    tenants = kubelet.tenants
    pod = kubelet.pod(tenants.name("foo"), "web")
    issued = kubelet.create(kubelet.request(pod, tenants.signer("foo")))
    assert kubelet.answered(issued)[0] == "Issued"
    status, found = explain(kubelet, issued)
    assert (status, found["verdict"], found["became"]) == (0, "issue", "Issued")
    assert found["identity"] == pki.spiffe(tenants.name("foo"), "web")

    denied = kubelet.create(kubelet.request(pod, tenants.signer("foo"), pki.key("ed25519")))
    answer = kubelet.answered(denied)[1]
    status, found = explain(kubelet, denied)
    assert (status, found["verdict"]) == (1, "refuse")
    assert [one["code"] for one in found["reasons"]] == [answer["reason"]]

    waits = kubelet.create(kubelet.request(pod, tenants.signer("bar")))
    event = kubelet.told(pod, "TenantMismatch")
    status, found = explain(kubelet, waits)
    assert (status, found["verdict"]) == (1, "wait")
    assert found["reasons"][0]["code"] == event["reason"]
    assert answer_of(kubelet.look(waits)) is None
