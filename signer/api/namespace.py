"""Namespaces: core/v1. Which exist, by uid, and the labels that admins guard. Pure."""

import msgspec

from signer.api.meta import ObjectMeta
from signer.kube.resource import Resource

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


class NamespaceObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A namespace; nothing of its spec is of use here. One that is being deleted still exists."""

    metadata: ObjectMeta

    def labels_under(self, prefix: str) -> dict[str, str]:
        """Return the labels whose keys begin with this prefix."""
        return {key: value for key, value in self.metadata.labels.items() if key.startswith(prefix)}
