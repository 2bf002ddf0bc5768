"""EdgePolicies of mesh-signer.dev/v1alpha1: what admins say about who may have which public host.

Pure: reading never fails; what cannot be read is told in `problem`. signer/edge/hosts/policy.py says what one means.
"""

from functools import cached_property

import msgspec

from signer.api.meta import Condition
from signer.api.parts import HasStatus
from signer.api.signerpolicy import MESH_GROUP, PolicyNamespaces, PolicyRate, SignerNamespaces
from signer.kube.resource import Resource

EDGE_POLICIES = Resource(MESH_GROUP, "v1alpha1", "edgepolicies", "EdgePolicy", namespaced=False)


class EdgeIssuer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of spec.issuers; an Issuer is one of this name in the Gateway's own namespace."""

    kind: str = "ClusterIssuer"
    name: str = ""


class EdgePolicySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written."""

    host_suffixes: tuple[str, ...] = ()
    namespaces: SignerNamespaces | None = None
    routes_from: PolicyNamespaces | None = None
    issuers: tuple[EdgeIssuer, ...] = ()
    max_hosts: int | None = None
    rate: PolicyRate | None = None


class EdgePolicyStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What we write: whether it can be read, and how many hosts are claimed under it.

    `namespace_uids` is a record that grants rest on: which namespace each of spec.namespaces.names was first given to.
    """

    conditions: tuple[Condition, ...] = ()
    hosts: int | None = None
    namespace_uids: dict[str, str] = msgspec.field(name="namespaceUIDs", default_factory=dict)


class EdgePolicy(HasStatus[EdgePolicySpec, EdgePolicyStatus], frozen=True, kw_only=True, rename="camel", dict=True):
    """An EdgePolicy. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = EdgePolicySpec
    status_type = EdgePolicyStatus

    @cached_property
    def named_suffixes(self) -> tuple[str, ...]:
        """The texts in spec.hostSuffixes, whatever else is wrong: an unreadable policy still speaks about them."""
        raw = self.raw_spec.get("hostSuffixes") if isinstance(self.raw_spec, dict) else None
        return tuple(one for one in raw if isinstance(one, str)) if isinstance(raw, list) else ()
