"""Explanations: the signer's own verdict, and what it rests on, in plain words."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from signer.api.issuer import IssuerRef
from signer.api.meta import Condition
from signer.api.signername import signer_name_of
from signer.api.text import shown
from signer.commands.explanations.advice import advise
from signer.commands.explanations.csr import Explanation, explain, misnamed
from signer.commands.explanations.requests import Asked, as_requester, workload_request
from signer.commands.live import Mesh
from signer.commands.tenancies.holders import tenancies
from signer.csr.outcome import AskReference
from signer.tenancy.grants import NotGranted, granted
from signer.tenancy.verdict import Limits
from signer.tenancy.world import NO_CLAIMS, Policy, ProxyConfigName, Settings
from tests import pki
from tests.unit.commands.explaining import fully
from tests.unit.commands.meshes import ALL, entries, mesh, state
from tests.unit.csr.crafted import ISTIOD, NOW
from tests.unit.csr.test_by_identity import MESH, indexed
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, OTHER, TEAM, binding, claims, world


def asked(namespace: str = "foo", signer: IssuerRef = FOO, **changes: Any) -> Asked:
    made = as_requester(workload_request("cluster.local", namespace, "web", signer_name_of(signer)), ISTIOD)
    return replace(made, content=replace(made.content, **changes))


def explained(found: Mesh, namespace: str = "foo", signer: IssuerRef = FOO, **changes: Any) -> Explanation:
    return fully(asked(namespace, signer, **changes), signer, found)


def known(found: Explanation) -> dict[str, str]:
    return dict(found.known)


def test_owner() -> None:
    """An owner's request is signed; since when, until when and why is said."""
    last = NOW - timedelta(minutes=5)
    found = explained(mesh(world(config=entries(*ALL), bindings=(binding(FOO, "foo", last_issued=last),))))
    assert (found.verdict, found.namespace, found.identity) == ("issue", "foo", "spiffe://cluster.local/ns/foo/sa/web")
    assert found.source == "SignerBinding foo, claimed by ProxyConfig foopc"
    assert found.ends == NOW + timedelta(days=1)
    assert known(found)["owner"].endswith("last certificate 5m ago")
    assert "meshConfig.caCertificates names it" in known(found)["mesh signer"]
    assert found.reasons == ()


def test_future_owner() -> None:
    """Who becomes the owner by asking is told what is stored first; the world that was read is not changed."""
    here = mesh()
    found = explained(here)
    assert found.verdict == "issue"
    assert "a SignerBinding foo is stored first" in found.notes[0]
    assert here.world.bindings == {}


def test_thief() -> None:
    """A thief is refused by the signer's own reason, and told that nothing on a Pod grants anything."""
    found = explained(mesh(), "bar")
    assert (found.verdict, [reason.code for reason in found.reasons]) == ("refuse", ["TenantMismatch"])
    assert "A Pod's annotation, label or environment grants nothing" in found.advice[0]
    assert known(found)["namespace bar"] == "claims ClusterIssuer bar for all its workloads (ProxyConfig barpc)"


def test_signer_of_nobody() -> None:
    """A signer that does not exist and a namespace that does not are told as never heard of."""
    found = explained(mesh(), "nowhere", OTHER)
    assert (found.verdict, found.reasons[0].code) == ("wait", "IssuerNotFound")
    about = known(found)
    assert about[str(OTHER)] == "does not exist; there are: bar, foo, istio-system, team"
    assert about["namespace nowhere"] == "does not exist, and was never known"
    assert about["mesh signer"].startswith("no: ")


def test_invalid_objects_are_told() -> None:
    """A ProxyConfig, a policy or a mesh config that cannot be read is said to be so, where it matters."""
    broken = replace(claims(FOO), problems=("ProxyConfig foo/pc: spec: bad",))
    policy = Policy("p", frozenset({FOO}), problem="spec.signers[1]: bad")
    here = mesh(
        world(claimed={"foo": broken}, policies=(policy,), config=entries(*ALL, problems=("ConfigMap istio: bad",)))
    )
    found = explained(here)
    texts = [text for _, text in found.known]
    assert "ProxyConfig foo/pc: spec: bad" in texts
    assert "ConfigMap istio: bad" in texts
    assert known(found)["SignerPolicy p"] == "cannot be read: spec.signers[1]: bad"
    assert found.verdict == "refuse"


def test_all_reasons_at_once() -> None:
    """Every reason is given, each with its advice once."""
    found = explained(mesh(), "bar", usages=("client auth",))
    assert [reason.code for reason in found.reasons] == ["TenantMismatch", "UsagesNotAllowed"]
    assert len(found.advice) == 2


def test_contents() -> None:
    """A CSR that istiod would not make is refused for what it holds; one that is none has no identity."""
    odd = explained(mesh(), request=pki.csr(uris=[pki.spiffe("foo", "web")], dns=["a.example"], critical=True))
    assert odd.reasons[0].code == "UnexpectedContents"
    none = explained(mesh(), request=b"nonsense")
    assert (none.identity, none.namespace, none.verdict) == ("", "", "refuse")


