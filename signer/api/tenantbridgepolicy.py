"""TenantBridgePolicies of mesh-signer.dev/v1alpha1: admins say which tenants may be joined at all, with which clients.

Pure: reading never fails; what cannot be read is told in `problem`. signer/bridges/read.py says what one means.
"""

import msgspec

from signer.api.meta import Condition
from signer.api.parts import HasStatus
from signer.api.signerpolicy import MESH_GROUP, PolicyNamespaces
from signer.kube.resource import Resource

TENANT_BRIDGE_POLICIES = Resource(
    MESH_GROUP, "v1alpha1", "tenantbridgepolicies", "TenantBridgePolicy", namespaced=False
)


class PolicyClient(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of spec.clients: a namespace, and the service accounts in it that may be let in."""

    namespace: str = ""
    service_accounts: tuple[str, ...] = ()


class TenantBridgePolicySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written. `remade`: what becomes of a namespace that was deleted and made again."""

    servers: PolicyNamespaces = msgspec.field(default_factory=PolicyNamespaces)
    clients: tuple[PolicyClient, ...] = ()
    max_lifetime: str | None = None
    allow_wildcard_hosts: bool = False
    trust_domain: str | None = None
    end_time: str | None = None
    remade: str = "Refuse"


class TenantBridgePolicyStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What we write. `namespace_uids` is a record that bridges rest on: which namespace each name was first given to."""

    conditions: tuple[Condition, ...] = ()
    bridges: int | None = None
    namespace_uids: dict[str, str] = msgspec.field(name="namespaceUIDs", default_factory=dict)


class TenantBridgePolicy(
    HasStatus[TenantBridgePolicySpec, TenantBridgePolicyStatus], frozen=True, kw_only=True, rename="camel", dict=True
):
    """A TenantBridgePolicy. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = TenantBridgePolicySpec
    status_type = TenantBridgePolicyStatus
