"""Signers, roots, tenants and workloads: whether what the mesh says agrees with what there is."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from issuers.authority import load_authority
from signer.commands.checks.examination import examine
from signer.commands.checks.facts import Finding
from signer.commands.checks.install import check_gaps
from signer.commands.checks.mesh import check_cas, check_claims, check_policies
from signer.commands.checks.roots import check_roots
from signer.commands.checks.workloads import asked_by, check_gateways, check_variables, check_workloads
from signer.commands.doctor import report, status
from signer.commands.live import Json, Listing
from signer.tenancy.world import CertificateAuthorityEntry, Policy
from tests import pki
from tests.unit.commands.meshes import ALL, deployment, entries, facts, mesh, named, root, state, whats
from tests.unit.csr.crafted import NOW, authority, ca
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, OTHER, TEAM, binding, claims, world

DOMAIN = "clusterissuers.cert-manager.io"


def test_a_mesh_in_order() -> None:
    """Of a mesh in order there is nothing to tell."""
    here = facts()
    for check in (check_cas, check_roots, check_claims, check_policies, check_workloads, check_gateways):
        assert list(check(here)) == []


def test_cas() -> None:
    """A signer of the mesh that is missing, not ready, without a CA, or near its end is told."""
    soon = replace(authority("bar"), not_after=NOW + timedelta(days=1))
    states = [
        state(FOO, ready=False, authority=None, message="no Secret"),
        state(BAR, authority=soon),
        state(TEAM, kind="selfSigned", authority=None),
    ]
    found = whats(check_cas(facts(mesh(issuers=states))))
    assert found == [
        f"error: {BAR}: its CA expires 2026-11-23T12:00:00Z",
        f"error: {FOO} is not ready: no Secret",
        f"warning: {DEFAULT} is a signer of the mesh and does not exist",
        f"error: {TEAM} is of the type selfSigned: it has no CA, so every mesh request for it is refused",
    ]
    warned = mesh(issuers=[state(ref, warning="ends in 20 days") for ref in ALL])
    assert all(line.startswith("warning: ") for line in whats(check_cas(facts(warned))))
    assert list(check_cas(facts(mesh(issuers=[], unread=frozenset(ALL))))) == []


def roots(*listed: CertificateAuthorityEntry) -> list[str]:
    config = replace(entries(*ALL), authorities=listed)
    return whats(check_roots(facts(mesh(world(config=config, signers=frozenset({FOO}))))))


def test_roots() -> None:
    """A root that is missing, empty, another's, or older than the CA's is told by what it breaks."""
    signers = frozenset({FOO})
    fine = CertificateAuthorityEntry(root(FOO), signers)
    assert roots(fine) == []
    assert roots()[0] == f"error: {FOO} has no root there: its workloads get no certificate"
    assert roots(CertificateAuthorityEntry(" ", signers))[0].startswith(f"error: the entry of {FOO} has no root")
    assert "another CA's" in roots(CertificateAuthorityEntry(root(BAR), signers))[0]
    renewed = pki.CA("foo", private=ca("foo").private, now=NOW - timedelta(days=30)).pem.decode()
    assert roots(CertificateAuthorityEntry(renewed, signers))[0].startswith(f"warning: the root of {FOO} was renewed")
    shared = CertificateAuthorityEntry(root(FOO), frozenset({FOO, OTHER}))
    assert roots(shared)[0].startswith("warning: ClusterIssuer foo, ClusterIssuer letsencrypt share one entry")


def test_a_root_that_is_being_changed() -> None:
    """A CA that is cross-signed by its old root, while the mesh has its own certificate as the root, is in order."""
    old, new = ca("foo"), ca("bar")
    cross = pki.CA("bar", parent=old, private=new.private)
    loaded = load_authority(cross.pem, cross.key_pem, old.pem, now=NOW)
    config = replace(entries(*ALL), authorities=(CertificateAuthorityEntry(root(BAR), frozenset({FOO})),))
    here = mesh(world(config=config, signers=frozenset({FOO})), issuers=[state(FOO, authority=loaded)])
    assert [one.severity for one in check_roots(facts(here)) if str(FOO) in one.what] == ["note"]


def test_claims() -> None:
    """A claim of what does not exist or is another's is told at the ProxyConfig that makes it."""
    claimed = {"foo": claims(FOO), "bar": claims(FOO), "shop": claims(OTHER)}
    claimed["store"] = replace(claims(), problems=("ProxyConfig store/x: bad",))
    here = mesh(world(claimed=claimed, bindings=(binding(FOO, "foo"),)))
    found = list(check_claims(facts(here)))
    assert [(one.where, one.what.partition(":")[0]) for one in found] == [
        ("namespace store", "ProxyConfig store/x"),
        ("ProxyConfig bar/foopc", "SignerClaimed"),
        ("ProxyConfig shop/letsencryptpc", "namespace shop names ClusterIssuer letsencrypt, which does not exist"),
    ]
    (error,) = check_claims(facts(mesh(world(claimed={}), issuers=[state(FOO)])))
    assert error.what == f"the mesh's default signer {DEFAULT} does not exist"


