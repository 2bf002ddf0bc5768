"""SignerBindings of mesh-signer.dev/v1alpha1: which namespace owns a signer. We write them, admins remove them.

Pure: reading never fails; what cannot be read is told in `problem`. signer/tenancy/bindings.py says what one means.
"""

from functools import cached_property
from typing import Any

import msgspec

from signer.api.meta import ObjectMeta, read_part
from signer.api.signerpolicy import MESH_GROUP
from signer.kube.resource import Resource

SIGNER_BINDINGS = Resource(MESH_GROUP, "v1alpha1", "signerbindings", "SignerBinding", namespaced=False)


class SignerBindingSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written: the full signer name, and the owner with the uid that it had."""

    signer_name: str = ""
    namespace: str = ""
    namespace_uid: str = msgspec.field(name="namespaceUID", default="")


class SignerBindingStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status; times are RFC 3339 text."""

    claim_ended_time: str | None = None
    last_issued_time: str | None = None


class SignerBinding(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """A SignerBinding. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    metadata: ObjectMeta
    raw_spec: Any = msgspec.field(name="spec", default=None)
    raw_status: Any = msgspec.field(name="status", default=None)

    @cached_property
    def _spec(self) -> tuple[SignerBindingSpec, str]:
        return read_part(self.raw_spec, SignerBindingSpec, "spec")

    @property
    def spec(self) -> SignerBindingSpec:
        """The spec, empty when there is a `problem`."""
        return self._spec[0]

    @property
    def problem(self) -> str:
        """Why the spec cannot be read, naming the field; "" when it can."""
        return self._spec[1]

    @cached_property
    def status(self) -> SignerBindingStatus:
        """The status, empty when it cannot be read: it is ours to write again."""
        return read_part(self.raw_status, SignerBindingStatus, "status")[0]
