"""Ends a test's namespace at once: its few objects by name of kind, where the controller manager asks for every kind that there is.

That is some two hundred requests for each of a thousand namespaces, a tenth of what all tests take. What is there is read from
etcd, in one range of keys; what is not gone then (a finalizer, a kind that is not known here) is the controller manager's to do,
which begins five seconds after the deletion. Synchronous.
"""

import contextlib
import re
from collections.abc import Iterable

from tests.localmesh.api import Api, Refused
from tests.localmesh.servers import EtcdServer

# Of Kubernetes' own kinds: how the key of an object begins, and the path of its kind.
_OWN = {
    "configmaps": ("api/v1", "configmaps"),
    "deployments": ("apis/apps/v1", "deployments"),
    "endpointslices": ("apis/discovery.k8s.io/v1", "endpointslices"),
    "events": ("api/v1", "events"),
    "ingress": ("apis/networking.k8s.io/v1", "ingresses"),
    "leases": ("apis/coordination.k8s.io/v1", "leases"),
    "pods": ("api/v1", "pods"),
    "rolebindings": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "roles": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "secrets": ("api/v1", "secrets"),
    "serviceaccounts": ("api/v1", "serviceaccounts"),
    "services/endpoints": ("api/v1", "endpoints"),
    "services/specs": ("api/v1", "services"),
}
_BEGIN = "/registry/"


def end_namespace(api: Api, etcd: EtcdServer, name: str, versions: dict[str, str]) -> None:
    """Delete a namespace with all that is in it; returns when it is gone, or when the rest is the controller manager's.

    `versions` is kept between calls: the version that is preferred of each group. Raises Refused, OSError, HTTPException.
    """
    namespace = api.call("DELETE", f"/api/v1/namespaces/{name}")  # from now on nothing can be made in it
    # On a busy machine the controller manager begins before this ends: what is refused then is its to do.
    with contextlib.suppress(Refused):
        for kind in sorted(_kinds(etcd.keys(_BEGIN), name)):
            if (path := _path(api, kind, versions)) is not None:
                api.delete(f"/{path[0]}/namespaces/{name}/{path[1]}?gracePeriodSeconds=0")
        if not _kinds(etcd.keys(_BEGIN), name):
            api.put(f"/api/v1/namespaces/{name}/finalize", namespace | {"spec": {"finalizers": []}})


def _kinds(keys: Iterable[str], namespace: str) -> set[str]:
    """How the keys of this namespace's objects begin, without what all of them begin with."""
    inside = re.compile(rf"{_BEGIN}(.+)/{re.escape(namespace)}/[^/]+")
    return {found[1] for key in keys if (found := inside.fullmatch(key))}


def _path(api: Api, kind: str, versions: dict[str, str]) -> tuple[str, str] | None:
    if kind in _OWN:
        return _OWN[kind]
    group, _, plural = kind.partition("/")
    if not plural or "." not in group:
        return None
    if group not in versions:
        versions[group] = api.get(f"/apis/{group}")["preferredVersion"]["groupVersion"]
    return f"apis/{versions[group]}", plural