def test_policies() -> None:
    """A policy that cannot be read or covers nobody, and a signer whose owner is gone, are told."""
    broken = Policy("broken", frozenset({FOO}), problem="spec.keys: bad")
    empty = Policy("empty", frozenset({BAR}), namespaces=frozenset({"none"}))
    bindings = (binding(TEAM, "gone"), msgspec.structs.replace(binding(OTHER, "x"), problem="bad"))
    found = whats(check_policies(facts(mesh(world(policies=(broken, empty), bindings=bindings)))))
    assert found == [
        "error: it grants nothing: spec.keys: bad",
        f"warning: it covers no namespace that exists, so nobody has {BAR} by it",
        f"warning: {BAR} is refused to namespace bar, which would have it, where no policy covers it",
        f"warning: {FOO} is refused to namespace foo, which would have it, where no policy covers it",
        "error: it cannot be read: bad",
        f"note: {TEAM} belongs to a namespace gone that is gone: nobody else may have it",
    ]


@pytest.mark.parametrize(
    ("names", "running", "severity", "words"),
    [
        (("gw",), (), "error", "istiod itself"),
        ((), (), "error", "istiod itself"),
        (("gw", "istio-system"), (), "note", "whoever claims no signer"),
        (("gw", "istio-system"), ("shop",), "warning", "proxies run in namespace shop"),
        (("gw", "istio-system"), ("gw", "foo"), "note", "whoever claims no signer"),
        (
            ("gw", "istio-system", "shop", "store", "cert-manager"),
            ("shop", "store"),
            "note",
            "whoever claims no signer",
        ),
    ],
)
def test_a_policy_on_the_default(names: tuple[str, ...], running: tuple[str, ...], severity: str, words: str) -> None:
    """A SignerPolicy that takes the mesh's default signer from istiod is an error; from proxies that run, a warning."""
    policy = Policy("gw-short", frozenset({DEFAULT}), namespaces=frozenset(names))
    all_names = ("istio-system", "cert-manager", "foo", "bar", "shop", "store", "gw")
    pods = [named("Pod", name, name, spec={"containers": [{"name": "istio-proxy"}]}) for name in running]
    here = mesh(world(policies=(policy,), namespaces=all_names, config=entries(*ALL)))
    found = [
        one for one in check_policies(facts(here, pods=pods)) if str(DEFAULT) in one.what and "refused" in one.what
    ]
    assert [one.severity for one in found] == [severity]
    assert words in found[0].what
    assert found[0].where == "SignerPolicy gw-short"
    assert "write another policy" in found[0].mend


def test_a_policy_takes_what_somebody_owns() -> None:
    """A SignerPolicy that takes a signer from its owner names both; one that covers him takes nothing."""
    for names, told in ((("shop",), True), (("shop", "foo"), False)):
        policy = Policy("p", frozenset({FOO}), namespaces=frozenset(names))
        here = mesh(world(policies=(policy,), bindings=(binding(FOO, "foo"),)))
        found = whats(check_policies(facts(here)))
        assert any(f"{FOO} is refused to namespace foo" in one for one in found) == told


def pod(name: str, namespace: str, *, env: str = "", annotation: str = "", phase: str = "Running") -> Json:
    listed = [{"name": "ISTIO_META_CERT_SIGNER", "value": env}] if env else []
    found = named("Pod", name, namespace, spec={"initContainers": [{"env": listed}]}, status={"phase": phase})
    if annotation:
        found["metadata"]["annotations"] = {"proxy.istio.io/config": annotation}
    return found


def workloads(*pods: Json) -> list[str]:
    return [f"{one.what} @ {one.where}" for one in check_workloads(facts(pods=pods))]


def test_workloads() -> None:
    """Pods that ask for what their namespace may not have are one finding, with the first of them."""
    thieves = [pod(f"p{n}", "bar", env="foo") for n in range(5)]
    (found,) = workloads(*thieves, pod("fine", "bar", env="bar"), pod("done", "bar", env="team", phase="Succeeded"))
    assert found.startswith("5 Pods ask for ClusterIssuer foo and may not have it: TenantMismatch: ")
    assert found.endswith(" @ namespace bar: p0, p1, p2 and 2 more")
    assert whats(check_workloads(facts(pods=Listing(problem="no"))))[0].startswith("unknown")


