"""In which version a cluster serves a resource: found by discovery, not assumed. Pure.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#discovery-api
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from signer.kube.resource import Resource

# Kubernetes' own order of versions: v2, v1, v1beta2, v1beta1, v1alpha1.
_VERSION = re.compile(r"v([1-9][0-9]{0,5})(?:(alpha|beta)([1-9][0-9]{0,5}))?", re.ASCII)
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


def versions_of_discovery(resource: Resource, documents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the versions whose APIResourceList (GET /apis/GROUP/VERSION) has the resource."""
    found = []
    for document in documents:
        group, _, version = str(document.get("groupVersion", "")).partition("/")
        listed = document.get("resources")
        if group != resource.group or not version or not isinstance(listed, list):
            continue
        if any(isinstance(one, Mapping) and one.get("name") == resource.plural for one in listed):
            found.append(version)
    return tuple(found)


def preferred_version(served: Iterable[str]) -> str | None:
    """Pick the version to watch: stable before beta before alpha, newer before older; None when none is served.

    Every served version shows every object, so one is enough. A name that is not a version of Kubernetes' form comes last.
    Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
    """

    def rank(version: str) -> tuple[int, int, int, str]:
        match = _VERSION.fullmatch(version)
        if match is None:
            return (-1, 0, 0, version)
        return (_STABILITY[match[2]], int(match[1]), int(match[3] or 0), version)

    return max(served, key=rank, default=None)
