"""May this namespace have certificates of this signer? The order of docs/tenancy.md: the first source that speaks, decides.

Pure, and a few look-ups by key however many tenants there are. What the answer is used for (a request, a table for
people) is the caller's matter.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.api.text import some
from signer.tenancy.verdict import Reason
from signer.tenancy.world import NO_CLAIMS, Binding, Claims, Namespace, Policy, World

# However often an owner renews, after this long without a claim he is one no more.
LONGEST_GRACE = timedelta(days=30)
# A claim is seen, and its owner stored, so soon after the ProxyConfig was made, when both are one event.
_SAME_TIME = timedelta(minutes=1)
NOT_RECORDED = "NamespaceNotRecorded"
"""The code for a namespace whose uid is not in the status of the policy that names it: mesh-signer writes it soon."""
_SHOWN = 5


class Granted(msgspec.Struct, frozen=True):
    """The namespace may have it. `policies` are those that cover it, when SignerPolicies decide; `source` is for people."""

    source: str
    policies: tuple[Policy, ...] = ()


class Claimable(msgspec.Struct, frozen=True):
    """It would be the namespace's if its ownership were stored: `namespace_uid` goes into the SignerBinding."""

    namespace_uid: str


class NotGranted(msgspec.Struct, frozen=True):
    """It may not have it, and why. `waits`: not yet, because what the grant would rest on is not stored so far."""

    reason: Reason
    waits: bool = False


def granted(world: World, namespace: str, signer: IssuerRef, *, now: datetime) -> Granted | Claimable | NotGranted:
    """Tell whether a namespace is granted a signer, by the first of policy, own Issuer, mesh default, claim."""
    exists = world.namespaces.get(namespace)
    if exists is None:
        return _no("NamespaceNotFound", f"namespace {namespace} does not exist")
    if policies := world.policies.get(signer):
        return _by_policy(policies, namespace, exists, signer)
    if signer.kind == "Issuer":
        if signer.namespace == namespace:
            return Granted(f"it is an Issuer of namespace {namespace}")
        return _no("TenantMismatch", f"{signer} is for its own namespace, not for namespace {namespace}")
    claims = world.claims.get(namespace, NO_CLAIMS)
    if signer in world.defaults:
        return _default(world, namespace, signer, claims, now)
    if signer in claims.signers:
        return _claimed(world, namespace, exists, signer, claims, now)
    return _unclaimed(world, namespace, exists, signer, claims, now)


def _no(code: str, message: str) -> NotGranted:
    return NotGranted(Reason(code, message))


def _by_policy(
    policies: tuple[Policy, ...], namespace: str, exists: Namespace, signer: IssuerRef
) -> Granted | NotGranted:
    covering = tuple(policy for policy in policies if policy.covers(namespace, exists))
    if routing := [policy.name for policy in covering if policy.by_identity]:
        return _no(
            "TenantMismatch",
            f"SignerPolicy {routing[0]} routes {signer} by identity: for namespace {namespace} its own CA signs nothing",
        )
    if covering:
        return Granted(f"SignerPolicy {', '.join(policy.name for policy in covering)}", covering)
    if (held := held_back(policies, namespace, exists, signer)) is not None:
        return held
    # Which policies there are, and what is wrong with one, is not for whoever asks: they are other tenants'.
    broken = any(policy.problem for policy in policies)
    why = " (and one of them cannot be read: mesh-signer doctor tells admins which)" if broken else ""
    return _no(
        "TenantMismatch",
        f"{signer} is given out by SignerPolicies, and none of them covers namespace {namespace}{why}",
    )


