"""Small meshes for tests of the wall: the Istio task's two tenants, and whatever a test changes about them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from issuers.request import read_request
from signer.api.issuer import IssuerRef
from signer.tenancy.verdict import Claim
from signer.tenancy.world import (
    Binding,
    Claims,
    MeshConfig,
    Namespace,
    Policy,
    ProxyConfigName,
    Settings,
    World,
)
from tests.pki import workload_csr
from tests.unit.csr.crafted import ISTIOD, NOW, USAGES, authority

FOO = IssuerRef("ClusterIssuer", "", "foo")
BAR = IssuerRef("ClusterIssuer", "", "bar")
DEFAULT = IssuerRef("ClusterIssuer", "", "istio-system")
OTHER = IssuerRef("ClusterIssuer", "", "letsencrypt")
TEAM = IssuerRef("ClusterIssuer", "", "team")  # there is no namespace of this name


def uid(namespace: str) -> str:
    return f"uid-{namespace}"


def claims(*signers: IssuerRef, whole: IssuerRef | None = None) -> Claims:
    """A namespace's claims: the first signer for all its workloads unless `whole` says another, the rest by selector."""
    names = {signer: ProxyConfigName(f"{signer.name}pc", f"uid-{signer.name}pc") for signer in signers}
    first = next(iter(signers), None)
    return Claims(whole or first, names, names.get(first) if first else None)


def binding(signer: IssuerRef, namespace: str, **changes: Any) -> Binding:
    values: dict[str, Any] = {"namespace_uid": uid(namespace), "created": NOW - timedelta(days=10)}
    return Binding(signer, namespace, **(values | changes))


def recorded(policy: Policy) -> Policy:
    """The policy as it stands once the status says which namespace each of its names is."""
    return replace(policy, namespace_uids=policy.namespace_uids or {name: uid(name) for name in policy.namespaces})


def world(
    *,
    claimed: Mapping[str, Claims] | None = None,
    bindings: tuple[Binding, ...] = (),
    policies: tuple[Policy, ...] = (),
    namespaces: tuple[str, ...] = ("istio-system", "cert-manager", "foo", "bar", "shop", "store"),
    signers: frozenset[IssuerRef] = frozenset({FOO, BAR, DEFAULT, TEAM}),
    keys: Mapping[str, frozenset[IssuerRef]] | None = None,
    settings: Settings | None = None,
    **changes: Any,
) -> World:
    """The task's mesh: namespaces foo and bar claim the signers of their names; istio-system is the default.

    Policies have on record the namespaces that they name, unless they bring a record of their own.
    """
    found = {"foo": claims(FOO), "bar": claims(BAR)} if claimed is None else dict(claimed)
    by_signer: dict[IssuerRef, set[str]] = {}
    for namespace, one in found.items():
        for signer in one.signers:
            by_signer.setdefault(signer, set()).add(namespace)
    by_policy: dict[IssuerRef, tuple[Policy, ...]] = {}
    for policy in map(recorded, policies):
        for signer in policy.signers:
            by_policy[signer] = (*by_policy.get(signer, ()), policy)
    known = (
        {authority(ref.name).key_id: frozenset({ref}) for ref in (FOO, BAR, DEFAULT)} if keys is None else dict(keys)
    )
    values: dict[str, Any] = {
        "settings": settings or Settings(),
        "config": MeshConfig(defaults=frozenset({DEFAULT}), signers=signers),
        "signers": signers | frozenset(by_policy),
        "defaults": frozenset({DEFAULT}),
        "requesters": frozenset({ISTIOD}),
        "keys": known,
        "namespaces": {name: Namespace(uid(name)) for name in namespaces},
        "claims": found,
        "claimants": {signer: frozenset(names) for signer, names in by_signer.items()},
        "policies": by_policy,
        "bindings": {one.signer: one for one in bindings},
        "unsynced": "",
    }
    return World(**(values | changes))


def claim(namespace: str = "foo", signer: IssuerRef = FOO, *, csr: bytes | None = None, **changes: Any) -> Claim:
    """What istiod asks for a workload of this namespace."""
    values: dict[str, Any] = {
        "requester": ISTIOD,
        "signer": signer,
        "ca_key_id": authority(signer.name).key_id,
        "request": read_request(csr or workload_csr(namespace)),
        "usages": USAGES,
        "is_ca": False,
        "lifetime": timedelta(days=1),
        "created": NOW,
        "ca_not_after": NOW + timedelta(days=90),
    }
    return Claim(**(values | changes))