def test_grace_and_gone_owners() -> None:
    """An owner that claims no longer, one that is gone, and one of the same name are told apart."""
    old = binding(FOO, "foo", claim_ended=NOW - timedelta(hours=2), last_issued=NOW - timedelta(hours=1))
    grace = explained(mesh(world(claimed={"foo": NO_CLAIMS}, bindings=(old,))))
    assert "may renew until 2026-11-23T11:00:00Z" in known(grace)["owner"]
    assert known(grace)["namespace foo"] == "claims no signer"
    gone = explained(mesh(world(bindings=(binding(FOO, "old"),))))
    assert "which is gone; nobody else gets it" in known(gone)["owner"]
    assert gone.advice == ("Its owner is gone. If that is for good: mesh-signer tenants release foo",)
    other = explained(mesh(world(bindings=(binding(FOO, "foo", namespace_uid="before"),))))
    assert "the one of its name now is another" in known(other)["owner"]


def test_a_living_owner_is_not_to_be_released() -> None:
    """Whoever is refused because another owns the signer is not told to release it."""
    here = mesh(world(claimed={"foo": claims(FOO), "bar": claims(FOO)}, bindings=(binding(FOO, "foo"),)))
    found = explained(here, "bar")
    assert found.reasons[0].code == "SignerClaimed"
    assert "release" not in found.advice[0]


def test_modes() -> None:
    """A wall that is off, or only watches, is told, and so is what enforcing would have said."""
    off = explained(mesh(world(settings=Settings(mode="off"))), "bar")
    assert off.verdict == "issue"
    assert "--tenancy=off" in off.notes[0]
    until = Settings(mode="audit", audit_until=NOW + timedelta(days=1))
    audit = explained(mesh(world(settings=until)), "bar")
    assert audit.verdict == "issue"
    assert any(note.startswith("enforcing would refuse it: ") for note in audit.notes)


def test_not_of_the_mesh() -> None:
    """A request that is none of the mesh's is signed as cert-manager would, and that is said."""
    plain = asked("foo", OTHER, username="alice")
    here = mesh(issuers=[*map(state, ALL), state(OTHER)])
    found = explain(plain, OTHER, here, now=NOW)
    assert isinstance(found, Explanation)
    assert found.verdict == "issue"
    assert "not a signer of the mesh" in found.source


def test_limits_of_the_operator() -> None:
    """What --allow-ca-requests=false refuses is explained as refused."""
    plain = asked("foo", OTHER, username="alice", annotations={"experimental.cert-manager.io/request-is-ca": "true"})
    here = mesh(issuers=[*map(state, ALL), state(OTHER)])
    found = explain(plain, OTHER, here, now=NOW, limits=Limits(allow_ca_requests=False))
    assert isinstance(found, Explanation)
    assert found.reasons[0].code == "CARequestsNotAllowed"


def test_namespaced_issuer_asks_first() -> None:
    """Whether the requester may reference an Issuer is asked; the answer decides."""
    shop = IssuerRef("Issuer", "shop", "ca")
    here = mesh(issuers=[state(shop)])
    request = asked("shop", shop)
    assert explain(request, shop, here, now=NOW) == AskReference(shop, request.content)
    denied = fully(request, shop, here, may_reference=False)
    assert denied.reasons[0].code == "DeniedReference"


def test_self_signed() -> None:
    """What depends on a key that nobody should read here is said to depend on it."""
    plain = asked(
        "foo", OTHER, username="alice", annotations={"experimental.cert-manager.io/private-key-secret-name": "k"}
    )
    here = mesh(issuers=[state(OTHER, kind="selfSigned", authority=None)])
    found = fully(plain, OTHER, here, key_unread=True)
    assert (found.verdict, "Secret cert-manager/k" in found.reasons[0].message) == ("ask", True)


def unread(ready: str, namespace: str = "foo") -> Explanation:
    found = state(FOO, ready=False, reason="ErrGetKeyPair", message="may not be read", authority=None)
    condition = Condition(type="Ready", status=ready, message="no Secret")
    object.__setattr__(found, "issuer", found.issuer.__class__(
        metadata=found.issuer.metadata, raw_spec=found.issuer.raw_spec,
        raw_status={"conditions": [{"type": condition.type, "status": condition.status, "message": condition.message}]},
    ))  # fmt: skip
    return explained(mesh(issuers=[found, state(BAR)], unread=frozenset({FOO})), namespace)


def test_without_the_secret() -> None:
    """Who may not read the CA is told what the wall says, by the issuer's own status, and that the CA was not seen."""
    fine = unread("True")
    assert fine.verdict == "issue"
    assert "may not be read by you" in fine.notes[0]
    assert "stored first" in fine.notes[1]
    assert unread("False").reasons[0].message == "ClusterIssuer foo is not ready: no Secret"
    assert unread("True", "bar").reasons[0].code == "TenantMismatch"


