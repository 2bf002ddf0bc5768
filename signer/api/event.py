"""The core/v1 Event resource, and the object that an Event is about.

Pure values; safe to share.
"""

from dataclasses import dataclass, field

from signer.api.meta import ObjectMeta
from signer.kube.resource import Resource

EVENTS = Resource("", "v1", "events", "Event", namespaced=True)


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """The object that an Event is about; `namespace` is "" for a cluster-scoped one."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str = field(default="", compare=False)  # a repeat is one also when the object has changed


def named(resource: Resource, namespace: str, name: str, uid: str = "") -> ObjectReference:
    """Refer to an object that may be gone, or was not read."""
    return ObjectReference(resource.api_version, resource.kind, namespace, name, uid)


def reference_to(resource: Resource, metadata: ObjectMeta) -> ObjectReference:
    """Refer to an object of this resource, as it was read."""
    return ObjectReference(
        resource.api_version,
        resource.kind,
        metadata.namespace,
        metadata.name,
        metadata.uid,
        metadata.resource_version,
    )
