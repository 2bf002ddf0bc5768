"""Each check of `doctor` against what the signer does on the same cluster: no "fine" where it refuses or waits, and the reverse."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.signername import signer_name_of
from signer.certificates.requests.requester import GUARD, GUARDED, vouched, vouched_since
from signer.commands.checks.facts import Facts
from signer.commands.checks.identity import check_by_identity
from signer.commands.checks.install import check_crds, check_gaps
from signer.commands.checks.istiod import check_istiod
from signer.commands.checks.mesh import check_cas, check_claims
from signer.commands.checks.requesters import check_requesters
from signer.commands.checks.roots import check_roots
from signer.commands.explanations.requests import read_certificate_request
from signer.commands.live import Listing
from signer.settings.values import Settings
from signer.tenancy.world import Policy, RequestRules
from tests import pki
from tests.examples import examples
from tests.unit.commands.clusters import NAMESPACES, Cluster, clusters
from tests.unit.commands.explaining import fully
from tests.unit.commands.meshes import ALL, deployment, entries, facts, mesh, named
from tests.unit.commands.replay import Outcome, answered, answered_request
from tests.unit.commands.test_replay import ASIDE, asked, csr
from tests.unit.csr.crafted import ISTIOD, NOW
from tests.unit.csr.test_verifiable import below, purposes, uris
from tests.unit.tenancy.worlds import FOO, binding, world


def best(cluster: Cluster, namespace: str, signer: Any) -> Outcome:
    """What the signer answers the best request that a namespace could make."""
    users = (ISTIOD, "jane") if signer in cluster.index().world.policies else (ISTIOD,)
    done = [
        answered(cluster, asked(signer, csr(namespace, account), username=user).content, signer)
        for account in ("web", "other")
        for user in users
    ]
    return min(done, key=lambda one: ("issue", "wait", "refuse").index(one.verdict))


@settings(max_examples=examples(50))
@given(clusters())
def test_claims(cluster: Cluster) -> None:
    """A claim is told exactly where the signer refuses it or waits; in audit mode it is told, and signed."""
    known = Facts(Settings(), cluster.mesh(), NOW)
    told = {one.where for one in check_claims(known)}
    for namespace, claims in known.mesh.world.claims.items():
        for signer, name in claims.signers.items():
            where = f"ProxyConfig {namespace}/{name.name}"
            signers = [one for one, other in claims.signers.items() if other == name]
            if len(signers) > 1:
                continue  # one place for two
            done = best(cluster, namespace, signer)
            if done.verdict == "issue":
                assert where not in told or not cluster.settings.enforces(NOW), (where, done)
            elif not set(done.codes) <= ASIDE:
                assert where in told, (where, done)


@settings(max_examples=examples(30))
@given(clusters(), st.data())
def test_k8s_signer(cluster: Cluster, data: st.DataObject) -> None:
    """Where K8S_SIGNER is called fine, each namespace with workloads that names no signer gets it; by identity each is told for itself."""
    signer = data.draw(st.sampled_from([one.ref for one in cluster.issuers] or [FOO]))
    env = {"EXTERNAL_CA": "ISTIOD_RA_KUBERNETES_API", "K8S_SIGNER": signer_name_of(signer)}
    env["CERT_SIGNER_DOMAIN"] = "clusterissuers.cert-manager.io"
    here = cluster.mesh()
    proxy = {"spec": {"containers": [{"name": "istio-proxy"}]}, "status": {"phase": "Running"}}
    pods = Listing(tuple(proxy | {"metadata": {"name": "web", "namespace": one}} for one in NAMESPACES))
    istiods = Listing((deployment("istiod", "istio-system", env=env),))
    known = Facts(Settings(), here, NOW, deployments=istiods, pods=pods)
    by_identity = {one.where for one in check_by_identity(known)}
    told = [
        one.what
        for one in (*check_istiod(known), *check_cas(known), *check_roots(known))
        if "K8S_SIGNER" in one.what or str(signer) in one.what
    ]
    for namespace in NAMESPACES:
        claims = here.world.claims.get(namespace)
        if namespace not in here.world.namespaces or (claims is not None and claims.whole is not None):
            continue
        done = best(cluster, namespace, signer)
        if done.verdict != "issue" and not set(done.codes) <= ASIDE:
            assert told or f"namespace {namespace}" in by_identity, (namespace, done)


@pytest.mark.parametrize(
    ("wishes", "accepted"),
    [
        (purposes(ExtendedKeyUsageOID.CODE_SIGNING), False),
        (purposes(ExtendedKeyUsageOID.SERVER_AUTH), False),
        (purposes(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH), True),
        (uris(["other.org"]), False),
        (uris(["cluster.local"]), True),
        (uris(["local"]), False),
        (uris(None, ["local"]), False),
        ({"path_length": 0}, True),
    ],
    ids=str,
)
def test_a_ca_that_cannot_be_verified(wishes: dict[str, Any], accepted: bool) -> None:
    """A CA below which workloads would not accept a certificate is an error exactly where the signer refuses for it."""
    one = below(pki.CA("foo", now=NOW, **wishes))
    here = mesh(world(config=entries(*ALL), bindings=(binding(FOO, "foo"),)), issuers=[one])
    done = fully(asked(FOO, csr("foo")), FOO, here)
    told = [one for one in check_cas(facts(here)) if "would not accept" in one.what]
    assert (done.verdict == "issue", not told) == (accepted, accepted)


@pytest.mark.parametrize("missing", ["issuers", "SignerBindings (no)", "SignerRecords (no)"])
def test_without_definitions(missing: str) -> None:
    """Without a definition that it needs the signer waits with everything, and doctor says error, whoever may list CRDs."""
    here = mesh(world(bindings=(binding(FOO, "foo"),), unsynced=missing))
    done = fully(asked(FOO, csr("foo")), FOO, here)
    assert (done.verdict, done.reasons[0].code) == ("wait", "MeshNotRead")
    assert [one.severity for one in check_gaps(facts(here))] == ["error"]
    assert [one.severity for one in check_crds(facts(here, crds=Listing(problem="no right")))] == ["unknown"]


def guard(**changes: Any) -> dict[str, Any]:
    rule = {
        "apiGroups": ["cert-manager.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["certificaterequests"],
    }
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": one} for one in GUARDED]}
    body = named("ValidatingAdmissionPolicy", GUARD, spec=spec | changes)
    body["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return body


def bound(**changes: Any) -> dict[str, Any]:
    body = named(
        "ValidatingAdmissionPolicyBinding", GUARD, spec={"policyName": GUARD, "validationActions": ["Deny"]} | changes
    )
    body["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return body


GUARDS: Mapping[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "as shipped": ([guard()], [bound()]),
    "no policy": ([], [bound()]),
    "no binding": ([guard()], []),
    "warns only": ([guard()], [bound(validationActions=["Warn"])]),
    "of another policy": ([guard()], [bound(policyName="x")]),
    "nothing required": ([guard(validations=[])], [bound()]),
    "open when it fails": ([guard(failurePolicy="Ignore")], [bound()]),
    "for some only": ([guard(matchConditions=[{"name": "x", "expression": "true"}])], [bound()]),
}


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("state_", GUARDS)
def test_requesters(state_: str, limited: bool) -> None:
    """Doctor says error exactly where the signer refuses an honest requester, since nobody vouches for him."""
    policies, bindings = GUARDS[state_]
    rules = RequestRules(frozenset({"jane"})) if limited else RequestRules()
    policy = Policy(
        "p", frozenset({FOO}), namespaces=frozenset({"foo"}), dns_names=("a.example",), certificate_requests=rules
    )
    here = mesh(world(config=entries(*ALL), policies=(policy,)))
    told = check_requesters(facts(here, admission_policies=policies, admission_bindings=bindings))
    error = any(one.severity == "error" for one in told)
    spec = {
        "request": base64.b64encode(pki.csr(dns=["a.example"])).decode(),
        "issuerRef": {"name": "foo", "kind": "ClusterIssuer", "group": "cert-manager.io"},
        "usages": ["server auth"],
        "username": "jane",
    }
    metadata = {"name": "r", "namespace": "foo", "creationTimestamp": "2026-11-01T00:00:00Z"}
    approved = {"conditions": [{"type": "Approved", "status": "True"}]}
    obj = read_certificate_request({"metadata": metadata, "spec": spec, "status": approved})
    since = vouched_since(*(next(iter(some), None) for some in (policies, bindings)))
    done = answered_request_on(here, obj, vouched(obj, since))
    assert error == (done.verdict == "refuse")


def answered_request_on(here: Any, obj: Any, requester: str) -> Outcome:
    """As answered_request, on a mesh that was put together by hand."""

    class Known:
        issuers = tuple(here.issuers.values())

        @staticmethod
        def index() -> Any:
            return type("Index", (), {"world": here.world})

    return answered_request(Known, obj, requester=requester)  # type: ignore[arg-type]