@pytest.mark.parametrize(
    ("annotation", "asks"),
    [
        ("proxyMetadata: {ISTIO_META_CERT_SIGNER: foo}", True),
        (json.dumps({"proxyMetadata": {"ISTIO_META_CERT_SIGNER": "foo"}}), True),
        ("proxyMetadata: {ISTIO_META_CERT_SIGNER: 1}", False),
        ("proxyMetadata: [x]", False),
        (": [", False),
        ("&a [*a]", False),
    ],
)
def test_annotations(annotation: str, asks: bool) -> None:
    """A Pod asks by its annotation too; a hostile one asks for nothing and breaks nothing."""
    assert asked_by(pod("p", "bar", annotation=annotation), DOMAIN) == (frozenset({FOO}) if asks else frozenset())


def test_variables_that_are_nearly_right() -> None:
    """A misspelt variable is named with all places that have it, wherever a workload's variables are set."""
    wrong = {"ISTIO_META_CERTSIGNER": "shop", "ISTIO_META_DNS_CAPTURE": "true"}
    config = named("ProxyConfig", "pc", "shop", spec={"environmentVariables": wrong})
    by_env = named(
        "Pod", "p", "shop", spec={"containers": [{"env": [{"name": "ISTIO_META_CERTSIGNER", "value": "x"}]}]}
    )
    by_annotation = pod("q", "shop", annotation="proxyMetadata: {ISTIO_META_CERT_SIGNERS: shop}")
    broken = pod("r", "shop", annotation=": [")
    found = list(
        check_variables(
            facts(proxy_configs=[config], pods=[by_env, by_annotation, broken, pod("s", "shop", env="shop")])
        )
    )
    assert [(one.where, "ISTIO_META_CERT_SIGNER meant" in one.mend) for one in found] == [
        ("Pod shop/p, ProxyConfig shop/pc", True),
        ("Pod shop/q", True),
    ]


def test_malformed_pods() -> None:
    """Whatever stands in a Pod, the others are read."""
    broken: list[Any] = [{}, {"metadata": [], "spec": "x"}, {"spec": {"containers": [1, {"env": [{}, {"name": 1}]}]}}]
    assert len(workloads(*broken, pod("p", "bar", env="foo"))) == 1


def gateways(namespace: str, labels: dict[str, str], **changes: Any) -> list[str]:
    return whats(check_gateways(facts(deployments=[deployment("gw", namespace, labels=labels, **changes)])))


def test_gateways() -> None:
    """A gateway with the mesh's default signer cannot reach tenants; a tenant's own gateway is as it should be."""
    ingress = {"istio": "ingressgateway"}
    (found,) = gateways("istio-system", ingress)
    assert found.startswith(
        f"warning: the gateway has certificates of {DEFAULT}, trusts its root only, and cannot reach"
    )
    assert f"{BAR}, {FOO}" in found
    assert gateways("shop", {"gateway.networking.k8s.io/gateway-name": "x"})
    assert gateways("foo", ingress) == []
    assert gateways("istio-system", {"app": "web"}) == []
    assert gateways("istio-system", ingress, env={"ISTIO_META_CERT_SIGNER": "foo"}) == []
    tenants = mesh(world(claimed={}))
    assert list(check_gateways(facts(tenants, deployments=[deployment("gw", "istio-system", labels=ingress)]))) == []


def test_a_gateway_beside_the_cas() -> None:
    """A gateway in the CAs' namespace could be given their keys: that is an error."""
    found = gateways("cert-manager", {"istio": "ingressgateway"})
    assert found[0].startswith("error: a gateway runs beside the Secrets of the CAs")


def test_one_root_for_two_signers() -> None:
    """Signers with one root do reach each other."""
    same = [state(ref, authority=authority("foo")) for ref in ALL]
    here = facts(mesh(issuers=same), deployments=[deployment("gw", "istio-system", labels={"istio": "ingressgateway"})])
    assert list(check_gateways(here)) == []


def test_examination_puts_the_worst_first() -> None:
    """All checks are made, and errors come before warnings, these before what could not be checked."""
    found = examine(facts(mesh(issuers=[]), pods=Listing(problem="pods may not be read")))
    order = [one.severity for one in found]
    assert order == sorted(order, key=["error", "warning", "unknown", "note"].index)
    assert {"error", "warning", "unknown"} <= set(order)