def held_back(
    policies: Iterable[Policy], namespace: str, exists: Namespace | None, signer: IssuerRef
) -> NotGranted | None:
    """Tell why a namespace that a policy names is not covered by it: it is not recorded yet, or it is another by now."""
    reach = {policy.reach(namespace, exists): policy.name for policy in policies}
    if (name := reach.get("unrecorded")) is not None:
        message = (
            f"SignerPolicy {name} names namespace {namespace}, and its status does not say yet which one that is: "
            "mesh-signer writes it in a moment, and grants nothing before"
        )
        return NotGranted(Reason(NOT_RECORDED, message), waits=True)
    if (name := reach.get("remade")) is not None:
        message = (
            f"SignerPolicy {name} gave {signer} to an earlier namespace {namespace}, which was deleted and made again: "
            f"if it is the same tenant's, an admin runs `mesh-signer tenants readmit {namespace}`, or sets "
            "spec.namespaces.remade: Allow"
        )
        return NotGranted(Reason("NamespaceRemade", message))
    return None


def _default(world: World, namespace: str, signer: IssuerRef, claims: Claims, now: datetime) -> Granted | NotGranted:
    if namespace == world.settings.istio_namespace:
        return Granted(f"the mesh's default signer, in Istio's own namespace {namespace}")
    if claims.whole is None:
        return Granted("the mesh's default signer, and the namespace claims no other")
    if signer in claims.signers:
        return Granted(f"the mesh's default signer, claimed by ProxyConfig {claims.signers[signer].name}")
    # Workloads that were started before the namespace had a claim ask for the default until they restart. Where none
    # was, nobody has a reason to.
    ends = default_grace_ends(world, namespace)
    if ends is not None and now < ends:
        return Granted(
            f"the mesh's default signer, which namespace {namespace} had before its own: in grace until "
            f"{ends:%Y-%m-%dT%H:%M:%SZ}"
        )
    return _no(
        "TenantMismatch", f"{signer} is the mesh's default, and namespace {namespace} has its own: {claims.whole}"
    )


def default_grace_ends(world: World, namespace: str) -> datetime | None:
    """Tell until when a namespace that claims a signer may still have the mesh's default; None: it never had it before."""
    exists, claims = world.namespaces.get(namespace), world.claims.get(namespace, NO_CLAIMS)
    had = world.had_default.get(namespace)
    if claims.whole is None or exists is None or had is None or had.uid != exists.uid:
        return None
    began = claims.since
    owned = _first_owned(world, namespace, exists, claims)
    if owned is not None and (began is None or owned < began or owned > began + _SAME_TIME):
        # A ProxyConfig that was there before may have got its claim later, and one that was deleted and made again is not
        # the first: the owner's record is the beginning.
        began = owned
    own = world.had_own.get(namespace)
    if began is not None and own is not None and own.uid == exists.uid:
        began = min(began, own.first)
    if began is None or had.first >= began:
        return None
    return began + world.settings.grace


def _first_owned(world: World, namespace: str, exists: Namespace, claims: Claims) -> datetime | None:
    """When this namespace first became the owner of a signer that it claims, or of the one of its name; not of the default."""
    signers = {*claims.signers, IssuerRef("ClusterIssuer", "", namespace)} - world.defaults
    if claims.whole is not None:
        signers |= {claims.whole}
    found = [binding for signer in signers if (binding := world.bindings.get(signer)) is not None]
    return min((one.created for one in found if _owns(one, namespace, exists)), default=None)


def _claimed(
    world: World, namespace: str, exists: Namespace, signer: IssuerRef, claims: Claims, now: datetime
) -> Granted | Claimable | NotGranted:
    if signer not in world.signers:
        full = signer_name_of(signer)
        listed = "does not name it"
        if (bare := full.partition("/")[2]) in world.config.bare:
            listed = f"says {bare} without its domain ({full} is needed)"
        return _no(
            "NotAMeshSigner",
            f"{signer} is claimed by namespace {namespace}, but no admin made it a signer of the mesh: "
            f"meshConfig.caCertificates[].certSigners {listed}, nor does a SignerPolicy",
        )
    binding = world.bindings.get(signer)
    if binding is None:
        return _unowned(world, namespace, exists, signer, now)
    if _owns(binding, namespace, exists):
        return Granted(f"SignerBinding {signer.name}, claimed by ProxyConfig {claims.signers[signer].name}")
    if binding.problem:
        return _no("SignerClaimed", f"SignerBinding {signer.name} cannot be read: an admin must repair or remove it")
    if binding.namespace == namespace:
        return _no(
            "SignerClaimed",
            f"{signer} belongs to an earlier namespace {namespace} with uid {binding.namespace_uid}, which is gone; "
            f"an admin may release it (mesh-signer tenants release {signer.name})",
        )
    return _no("SignerClaimed", f"{signer} belongs to another namespace (SignerBinding {signer.name})")


