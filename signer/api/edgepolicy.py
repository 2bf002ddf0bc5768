"""EdgePolicies of mesh-signer.dev/v1alpha1: what admins say about who may have which public host.

Pure: reading never fails; what cannot be read is told in `problem`. signer/edge/policies.py says what one means.
"""

from functools import cached_property
from typing import Any

import msgspec

from signer.api.meta import Condition, ObjectMeta, read_part
from signer.api.signerpolicy import MESH_GROUP, PolicyNamespaces, PolicyRate
from signer.kube.resource import Resource

EDGE_POLICIES = Resource(MESH_GROUP, "v1alpha1", "edgepolicies", "EdgePolicy", namespaced=False)


class EdgeIssuer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of spec.issuers; an Issuer is one of this name in the Gateway's own namespace."""

    kind: str = "ClusterIssuer"
    name: str = ""


class EdgePolicySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written."""

    host_suffixes: tuple[str, ...] = ()
    namespaces: PolicyNamespaces | None = None
    issuers: tuple[EdgeIssuer, ...] = ()
    max_hosts: int | None = None
    rate: PolicyRate | None = None


class EdgePolicyStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What we write: whether it can be read, and how many hosts are claimed under it."""

    conditions: tuple[Condition, ...] = ()
    hosts: int | None = None


class EdgePolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """An EdgePolicy. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    metadata: ObjectMeta
    raw_spec: Any = msgspec.field(name="spec", default=None)
    raw_status: Any = msgspec.field(name="status", default=None)

    @cached_property
    def _spec(self) -> tuple[EdgePolicySpec, str]:
        return read_part(self.raw_spec, EdgePolicySpec, "spec")

    @property
    def spec(self) -> EdgePolicySpec:
        """The spec, empty when there is a `problem`."""
        return self._spec[0]

    @property
    def problem(self) -> str:
        """Why the spec cannot be read, naming the field; "" when it can."""
        return self._spec[1]

    @cached_property
    def named_suffixes(self) -> tuple[str, ...]:
        """The texts in spec.hostSuffixes, whatever else is wrong: an unreadable policy still speaks about them."""
        raw = self.raw_spec.get("hostSuffixes") if isinstance(self.raw_spec, dict) else None
        return tuple(one for one in raw if isinstance(one, str)) if isinstance(raw, list) else ()

    @cached_property
    def status(self) -> EdgePolicyStatus:
        """The status, empty when it cannot be read: it is ours to write again."""
        return read_part(self.raw_status, EdgePolicyStatus, "status")[0]
