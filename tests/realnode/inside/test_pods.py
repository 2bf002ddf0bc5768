"""The Pods as they are: what they may do on a node, and what the image brings."""

import json
from typing import Any

import pytest

from tests.localmesh.errors import LocalMeshError
from tests.realnode.installation import DEPLOYMENTS, NAMESPACE, Installation, name, ready

_STATUS = "print(open('/proc/1/status').read())"
_WRITE = """
import pathlib
for place in ("/x", "/opt/mesh-signer/x", "/var/x", "/etc/x"):
    try: pathlib.Path(place).touch(); print("written", place)
    except OSError as error: print(error.errno)
pathlib.Path("/tmp/x").touch()
"""
# The header of a compiled module: a magic number, then flags. 1: by a hash, and not compared with the source (PEP 552).
_COMPILED = """
import importlib.util, json, pathlib
found = {}
for source in pathlib.Path("/opt/mesh-signer/lib").rglob("*.py"):
    compiled = pathlib.Path(importlib.util.cache_from_source(str(source)))
    head = compiled.read_bytes()[:8] if compiled.exists() else b""
    good = head == importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    found[good] = found.get(good, 0) + 1
print(json.dumps([found.get(True, 0), found.get(False, 0)]))
"""


@pytest.fixture(params=DEPLOYMENTS)
def pods(installed: Installation, request: pytest.FixtureRequest) -> list[Any]:
    """The Pods of one Deployment."""
    return installed.pods(request.param)


def test_ready_where_restricted_is_enforced(installed: Installation, pods: list[Any]) -> None:
    """Both Deployments run in a namespace that enforces the Pod security standard `restricted`, all replicas ready."""
    labels = installed.node.cluster.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    with pytest.raises(LocalMeshError, match="violates PodSecurity"):
        installed.kubectl("run", "root", "-n", NAMESPACE, "--image=x", "--dry-run=server")
    assert len(pods) == 2
    assert all(map(ready, pods))


def test_no_privileges(installed: Installation, pods: list[Any]) -> None:
    """The process has the user that the manifests name, no capability, no way to a new one, and a filter of system calls."""
    for pod in pods:
        status = dict(line.split(":\t", 1) for line in installed.run(name(pod), _STATUS).splitlines() if ":\t" in line)
        assert status["Uid"].split() == ["65532"] * 4
        assert {int(status[one], 16) for one in ("CapEff", "CapPrm", "CapBnd")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_nothing_can_be_written(installed: Installation, pods: list[Any]) -> None:
    """The root file system is read-only, for whatever a process tries; /tmp is not."""
    for pod in pods:
        assert set(installed.run(name(pod), _WRITE).split()) <= {"13", "30"}


def test_no_stale_bytecode(installed: Installation, pods: list[Any]) -> None:
    """Every module in the image is compiled for its Python and never compiled again: a start costs no time for it."""
    good, bad = json.loads(installed.run(name(pods[0]), _COMPILED))
    assert good > 1000
    assert bad == 0
