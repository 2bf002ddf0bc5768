"""All objects of a cluster, to say what an installation brought and what it left. Synchronous; two seconds for each call."""

import json
from typing import Any

from tests.localmesh import Cluster

# What comes and goes by itself, whoever is installed.
_FLEETING = frozenset(
    {"events", "events.events.k8s.io", "componentstatuses", "endpoints", "endpointslices.discovery.k8s.io"}
)
_NODES_OWN = frozenset({"kube-node-lease", "kube-system"})


def inventory(cluster: Cluster) -> set[tuple[str, str, str]]:
    """(resource, namespace, name) of every object, without what comes and goes by itself."""
    listed = cluster.kubectl("api-resources", "--verbs=list", "--output=name", "--cached=false").split()
    kinds = sorted(set(listed) - _FLEETING)
    every = json.loads(cluster.kubectl("get", ",".join(kinds), "--all-namespaces", "--output=json"))
    names = resources(cluster)
    return {one for item in every["items"] if (one := place(item, names)) is not None}


def resources(cluster: Cluster) -> dict[tuple[str, str], str]:
    """(API group, kind) to the resource's name with its group, as kubectl writes it: `leases.coordination.k8s.io`."""
    found = {}
    for line in cluster.kubectl("api-resources", "--no-headers", "--cached=false").splitlines():
        *before, version, _, kind = line.split()
        group = version.partition("/")[0] if "/" in version else ""
        found[group, kind] = f"{before[0]}.{group}" if group else before[0]
    return found


def place(item: Any, names: dict[tuple[str, str], str]) -> tuple[str, str, str] | None:
    """Where an object is; None for the node's own Leases."""
    metadata = item["metadata"]
    version = item["apiVersion"]
    group = version.partition("/")[0] if "/" in version else ""
    namespace = metadata.get("namespace", "")
    if item["kind"] == "Lease" and namespace in _NODES_OWN:
        return None
    return names[group, item["kind"]], namespace, metadata["name"]
