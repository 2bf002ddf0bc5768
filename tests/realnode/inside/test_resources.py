"""What the Pods need is within what the manifests ask a node for, so that a scheduler's promise holds."""

import json
import time
from typing import Any

import pytest

from tests.realnode.configuration import NODE
from tests.realnode.installation import DEPLOYMENTS, NAMESPACE, Installation, name, seconds

_BETWEEN = 20.0
"""Seconds between two looks: a kubelet looks itself every ten seconds or so."""


def used(installed: Installation) -> dict[str, tuple[float, float, float]]:
    """For each Pod of ours: when it was looked at, its CPU time until then, both in seconds, and its memory in bytes."""
    text = installed.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/stats/summary")
    found = {}
    for pod in json.loads(text)["pods"]:
        if pod["podRef"]["namespace"] == NAMESPACE:
            (container,) = pod["containers"]
            cpu, memory = container["cpu"], container["memory"]
            found[pod["podRef"]["name"]] = (
                seconds(cpu["time"]),
                cpu["usageCoreNanoSeconds"] / 1e9,
                float(memory["workingSetBytes"]),
            )
    return found


def requested(pod: Any) -> tuple[float, float]:
    """Cores and bytes that a Pod asks for."""
    (container,) = pod["spec"]["containers"]
    wanted = container["resources"]["requests"]
    assert wanted["cpu"].endswith("m")
    assert wanted["memory"].endswith("Mi")
    return int(wanted["cpu"][:-1]) / 1000, int(wanted["memory"][:-2]) * 2**20


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "signing"])
def test_within_what_is_asked_for(installed: Installation, busy: bool) -> None:
    """Idle and with some requests a second, each Pod needs less CPU time and memory than it asks for."""
    installed.settle()
    with installed.steady() as load:
        if not busy:
            load.end()
        installed.node.wait_for(lambda: len(used(installed)) == 4, "the kubelet's look at the Pods")
        before = used(installed)
        time.sleep(_BETWEEN)
        installed.node.wait_for(
            lambda: all(one[0] > before[pod][0] + _BETWEEN / 2 for pod, one in used(installed).items()), "another look"
        )
        after = used(installed)
        assert load.lost == []
    for pod in (pod for one in DEPLOYMENTS for pod in installed.pods(one)):
        cores, size = requested(pod)
        first, last = before[name(pod)], after[name(pod)]
        spent = (last[1] - first[1]) / (last[0] - first[0])
        print(f"{name(pod)}: {spent:.3f} of {cores} cores, {last[2] / 2**20:.0f} of {size / 2**20:.0f} MiB")
        assert 0 < last[2] < size
        assert spent < cores
