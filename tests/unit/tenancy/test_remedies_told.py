"""What a refusal tells its reader: object, field and remedy; what is another tenant's, admins alone."""

from typing import Any

import pytest
from msgspec.structs import replace

from signer.tenancy import mesh_cas
from signer.tenancy.decide import decide
from signer.tenancy.mesh_cas import other_root
from signer.tenancy.verdict import Limits, Refuse
from signer.tenancy.world import KeyRule, MeshConfig, Policy, Roots, World
from tests.pki import workload_csr
from tests.unit.csr.crafted import NOW, authority
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, binding, claim, world

OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))
POLICY = Policy("p1", frozenset({FOO}), namespaces=frozenset({"foo"}))


def told(mesh: World, **changes: Any) -> str:
    asked = claim(csr=workload_csr("foo", trust_domain="corp.example"), **changes)
    found = decide(asked, mesh, Limits(), fresh=True, now=NOW)
    assert isinstance(found, Refuse)
    return found.message


@pytest.mark.parametrize("revision", ["", "canary"])
def test_a_trust_domain(revision: str) -> None:
    """The ConfigMap and field that say it, of the istiod that asks, what to restart, and what does not help."""
    account = f"system:serviceaccount:istio-system:istiod{'-' if revision else ''}{revision}"
    mesh = world(bindings=OWNED, requesters=frozenset({account}))
    mesh.config = MeshConfig(defaults=frozenset({DEFAULT}), revisions=frozenset({"canary"}))
    message = told(mesh, requester=account)
    assert f"mesh.trustDomain of ConfigMap istio-system/istio{'-' if revision else ''}{revision})" in message
    assert "restart istiod and then the Pods" in message
    assert "spec.trustDomains of a SignerPolicy" in message
    assert "trustDomainAliases gives no certificates" in message


def test_a_trust_domain_of_a_policy() -> None:
    """Where a policy says which, it is named."""
    mesh = world(policies=(replace(POLICY, trust_domains=frozenset({"other.example"})),))
    assert "other.example: spec.trustDomains of SignerPolicy p1" in told(mesh)


def test_a_key() -> None:
    """A policy's own rule is named with its field; the rule that is everybody's names none."""
    mesh = world(policies=(replace(POLICY, keys=(KeyRule("RSA", 4096),)),))
    assert "RSA from 4096 bits (SignerPolicy p1, spec.keys)" in told(mesh)
    refused = decide(claim("bar", FOO, csr=workload_csr("bar")), mesh, Limits(), fresh=True, now=NOW)
    assert isinstance(refused, Refuse)
    assert "p1" not in refused.message


@pytest.mark.parametrize("whose", ["bar", "nobody"])
def test_a_root_that_is_another_tenants(whose: str) -> None:
    """Whose root it is that somebody pasted beside foo's signer, admins are told, and foo is not."""
    chain = authority(whose).chain
    assert chain is not None
    top = chain.certificates[-1]
    roots = Roots(frozenset({top.anchor}), frozenset(), frozenset({top.key_id}))
    ca = mesh_cas.CA(FOO, authority("foo").key_id, authority("foo").chain)
    found = other_root(ca, world(bindings=OWNED, roots={FOO: roots}), NOW)
    assert found is not None
    assert "bar" not in found.reason.message
    expected = "the entry of meshConfig.caCertificates that lists ClusterIssuer foo has the root of ClusterIssuer bar"
    assert found.reason.others == (expected if whose == "bar" else "")
