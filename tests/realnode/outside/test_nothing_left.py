"""What is left on the machine when the node is gone: nothing. Runs after the namespaces have ended, outside of them."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from tests.realnode import machine

pytestmark = pytest.mark.skipif("MESH_SIGNER_NODE_LIVED" not in os.environ, reason="runs after a node: make test-node")


@pytest.fixture(scope="module")
def before() -> dict[str, list[str]]:
    """The machine before the node was."""
    found: dict[str, list[str]] = json.loads(os.environ["MESH_SIGNER_NODE_BEFORE"])
    return found


@pytest.fixture(scope="module")
def after() -> dict[str, list[str]]:
    """The machine now."""
    return machine.state()


@pytest.mark.parametrize("kind", ["mounts", "interfaces", "places"])
def test_nothing_new(before: dict[str, list[str]], after: dict[str, list[str]], kind: str) -> None:
    """Nobody who ran `make test-node` finds a mount, an interface or a folder of it on his machine afterwards."""
    assert before["mounts"], "the machine was not looked at"
    assert set(after[kind]) <= set(before[kind])


def test_settings(before: dict[str, list[str]], after: dict[str, list[str]]) -> None:
    """The kernel's settings that a kubelet and a kube-proxy change for a whole machine are as they were."""
    assert after["sysctls"] == before["sysctls"]


def test_no_process() -> None:
    """No process is left in any of the node's namespaces."""
    lived = json.loads(os.environ["MESH_SIGNER_NODE_LIVED"])
    assert set(lived) == {"ipc", "mnt", "net", "pid", "uts"}, "the node has been in namespaces"
    own = machine.own_namespaces()
    assert not [kind for kind in lived if lived[kind] == own[kind]], "of its own"
    assert machine.inhabitants(lived) == []


def test_no_control_group(after: dict[str, list[str]]) -> None:
    """No control group of the node or of its Pods is left, nor one that a container engine makes beside them."""
    name = os.environ["MESH_SIGNER_NODE"]
    assert not [group for group in after["groups"] if group == name or group in {"kubepods", "k8s.io"}]


def test_no_folder() -> None:
    """Nothing of the node is left among the temporary files: no layer of an image, no log, no key."""
    assert not Path(os.environ["MESH_SIGNER_NODE_WORK"]).exists()
    assert not list(Path(tempfile.gettempdir()).glob(f"{os.environ['MESH_SIGNER_NODE']}*"))