def test_document() -> None:
    """Programs get all of it."""
    document = explained(mesh(), "bar").document()
    assert document["verdict"] == "refuse"
    assert document["signer"] == "clusterissuers.cert-manager.io/foo"
    assert document["reasons"][0]["code"] == "TenantMismatch"
    assert {"about": "mesh default", "is": str(DEFAULT)} in document["known"]


@pytest.mark.parametrize(
    "code",
    [
        "TenantMismatch", "SignerClaimed", "SignerContested", "NotAMeshSigner", "UnexpectedContents",
        "RequesterNotAllowed", "TrustDomainMismatch", "IdentityNotAllowed", "KeyNotAllowed", "UsagesNotAllowed",
        "ServiceAccountNotAllowed", "DNSNameNotAllowed", "CARequestsNotAllowed", "NamespaceNotFound", "UnboundSigner",
        "SignerTypeNotAllowed", "IssuerNotFound", "IssuerNotReady",
    ],
)  # fmt: skip
def test_every_code_has_advice(code: str) -> None:
    """Whatever the reason, a person is told what to do."""
    assert advise(code, world(), "shop", TEAM, "alice")


MALFORMED = ["Shop", "bank ", "clusterissuers.cert-manager.io/shop", "ClusterIssuer/shop", "*", "a b", "x" * 300]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_claim_that_names_nobody(value: str) -> None:
    """A workload whose namespace claims what can name no issuer asks for that: `explain` and `tenants` say no certificate."""
    found = replace(
        claims(), malformed=value, problems=("ProxyConfig shop/pc: bad",), speaker=ProxyConfigName("pc", "u")
    )
    here = mesh(world(claimed={"shop": found}))
    explained = misnamed(here, "shop", "default", NOW)
    assert explained is not None
    assert (explained.verdict, explained.reasons[0].code) == ("refuse", "Malformed")
    assert shown(value) in explained.reasons[0].message
    assert "ProxyConfig shop/pc" in explained.reasons[0].message
    assert json.dumps(explained.document())
    (row,) = [one for one in tenancies(here, NOW) if one.namespace == "shop"]
    assert (row.status, row.refused) == ("Malformed", True)
    others = [one for one in tenancies(here, NOW) if one.others]
    assert sum(one.others for one in others) == len(here.world.namespaces) - 2  # but shop, and Istio's own


def test_a_claim_in_order_is_not_misnamed() -> None:
    """Any other claim is explained by the signer's own decision."""
    assert misnamed(mesh(), "foo", "default", NOW) is None
    assert misnamed(mesh(), "store", "default", NOW) is None


def test_a_signer_named_without_its_domain() -> None:
    """Where the mesh config says the name without its domain, the refusal says so, and not that it does not name it."""
    config = entries(*ALL, bare=frozenset({"pay"}))
    pay = IssuerRef("ClusterIssuer", "", "pay")
    found = granted(world(claimed={"shop": claims(pay)}, config=config), "shop", pay, now=NOW)
    assert isinstance(found, NotGranted)
    assert "says pay without its domain (clusterissuers.cert-manager.io/pay is needed)" in found.reason.message


def test_by_identity() -> None:
    """What is asked of a routed name is explained as signed by the namespace's own signer, and says by which policies."""
    index = indexed()
    found = Mesh(index.world, index, {ref: state(ref) for ref in (FOO, BAR)}, {})
    for namespace, ref in (("foo", FOO), ("bar", BAR)):
        told = explained(found, namespace, MESH)
        assert (told.verdict, told.signer, told.signed_by) == ("issue", MESH, ref)
        assert told.document()["signedBy"] == signer_name_of(ref)
        assert (
            f"ClusterIssuer mesh is signed by {ref} for namespace {namespace}, by SignerPolicy door"
            in known(told)["by identity"]
        )
    none = explained(found, "shop", MESH)
    assert (none.verdict, [one.code for one in none.reasons], none.signed_by) == ("refuse", ["RouteMissing"], None)
    assert known(none)["ClusterIssuer mesh"] == "needs no issuer: a SignerPolicy routes it by identity"


def test_by_identity_with_a_secret_that_may_not_be_read() -> None:
    """Who may not read the CA's Secret is told the same verdict, by what the issuer's status says."""
    index = indexed()
    issuer = state(FOO).issuer
    conditions = [{"type": "Ready", "status": "True", "reason": "", "message": ""}]
    told = structs.replace(issuer, raw_status={"conditions": conditions})
    found = replace(state(FOO, ready=False, authority=None, reason="Unread"), issuer=told)
    states = {FOO: found}
    here = Mesh(index.world, index, states, {}, unread=frozenset({FOO}))
    assert (explained(here, "foo", MESH).verdict, explained(here, "foo", MESH).signed_by) == ("issue", FOO)