def _unowned(
    world: World, namespace: str, exists: Namespace, signer: IssuerRef, now: datetime
) -> Claimable | NotGranted:
    if (until := world.settling.get(signer)) is not None and now < until:
        return _no(
            "SignerContested",
            f"a SignerPolicy granted {signer} until a moment ago; nobody may claim it before {until:%H:%M:%SZ}, in case "
            "the policy comes back",
        )
    if signer.name == namespace:
        return Claimable(exists.uid)
    if signer.name in world.namespaces:
        return _no("SignerClaimed", f"{signer} belongs to the namespace that has its name")
    others = world.claimants.get(signer, frozenset()) - {namespace}
    if others:
        return _no(
            "SignerContested",
            f"{signer} is claimed by {len(others) + 1} namespaces and belongs to none of them; an admin may give it out "
            "with a SignerPolicy",
        )
    return Claimable(exists.uid)


def _unclaimed(
    world: World, namespace: str, exists: Namespace, signer: IssuerRef, claims: Claims, now: datetime
) -> Granted | NotGranted:
    binding = world.bindings.get(signer)
    if binding is None and signer in world.signers and signer.name == namespace == world.settings.istio_namespace:
        # istiod's own certificate (PILOT_CERT_PROVIDER) where proxyMetadata names no default.
        return Granted(f"it has the name of Istio's own namespace {namespace}")
    if binding is not None and signer in world.signers and _owns(binding, namespace, exists):
        end = grace_ends(binding, world.settings.grace, now=now)
        if now < end:
            return Granted(
                f"SignerBinding {signer.name}: no longer claimed, and in grace until {end:%Y-%m-%dT%H:%M:%SZ}"
            )
    message = f"{signer} is not for namespace {namespace}, which may have {allowed(world, claims)}"
    if signer in world.signers and not world.defaults and not claims.signers:
        message += f"; {make_default(signer)}"
    return _no("TenantMismatch", message)


def make_default(signer: IssuerRef) -> str:
    """Say how a signer becomes everybody's who claims none, as where istiod's K8S_SIGNER names one for the whole mesh."""
    _, _, value = signer_name_of(signer).partition("/")
    return (
        f"if all who name none are to have {signer} (istiod's K8S_SIGNER), an admin sets "
        f"meshConfig.defaultConfig.proxyMetadata.ISTIO_META_CERT_SIGNER: {value}"
    )


def grace_ends(binding: Binding, grace: timedelta, *, now: datetime) -> datetime:
    """Say until when an owner that claims no longer stays granted: it must renew in time, and not for ever.

    `now` stands in for the end of a claim that was not written down yet.
    """
    ended = binding.claim_ended or now
    renewed = max(binding.last_issued or binding.created, binding.created)
    # A claim that was never used, or used long ago, still gives the Pods that are starting the time to ask.
    return min(max(renewed, ended) + grace if binding.last_issued is None else renewed + grace, ended + LONGEST_GRACE)


def _owns(binding: Binding, namespace: str, exists: Namespace) -> bool:
    return not binding.problem and binding.namespace == namespace and binding.namespace_uid == exists.uid


def allowed(world: World, claims: Claims) -> str:
    """Name what a namespace with these claims may ask for, for a message."""
    names = sorted(map(str, claims.signers)) if claims.whole is not None else []
    if claims.whole is None:
        names = sorted({*map(str, world.defaults), *map(str, claims.signers)})
    if not names:
        return "none: it claims no signer, and the mesh has no default"
    return some(names, _SHOWN)
