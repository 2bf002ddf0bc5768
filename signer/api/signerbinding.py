"""SignerBindings of mesh-signer.dev/v1alpha1: which namespace owns a signer. We write them, admins remove them.

Pure: reading never fails; what cannot be read is told in `problem`. signer/tenancy/bindings.py says what one means.
"""

import msgspec

from signer.api.parts import HasStatus
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


class SignerBinding(
    HasStatus[SignerBindingSpec, SignerBindingStatus], frozen=True, kw_only=True, rename="camel", dict=True
):
    """A SignerBinding. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = SignerBindingSpec
    status_type = SignerBindingStatus
