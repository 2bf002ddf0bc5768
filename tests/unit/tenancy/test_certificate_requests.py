"""The wall on the path of Certificates and CertificateRequests: it belongs to the CA's key, whoever names it."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from issuers.request import read_request
from signer.api.issuer import IssuerRef
from signer.tenancy.decide import Decision, decide
from signer.tenancy.verdict import Claim, Grant, Limits, Refuse, Unready
from signer.tenancy.world import Policy, RequestRules, Roots, Settings, World
from tests.pki import csr, name, spiffe
from tests.unit.csr.crafted import NOW, authority
from tests.unit.tenancy.worlds import BAR, FOO, OTHER, claim, world

SAME_KEY = IssuerRef("Issuer", "bar", "copy")


def asked(namespace: str, signer: IssuerRef = FOO, request: bytes | None = None, **changes: Any) -> Claim:
    text = request or csr(dns=["shop.example"], subject=name("shop.example"))
    found = claim("foo", FOO, resource="CertificateRequest", requester="", **changes)
    return replace(found, namespace=namespace, signer=signer, request=read_request(text), usages=("server auth",))


def judge(claim_: Claim, mesh: World | None = None) -> Decision:
    return decide(claim_, mesh if mesh is not None else world(), Limits(), fresh=True, now=NOW)


def codes(verdict: Decision) -> list[str]:
    assert isinstance(verdict, Refuse), verdict
    return [reason.code for reason in verdict.reasons]


def with_policy(**limits: Any) -> World:
    policy = Policy("web", frozenset({FOO}), namespaces=frozenset({"shop"}), certificate_requests=RequestRules())
    return world(policies=(replace(policy, **limits),))


@pytest.mark.parametrize("namespace", ["foo", "bar", "shop", "istio-system", "gone"])
def test_a_tenants_request(namespace: str) -> None:
    """Nobody asks a mesh CA by a CertificateRequest in a namespace of his own, its tenant neither."""
    assert codes(judge(asked(namespace))) == ["RequestNotAllowed"]
    assert codes(judge(asked(namespace, request=csr(uris=[spiffe("foo")])))) == ["RequestNotAllowed"]
    assert codes(judge(asked(namespace, is_ca=True))) == ["RequestNotAllowed"]


def test_another_issuer_with_the_key() -> None:
    """An issuer that shares the CA's key with a mesh signer is behind the same wall."""
    assert codes(judge(asked("bar", SAME_KEY))) == ["RequestNotAllowed"]


def test_the_root_above_a_mesh_signer() -> None:
    """What the root above a tenant's CA signs, his workloads trust: an issuer with its key is behind the wall too."""
    root = authority("root").key_id
    mesh = world(roots={FOO: Roots(frozenset({root}))}, root_keys=frozenset({root}))
    assert codes(judge(asked("bar", OTHER, request=csr(uris=[spiffe("foo")]), ca_key_id=root), mesh)) == [
        "RequestNotAllowed"
    ]
    assert codes(judge(asked("bar", OTHER, is_ca=True, ca_key_id=root), mesh)) == ["RequestNotAllowed"]
    # Admins make the tenants' CAs with it.
    assert isinstance(judge(asked("cert-manager", OTHER, is_ca=True, ca_key_id=root), mesh), Grant)


def test_the_admins_own_namespace() -> None:
    """In the cluster resource namespace admins ask for what they like."""
    assert judge(asked("cert-manager", is_ca=True)) == Grant(timedelta(days=1))


def test_another_ca_below_the_same_root() -> None:
    """Workloads trust a root: a CA beside a tenant's, below the same one, gives no workload's identity and no CA."""
    beside: dict[str, Any] = {"ca_key_id": "beside", "root_key_id": "root"}
    mesh = world(root_keys=frozenset({"root"}))
    for spelling in (spiffe("foo"), "SPIFFE://cluster.local/ns/foo/sa/default"):
        assert codes(judge(asked("bar", OTHER, csr(uris=[spelling]), **beside), mesh)) == ["RequestNotAllowed"]
    assert codes(judge(asked("bar", OTHER, is_ca=True, **beside), mesh)) == ["RequestNotAllowed"]
    assert isinstance(judge(asked("bar", OTHER, **beside), mesh), Grant)
    assert isinstance(judge(asked("cert-manager", OTHER, is_ca=True, **beside), mesh), Grant)
    assert isinstance(
        judge(asked("bar", OTHER, csr(uris=[spiffe("foo")]), ca_key_id="far", root_key_id="far"), mesh), Grant
    )


