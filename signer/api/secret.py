"""Secrets: core/v1. Their bytes never show in a repr, so no log line or traceback can carry a key.

Pure.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from signer.api.meta import ObjectMeta
from signer.kube.encoding.codec import LARGEST
from signer.kube.resource import Resource

SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True)

TLS_TYPE = "kubernetes.io/tls"
OPAQUE_TYPE = "Opaque"
TLS_KEY = "tls.key"
TLS_CERT = "tls.crt"
CA_CERT = "ca.crt"
# Of a large Secret: its names and versions; labels and annotations may be the large part of it.
_LONGEST_TYPE = 253
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
# On the Secret that holds the key of a Certificate's issuance that is under way; for a CA that is the CA's key.
NEXT_KEY_LABEL = "cert-manager.io/next-private-key"


class ManagedFields(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of metadata.managedFields: which fields a manager has set."""

    manager: str = ""
    operation: str = ""
    fields_v1: Any = msgspec.field(name="fieldsV1", default=None)


class SecretMeta(ObjectMeta, frozen=True, kw_only=True, rename="camel"):
    """Metadata with the field managers, by which we know the labels and annotations that we set earlier."""

    managed_fields: tuple[ManagedFields, ...] = ()


class Secret(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A Secret; `data` is decoded from base64 by reading. `withheld`: why none of it was read, as it is too large."""

    metadata: SecretMeta
    type: str = "Opaque"
    data: dict[str, bytes] = {}
    withheld: str = ""

    def __repr__(self) -> str:
        """Name the Secret and the keys of its data, never a value."""
        meta = self.metadata
        return f"Secret({meta.namespace}/{meta.name}, type={self.type!r}, keys={sorted(self.data)})"

    @property
    def too_large(self) -> str:
        """Say of one that was withheld what it is, for a sentence about it; "" for any other."""
        return f"is too large to be read: {self.withheld}" if self.withheld else ""

    def managed_by(self, manager: str) -> "Managed":
        """Name what this manager applied (server-side apply)."""
        found = Managed(set(), set(), set())
        for entry in self.metadata.managed_fields:
            if entry.manager == manager and entry.operation == "Apply":
                found.labels.update(_names_below(entry.fields_v1, "f:metadata", "f:labels"))
                found.annotations.update(_names_below(entry.fields_v1, "f:metadata", "f:annotations"))
                found.data.update(_names_below(entry.fields_v1, "f:data"))
        return found

    def appliers(self) -> frozenset[str]:
        """Name all who applied something (server-side apply)."""
        return frozenset(entry.manager for entry in self.metadata.managed_fields if entry.operation == "Apply")

    def written_by(self, manager: str) -> tuple[str, ...]:
        """Name the managers but this one that have set data, each once; where none has, those of labels and annotations.

        The API server orders them by time.
        """
        return (
            self._managers(manager, ("f:data",))
            or self._managers(manager, ("f:metadata", "f:labels"))
            or self._managers(manager, ("f:metadata", "f:annotations"))
        )

    def _managers(self, but: str, path: tuple[str, ...]) -> tuple[str, ...]:
        found = (one.manager for one in self.metadata.managed_fields if _names_below(one.fields_v1, *path))
        return tuple(dict.fromkeys(name for name in found if name and name != but))


def read_secret(obj: Mapping[str, Any]) -> Secret:
    """Read a Secret that was asked for live, with the bound of those that are watched. Raises msgspec.ValidationError.

    Anybody may have written a mebibyte into one, and any number of objects may name it: of a larger one than a watch takes
    the metadata is read, without who wrote what, and why the rest is not.
    """
    size = len(msgspec.json.encode(obj))
    if size <= LARGEST:
        return msgspec.structs.replace(msgspec.convert(obj, Secret), withheld="")
    meta = {name: obj["metadata"].get(name) for name in _KEPT if obj["metadata"].get(name)}
    withheld = f"it has {size} bytes, and at most {LARGEST} are read"
    return msgspec.convert(
        {"metadata": meta, "type": (obj.get("type") or "")[:_LONGEST_TYPE], "withheld": withheld}, Secret
    )


class Managed(NamedTuple):
    """Names of what somebody has set in a Secret."""

    labels: set[str]
    annotations: set[str]
    data: set[str]


def _names_below(fields: Any, *path: str) -> set[str]:
    for step in path:
        fields = fields.get(step) if isinstance(fields, dict) else None
    return {name[2:] for name in fields if name.startswith("f:")} if isinstance(fields, dict) else set()