@pytest.mark.parametrize(
    ("severities", "expected"),
    [([], 0), (["note"], 0), (["unknown", "note"], 2), (["warning"], 1), (["error", "unknown"], 1)],
)
def test_status(severities: list[Any], expected: int) -> None:
    """Scripts learn whether there is something to mend, and whether that is sure."""
    assert status([Finding(one, "c", "w", code="x") for one in severities]) == expected


@pytest.mark.parametrize(
    ("severity", "fail_on", "expected"),
    [
        ("error", "error", 1),
        ("warning", "error", 0),
        ("unknown", "error", 2),
        ("warning", "warning", 1),
        ("note", "warning", 0),
        ("note", "note", 1),
    ],
)
def test_fail_on(severity: Any, fail_on: str, expected: int) -> None:
    """A pipeline says what it fails on; what could not be checked is never "fine"."""
    assert status([Finding(severity, "c", "w", code="x")], fail_on) == expected


def test_report() -> None:
    """A person reads what, where and how to mend it; a terminal gets colours and nothing else."""
    found = [
        Finding("error", "cas", "bad\x1b[2J", "here", "do it", code="Bad"),
        Finding("note", "x", "y", code="Known"),
    ]
    text = report(found, terminal=False)
    assert text.splitlines() == [
        "ERROR    cas: bad\\u001b[2J [Bad]",
        "         at here",
        "         -> do it",
        "NOTE     x: y [Known]",
        "1 errors, 1 notes",
    ]
    assert report(found, terminal=True).startswith("\x1b[31mERROR\x1b[0m")
    assert report([], terminal=False) == "no problems found"
    assert report([], terminal=False, suppressed=2) == "no problems found, 2 suppressed"


def test_roots_of_a_config_that_was_not_read() -> None:
    """Where the mesh config could not be read no root is missing, as far as anybody knows."""
    blind = mesh(
        world(config=entries(), signers=frozenset({FOO})),
        gaps=("configmaps in namespace istio-system may not be read",),
    )
    assert {one.severity for one in check_roots(facts(blind))} == {"unknown"}
    assert {one.code for one in check_roots(facts(blind))} == {"RootsNotChecked"}


@pytest.mark.parametrize(
    ("hours", "words"),
    [(1, "spec.duration"), (72, "spec.duration"), (100, "mesh-signer renew"), (2160, "mesh-signer renew")],
)
def test_a_ca_that_ends_soon(hours: int, words: str) -> None:
    """A CA that ends soon is renewed; one that never had so long needs a longer duration, since the next one has no longer."""
    begins = NOW - timedelta(hours=hours) + timedelta(minutes=30)
    ends = replace(authority("bar"), not_before=begins, not_after=begins + timedelta(hours=hours))
    warned = replace(authority("foo"), not_before=begins, not_after=begins + timedelta(hours=hours + 90))
    found = list(
        check_cas(facts(mesh(issuers=[state(BAR, authority=ends), state(FOO, authority=warned, warning="ends")])))
    )
    told = {one.code: one.mend for one in found if one.code in {"CAEnds", "CAWarning"} and str(BAR) in one.what}
    assert words in told["CAEnds"]
    assert ("mesh-signer renew" in told["CAEnds"]) == (words == "mesh-signer renew")


def test_what_gives_no_certificate_is_an_error() -> None:
    """A claim of what is not there, one that names no issuer, and a trust domain that is none: no workload gets anything by them."""
    claimed = {"shop": claims(OTHER)}
    claimed["store"] = replace(
        claims(),
        malformed="Foo!",
        problems=(
            "ProxyConfig store/x: spec.environmentVariables.ISTIO_META_CERT_SIGNER: 'Foo!' is not a valid issuer name",
            "ProxyConfig store/y: is ignored: ProxyConfig x, which has no selector either, is older. Delete one of the two",
        ),
    )
    found = {
        one.what.partition(": ")[2][:4] or one.code: one for one in check_claims(facts(mesh(world(claimed=claimed))))
    }
    by_code = sorted((one.code, one.severity) for one in found.values())
    assert by_code == [("ClaimAbsent", "error"), ("ClaimMalformed", "error"), ("ClaimMalformed", "warning")]
    for field, severity in (("trustDomain", "error"), ("caCertificates[0]", "warning"), ("rootNamespace", "warning")):
        config = replace(entries(*ALL), problems=(f"ConfigMap istio-system/istio: mesh.{field}: bad",))
        (one,) = [each for each in check_gaps(facts(mesh(world(config=config)))) if each.code == "MeshConfigField"]
        assert one.severity == severity
