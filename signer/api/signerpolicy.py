"""SignerPolicies of mesh-signer.dev/v1alpha1: what admins say about who may have which signer, and within which limits.

Pure: reading never fails; what cannot be read is told in `problem`. signer/tenancy/policies.py says what one means.
"""

from functools import cached_property

import msgspec

from signer.api.meta import Condition
from signer.api.parts import HasStatus
from signer.kube.resource import Resource

MESH_GROUP = "mesh-signer.dev"
SIGNER_POLICIES = Resource(MESH_GROUP, "v1alpha1", "signerpolicies", "SignerPolicy", namespaced=False)


class PolicyNamespaces(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.namespaces: by name, or by labels under mesh-signer.dev/, all of which must be there."""

    names: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}


class SignerNamespaces(PolicyNamespaces, frozen=True, kw_only=True, rename="camel"):
    """spec.namespaces of a SignerPolicy. `remade`: what one has that was deleted and made again, Refuse or Allow."""

    remade: str = "Refuse"


class PolicyCertificateRequests(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.certificateRequests: that they are answered at all, and what holds for them beside the other limits."""

    requesters: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()


class PolicyKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of spec.keys; sizes in bits, both included."""

    algorithm: str = ""
    min_size: int | None = None
    max_size: int | None = None


class PolicyRate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.rate: at most `certificates` in each `per`, a duration."""

    certificates: int = 0
    per: str = "1m"


class SignerPolicySpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec as it is written."""

    signers: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    namespaces: SignerNamespaces | None = None
    service_accounts: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    max_lifetime: str | None = None
    keys: tuple[PolicyKey, ...] = ()
    usages: tuple[str, ...] = ()
    allow_ca: bool = msgspec.field(name="allowCA", default=False)
    append_root: bool = False
    route: str | None = None
    rate: PolicyRate | None = None
    certificate_requests: PolicyCertificateRequests | None = None


class SignerPolicyStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What we write: how many namespaces it covers and the first of them, and what was issued and refused by it, ever.

    `namespace_uids` is no information but a record that grants rest on: which namespace each of spec.namespaces.names
    was first given to.
    """

    conditions: tuple[Condition, ...] = ()
    namespace_count: int | None = None
    namespaces: tuple[str, ...] = ()
    issued: int | None = None
    refused: int | None = None
    namespace_uids: dict[str, str] = msgspec.field(name="namespaceUIDs", default_factory=dict)


class SignerPolicy(
    HasStatus[SignerPolicySpec, SignerPolicyStatus], frozen=True, kw_only=True, rename="camel", dict=True
):
    """A SignerPolicy. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = SignerPolicySpec
    status_type = SignerPolicyStatus

    @cached_property
    def named_signers(self) -> tuple[str, ...]:
        """The texts in spec.signers, whatever else is wrong: a policy that cannot be read still speaks about them."""
        raw = self.raw_spec.get("signers") if isinstance(self.raw_spec, dict) else None
        return tuple(one for one in raw if isinstance(one, str)) if isinstance(raw, list) else ()
