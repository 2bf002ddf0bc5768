"""How the objects of a cluster are told apart."""

from typing import Any

import pytest

from tests.realnode.inventory import place

NAMES = {("", "Secret"): "secrets", ("coordination.k8s.io", "Lease"): "leases.coordination.k8s.io"}


@pytest.mark.parametrize(
    ("version", "kind", "metadata", "expected"),
    [
        ("v1", "Secret", {"name": "a", "namespace": "b"}, ("secrets", "b", "a")),
        ("coordination.k8s.io/v1", "Lease", {"name": "a", "namespace": "b"}, ("leases.coordination.k8s.io", "b", "a")),
        ("coordination.k8s.io/v1", "Lease", {"name": "node", "namespace": "kube-node-lease"}, None),
        ("coordination.k8s.io/v1", "Lease", {"name": "x", "namespace": "kube-system"}, None),
    ],
)
def test_place(version: str, kind: str, metadata: dict[str, Any], expected: tuple[str, str, str] | None) -> None:
    """An object is known by resource, namespace and name; the node's own Leases, which come and go, are none of ours."""
    assert place({"apiVersion": version, "kind": kind, "metadata": metadata}, NAMES) == expected