def test_other_signers() -> None:
    """An issuer that is none of the mesh's behaves as with cert-manager."""
    assert isinstance(judge(asked("bar", OTHER, ca_key_id=authority("other").key_id)), Grant)
    assert isinstance(judge(asked("bar", OTHER, ca_key_id="")), Grant)
    denying = world(settings=Settings(unbound="deny"))
    assert codes(judge(asked("bar", OTHER, ca_key_id=authority("other").key_id), denying)) == ["UnboundSigner"]
    assert isinstance(judge(asked("bar", OTHER, ca_key_id=""), denying), Grant)


def test_not_read_yet() -> None:
    """Nothing is decided before the mesh was read: a signer may be one of its."""
    assert isinstance(judge(asked("cert-manager"), world(unsynced="SignerPolicies")), Unready)


class TestPolicy:
    def test_what_it_allows(self) -> None:
        """A SignerPolicy opens a mesh CA for a namespace: its DNS names, its own SPIFFE IDs, its lifetime."""
        mesh = with_policy(dns_names=("shop.example", "*.shop.example"), max_lifetime=timedelta(hours=1))
        granted = judge(asked("shop"), mesh)
        assert isinstance(granted, Grant)
        assert granted.lifetime == timedelta(hours=1)
        assert isinstance(judge(asked("shop", request=csr(dns=["a.shop.example"], uris=[spiffe("shop")])), mesh), Grant)

    @pytest.mark.parametrize(
        ("request_", "code"),
        [
            (csr(dns=["other.example"]), "DNSNameNotAllowed"),
            (csr(dns=["a.b.shop.example"]), "DNSNameNotAllowed"),
            (csr(subject=name("foo")), "DNSNameNotAllowed"),
            (csr(uris=[spiffe("foo")]), "IdentityNotAllowed"),
            (csr(uris=[spiffe("shop", trust_domain="evil")]), "IdentityNotAllowed"),
            (csr(uris=["https://shop.example"]), "IdentityNotAllowed"),
            (csr(ips=["10.0.0.1"]), "IdentityNotAllowed"),
            (csr(emails=["a@shop.example"]), "IdentityNotAllowed"),
        ],
    )
    def test_what_it_does_not(self, request_: bytes, code: str) -> None:
        """Names of others are refused, each with its reason."""
        assert codes(judge(asked("shop", request=request_), with_policy(dns_names=("*.shop.example",)))) == [code]

    def test_cas_and_usages(self) -> None:
        """A CA is given where the policy says so; usages beyond its list are refused."""
        mesh = with_policy(dns_names=("shop.example",), usages=frozenset({"client auth"}))
        assert codes(judge(asked("shop", is_ca=True), mesh)) == ["CARequestsNotAllowed", "UsagesNotAllowed"]
        assert isinstance(
            judge(asked("shop", is_ca=True), with_policy(dns_names=("shop.example",), allow_ca=True)), Grant
        )

    def test_by_another_name(self) -> None:
        """An issuer with the key of one mesh signer is covered by that signer's policies; of two, by none."""
        mesh = with_policy(dns_names=("shop.example",))
        assert isinstance(judge(asked("shop", SAME_KEY), mesh), Grant)
        mesh.keys[authority("foo").key_id] = frozenset({FOO, BAR})
        assert codes(judge(asked("shop", SAME_KEY), mesh)) == ["RequestNotAllowed"]


def test_audit_mode() -> None:
    """In audit mode it is signed, and what would have been said goes along."""
    until = NOW + timedelta(hours=1)
    found = judge(asked("bar"), world(settings=Settings(mode="audit", audit_until=until)))
    assert isinstance(found, Grant)
    assert [reason.code for reason in found.would_refuse] == ["RequestNotAllowed"]
