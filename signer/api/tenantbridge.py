"""TenantBridges of mesh-signer.dev/v1alpha1: the server's tenant says, in its own namespace, who may come, and how long.

Pure: reading never fails; what cannot be read is told in `problem`. signer/bridges/read.py says what one means.
"""

import msgspec

from signer.api.meta import Condition
from signer.api.parts import HasStatus
from signer.api.signerpolicy import MESH_GROUP
from signer.kube.resource import Resource

TENANT_BRIDGES = Resource(MESH_GROUP, "v1alpha1", "tenantbridges", "TenantBridge", namespaced=True)


class BridgeClient(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.client: the one workload that may come. `match_labels` are those of its Pods, all of which must be there."""

    namespace: str = ""
    service_account: str = ""
    match_labels: dict[str, str] = {}


class TenantBridgeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written; `lifetime` is a duration, `end_time` RFC 3339 text."""

    client: BridgeClient = msgspec.field(default_factory=BridgeClient)
    hosts: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    lifetime: str | None = None
    end_time: str | None = None


class TenantBridgeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What we write; times are RFC 3339 text.

    The fields behind `conditions` are no information but a record that the bridge rests on: which client namespace it
    was built for, the objects that we made there by uid, and the roots (SHA-256 of their PEM) that ca.crt has.
    """

    conditions: tuple[Condition, ...] = ()
    client_namespace: str = ""
    client_namespace_uid: str = msgspec.field(name="clientNamespaceUID", default="")
    secret_uid: str = msgspec.field(name="secretUID", default="")
    rules: dict[str, str] = {}
    not_after: str | None = None
    root: str = ""
    former_root: str = ""
    former_root_until: str | None = None


class TenantBridge(
    HasStatus[TenantBridgeSpec, TenantBridgeStatus], frozen=True, kw_only=True, rename="camel", dict=True
):
    """A TenantBridge. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = TenantBridgeSpec
    status_type = TenantBridgeStatus
