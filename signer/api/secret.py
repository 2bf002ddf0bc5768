"""Secrets: core/v1. Their bytes never show in a repr, so no log line or traceback can carry a key.

Pure.
"""

import msgspec

from signer.api.meta import ObjectMeta
from signer.kube.resource import Resource

SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True)

TLS_TYPE = "kubernetes.io/tls"
TLS_KEY = "tls.key"
TLS_CERT = "tls.crt"
CA_CERT = "ca.crt"


class Secret(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A Secret; `data` is decoded from base64 by reading."""

    metadata: ObjectMeta
    type: str = "Opaque"
    data: dict[str, bytes] = {}
    immutable: bool = False

    def __repr__(self) -> str:
        """Name the Secret and the keys of its data, never a value."""
        meta = self.metadata
        return f"Secret({meta.namespace}/{meta.name}, type={self.type!r}, keys={sorted(self.data)})"
