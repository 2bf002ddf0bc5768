"""HostClaims of mesh-signer.dev/v1alpha1: which namespace has a public host. We write them, admins may remove them.

Pure: reading never fails; what cannot be read is told in `problem`. signer/edge/hosts.py says what one means.
"""

from functools import cached_property
from typing import Any

import msgspec

from signer.api.meta import Condition, ObjectMeta, read_part
from signer.api.signerpolicy import MESH_GROUP
from signer.kube.resource import Resource

HOST_CLAIMS = Resource(MESH_GROUP, "v1alpha1", "hostclaims", "HostClaim", namespaced=False)


class HostClaimSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written: the host, and the namespace that has it with the uid that it had."""

    host: str = ""
    namespace: str = ""
    namespace_uid: str = msgspec.field(name="namespaceUID", default="")


class HostClaimStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status; times are RFC 3339 text."""

    conditions: tuple[Condition, ...] = ()
    contenders: tuple[str, ...] = ()
    unused_since: str | None = None


class HostClaim(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """A HostClaim. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    metadata: ObjectMeta
    raw_spec: Any = msgspec.field(name="spec", default=None)
    raw_status: Any = msgspec.field(name="status", default=None)

    @cached_property
    def _spec(self) -> tuple[HostClaimSpec, str]:
        return read_part(self.raw_spec, HostClaimSpec, "spec")

    @property
    def spec(self) -> HostClaimSpec:
        """The spec, empty when there is a `problem`."""
        return self._spec[0]

    @property
    def problem(self) -> str:
        """Why the spec cannot be read, naming the field; "" when it can."""
        return self._spec[1]

    @cached_property
    def status(self) -> HostClaimStatus:
        """The status, empty when it cannot be read: it is ours to write again."""
        return read_part(self.raw_status, HostClaimStatus, "status")[0]
