"""One CA behind the signers of two tenants by identity: it is one tenant's at most, whatever policies say.

Who has which CA, whoever signed first, and whom the route is about are drawn; who may have what is told from that alone.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.request import read_request
from signer.api.issuer import IssuerRef
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.tenancy.decide import decide
from signer.tenancy.index import Index
from signer.tenancy.records import new_record
from signer.tenancy.routes import route
from signer.tenancy.shared import has_the_ca_of
from signer.tenancy.verdict import Claim, Grant, Limits, Refuse, Route
from signer.tenancy.world import Settings
from tests.pki import csr, spiffe, workload_csr
from tests.unit.csr.crafted import ISTIOD, USAGES, authority
from tests.unit.tenancy.indexed import NOW, mesh, namespace_object, policy

TENANTS = ("foo", "bar", "shop")
CAS = ("one", "two")
DOOR = IssuerRef("ClusterIssuer", "", "mesh")
ALL: tuple[str, ...] = ()


def ref(name: str) -> IssuerRef:
    return IssuerRef("ClusterIssuer", "", name)


def indexed(
    cas: Mapping[str, str],
    signed: tuple[str, ...] = (),
    routed: tuple[str, ...] = ALL,
    policies: Mapping[str, tuple[str, ...]] | None = None,
    *,
    doors_ca: str = "",
) -> Index:
    """The mesh: a policy for each tenant (`policies`: its namespaces), records of those that `signed`, in this order."""
    index = Index(Settings())
    index.world.unsynced = ""
    index.config_maps.put("istio", mesh())
    for space in (*TENANTS, "istio-system"):
        index.put_namespace(namespace_object(space))
    given = policies if policies is not None else {tenant: (tenant,) for tenant in cas}
    among: dict[str, Any] = {"namespaces": {"names": list(routed), "remade": "Allow"}} if routed else {}
    objects: list[SignerPolicy] = [policy("door", "mesh", route="Identity", **among)]
    for tenant, spaces in given.items():
        named = {"names": list(spaces), "remade": "Allow"}
        objects.append(policy(tenant, tenant, namespaces=named, certificateRequests={}))
    for one in objects:
        index.put_policy(one)
    for tenant, ca in cas.items():
        index.put_key(ref(tenant), authority(ca).key_id, authority(ca).chain)
    if doors_ca:
        index.put_key(DOOR, authority(doors_ca).key_id, authority(doors_ca).chain)
    index.settle(NOW)
    for number, tenant in enumerate(signed):
        status = index.unrecorded(ref(tenant), NOW + timedelta(seconds=number))
        assert status is not None
        body = new_record(ref(tenant)) | {"status": {key: one for key, one in status.items() if one is not None}}
        body["metadata"] |= {"uid": f"{tenant}-{number}"}
        index.put_record(msgspec.convert(body, SignerRecord))
    index.settle(NOW)
    return index


def ask(index: Index, cas: Mapping[str, str], signer: str, namespace: str, way: str) -> Grant | Refuse:
    """What a namespace gets of a signer: by the route, by its name (as a Pod asks), or by a CertificateRequest."""
    found = authority(cas[signer])
    by_hand = way == "CertificateRequest"
    claim = Claim(
        "" if by_hand else ISTIOD,
        ref(signer),
        found.key_id,
        read_request(csr(uris=[spiffe(namespace)]) if by_hand else workload_csr(namespace)),
        ("server auth",) if by_hand else USAGES,
        is_ca=False,
        lifetime=None,
        resource="CertificateRequest" if by_hand else "CertificateSigningRequest",
        namespace=namespace if by_hand else "",
        chain=found.chain,
        route=Route(DOOR, ref(signer), namespace, "door") if way == "route" else None,
    )
    verdict = decide(claim, index.world, Limits(), fresh=True, now=NOW)
    assert isinstance(verdict, Grant | Refuse)
    return verdict


def granted(index: Index, cas: Mapping[str, str]) -> set[tuple[str, str, str]]:
    """All (namespace, signer, way) that are granted."""
    found = set()
    for namespace in TENANTS:
        for signer in cas:
            ways = ["name", "CertificateRequest"]
            way = route(index.world, DOOR, namespace, now=NOW)
            if isinstance(way, Route) and way.signer == ref(signer):
                ways.append("route")
            found |= {
                (namespace, signer, one) for one in ways if isinstance(ask(index, cas, signer, namespace, one), Grant)
            }
    return found


assigned = st.fixed_dictionaries({tenant: st.sampled_from(CAS) for tenant in TENANTS})
orders = st.permutations(TENANTS).flatmap(
    lambda names: st.integers(0, len(names)).map(lambda count: tuple(names[:count]))
)


@given(assigned, orders, st.sets(st.sampled_from(TENANTS)).map(lambda names: tuple(sorted(names))))
def test_no_ca_is_two_tenants(cas: dict[str, str], signed: tuple[str, ...], routed: tuple[str, ...]) -> None:
    """Of those who have one CA and are by identity, one at most gets anything of it: who signed first; on no way another."""
    index = indexed(cas, signed, routed)
    by_identity = set(routed) or set(TENANTS)
    found = granted(index, cas)
    for tenant in TENANTS:
        rivals = {
            other
            for other in TENANTS
            if other != tenant and cas[other] == cas[tenant] and by_identity & {tenant, other}
        }
        first = tenant in signed and all(
            other not in signed or signed.index(tenant) < signed.index(other) for other in rivals
        )
        ways = {way for namespace, signer, way in found if (namespace, signer) == (tenant, tenant)}
        right = first or not rivals
        usual = {"name", "CertificateRequest"} | ({"route"} if tenant in by_identity else set())
        assert ways == (usual if right else set()), (tenant, ways)
        told = has_the_ca_of(index.world, ref(tenant), authority(cas[tenant]).key_id, {})
        assert (told is None) == right
    assert all(namespace == signer for namespace, signer, _ in found)


@pytest.mark.parametrize("signed", [(), ("foo",), ("shop", "foo")])
def test_a_copied_policy_and_secret_name(signed: tuple[str, ...]) -> None:
    """A slip of copying (foo's Secret behind shop's signer) is refused as a shared root, and names nobody to the tenant."""
    cas = {"foo": "one", "shop": "one"}
    index = indexed(cas, signed)
    first = signed[0] if signed else ""
    for tenant in cas:
        verdict = ask(index, cas, tenant, tenant, "route")
        if tenant == first:
            assert isinstance(verdict, Grant)
            continue
        assert isinstance(verdict, Refuse)
        other = "shop" if tenant == "foo" else "foo"
        assert verdict.code == "SharedRoot"
        assert f"ClusterIssuer {other}" in verdict.others
        assert other not in verdict.message


def test_one_signer_for_several_namespaces() -> None:
    """What one policy gives to several namespaces they have on purpose: one tenant, one CA."""
    cas = {"foo": "one"}
    index = indexed(cas, policies={"foo": ("foo", "bar")})
    assert {namespace for namespace, _, way in granted(index, cas) if way == "route"} == {"foo", "bar"}


def test_the_names_own_issuer_is_no_tenant() -> None:
    """Where the routed name has an issuer with a tenant's CA, nobody has that by the name: the tenant goes on."""
    cas = {"foo": "one", "bar": "two"}
    index = indexed(cas, doors_ca="one")
    assert {namespace for namespace, _, way in granted(index, cas) if way == "route"} == {"foo", "bar"}
