"""Tenants by identity on real parts: K8S_SIGNER alone, no signer name from any workload, and each tenant has its own CA and root."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from signer.commands.tenancies.signers import approve_rule
from tests.e2e.conftest import refusals_of
from tests.localmesh.demo import command
from tests.localmesh.istio_install import BY_IDENTITY, mesh_config
from tests.localmesh.mesh import Mesh, Options
from tests.localmesh.workload import Workload
from tests.localmesh.ztunnel import TRUSTED, Ztunnel
from tests.vectors import craft
from tests.vectors.craft import Csr

pytestmark = pytest.mark.e2e

ALONE = "alone"
CLIENTS = Path(__file__).parents[1] / "vectors" / "clients"
DOMAIN = "clusterissuers.cert-manager.io"


@pytest.fixture(scope="module")
def mesh(built: None) -> Iterator[Mesh]:  # noqa: ARG001 - only to come after it
    """A mesh of its own, with Istio as manifests/examples/tenants-by-identity has it."""
    with Mesh(Options(example=BY_IDENTITY, istiod_environment=TRUSTED)) as made:
        made.cluster.create_namespace(ALONE)
        yield made


@pytest.fixture(scope="module")
def task(mesh: Mesh) -> dict[str, Workload]:
    """The workloads of the Istio task, none of which names a signer, and a gateway in Istio's own namespace."""
    placed = [
        *(mesh.place("httpbin", tenant, "", server=True) for tenant in ("foo", "bar")),
        *(mesh.place("curl", tenant, "") for tenant in ("foo", "bar")),
        mesh.place_gateway(signer=""),
    ]
    mesh.wait_ready(*placed)
    return {str(workload): workload for workload in placed}


def chain(workload: Workload) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(workload.chain())


def root(mesh: Mesh, issuer: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(mesh.root(issuer).encode())


def test_nothing_in_istio_names_a_tenant(mesh: Mesh) -> None:
    """The mesh config has istiod's own signer alone, and no signer for workloads: a new tenant needs no change there."""
    config = mesh_config(mesh.cluster)
    assert [entry["certSigners"] for entry in config["caCertificates"]] == [[f"{DOMAIN}/istio-system"]]
    assert "proxyMetadata" not in config.get("defaultConfig", {})
    assert not mesh.cluster.get("proxyconfigs", "--all-namespaces")["items"]


@pytest.mark.parametrize(
    ("name", "tenant"),
    [
        ("httpbin.foo", "foo"),
        ("curl.foo", "foo"),
        ("httpbin.bar", "bar"),
        ("curl.bar", "bar"),
        ("istio-ingressgateway.istio-system", "istio-system"),
    ],
)
def test_identity_chooses_ca_and_root(mesh: Mesh, task: dict[str, Workload], name: str, tenant: str) -> None:
    """The agent was given a leaf of the tenant's own CA, and that tenant's root for what it trusts."""
    leaf, *above = chain(task[name])
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [task[name].spiffe_id]
    assert above[-1] == root(mesh, tenant)
    leaf.verify_directly_issued_by(above[0])


@pytest.mark.parametrize("tenant", ["foo", "bar"])
def test_a_tenant_reaches_itself(task: dict[str, Workload], tenant: str) -> None:
    """Within a tenant, curl reaches httpbin."""
    answer = task[f"curl.{tenant}"].ask(f"httpbin.{tenant}")
    assert (answer.status, answer.text.splitlines()[-1]) == (200, f"httpbin.{tenant}")


@pytest.mark.parametrize(("source", "target"), [("foo", "bar"), ("bar", "foo")])
def test_a_tenant_reaches_no_other(task: dict[str, Workload], source: str, target: str) -> None:
    """Between tenants, the handshake fails on the certificate."""
    answer = task[f"curl.{source}"].ask(f"httpbin.{target}")
    assert answer.refused_by_tls, answer


def test_the_audit_log_says_who_signed(mesh: Mesh, task: dict[str, Workload]) -> None:
    """Each line has the name that was asked, and whose CA signed."""
    for name in ("httpbin.foo", "httpbin.bar"):
        lines = mesh.signer.audited(2, identity=task[name].spiffe_id)
        assert {line["signer"] for line in lines} == {f"{DOMAIN}/mesh"}
        assert {line["signedBy"] for line in lines} == {f"{DOMAIN}/{task[name].namespace}"}


def test_mesh_config_prints_what_istiod_needs(mesh: Mesh) -> None:
    """The rule of the example is the one that mesh-config prints for this mesh, and istiod has no other to approve by."""
    role = mesh.cluster.get("clusterrole", "istiod-clusterrole-istio-system")
    (rule,) = [one for one in role["rules"] if "approve" in one["verbs"]]
    printed = yaml.safe_load_all(command(mesh, "mesh-config"))
    (wanted,) = [one["rules"] for one in printed if one and "rules" in one]
    assert wanted == [approve_rule([f"{DOMAIN}/mesh", f"{DOMAIN}/istio-system"])]
    assert {**wanted[0], "resourceNames": sorted(rule["resourceNames"])} == wanted[0]


def test_a_thief_is_forbidden_by_istiod(mesh: Mesh, task: dict[str, Workload]) -> None:
    """A workload in bar that names foo's signer never gets as far as a signer: istiod may not approve it, and says so."""
    thief = mesh.place("thief", "bar", "foo")
    try:
        said = mesh.cluster.wait_for(
            lambda: [line for line in thief.log.splitlines() if "forbidden" in line], "what istiod says to the thief"
        )
        assert "not permitted to approve" in said[0]
        assert thief.certificate() is None
        assert thief.ask("httpbin.foo").status != 200
        assert not [line for line in mesh.signer.audit() if line.get("identity") == thief.spiffe_id]
    finally:
        mesh.remove(thief)
    assert task["curl.foo"].ask("httpbin.foo").status == 200


def test_the_one_name_gives_a_thief_its_own(mesh: Mesh, task: dict[str, Workload]) -> None:
    """Who names the one signer itself has what it had without: its own tenant's CA and root, and reaches nobody else."""
    named = mesh.place("named", "bar", "mesh")
    try:
        mesh.wait_ready(named)
        assert chain(named)[-1] == root(mesh, "bar")
        assert named.ask("httpbin.bar").status == 200
        assert named.ask(str(task["httpbin.foo"])).refused_by_tls
    finally:
        mesh.remove(named)


def test_a_namespace_of_no_tenant_gets_nothing(mesh: Mesh) -> None:
    """A workload in a namespace that has no CA is refused, with the reason; once an admin gives it one, it is served."""
    lonely = mesh.place("lonely", ALONE, "")
    policy = {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "SignerPolicy",
        "metadata": {"name": ALONE},
        "spec": {"signers": [f"{DOMAIN}/bar"], "namespaces": {"names": [ALONE]}},
    }
    try:
        line = mesh.cluster.wait_for(partial(refusals_of, mesh, lonely), "its refusal")[0]
        assert line["reasons"][0].startswith("RouteMissing: ")
        mesh.cluster.apply(yaml.safe_dump(policy))
        # istiod waits a minute for what was refused, and the agent asks again.
        mesh.wait_ready(lonely, timeout=150)
        assert chain(lonely)[-1] == root(mesh, "bar")
        assert lonely.ask("httpbin.bar").status == 200
    finally:
        mesh.cluster.kubectl("delete", "signerpolicy", ALONE, "--ignore-not-found")
        mesh.remove(lonely)


@pytest.fixture(scope="module")
def ztunnel(mesh: Mesh) -> Ztunnel:
    """The ztunnel of a node on which a workload of foo and one of bar run; a second one of bar runs on another."""
    made = Ztunnel(mesh, "node-1")
    made.start()
    for tenant in ("foo", "bar"):
        made.run_pod("web", tenant)
    made.run_pod("far", "bar", "far", node="node-2")
    # istiod lets it ask once it has seen the Pods.
    mesh.cluster.wait_for(lambda: asked(made, "foo")[0], "a certificate for the workload of foo", 60)
    return made


def asked(ztunnel: Ztunnel, namespace: str, account: str = "default") -> tuple[list[x509.Certificate], str]:
    """What istiod gives ztunnel for a workload that has a request in ztunnel's form."""
    identity = f"spiffe://cluster.local/ns/{namespace}/sa/{account}"
    csr = Csr(subject=craft.seq(), attributes=[craft.ext_request(craft.san(craft.uri(identity)))])
    pem, why = ztunnel.ask(csr.pem(), identity)
    return (x509.load_pem_x509_certificates(pem) if pem else []), why


@pytest.mark.parametrize("tenant", ["foo", "bar"])
def test_ambient_has_tenants(mesh: Mesh, ztunnel: Ztunnel, tenant: str) -> None:
    """One ztunnel, which names no signer, has for each workload of its node a leaf of that tenant's CA, and its root last."""
    (leaf, *above), _ = asked(ztunnel, tenant)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://cluster.local/ns/{tenant}/sa/default"]
    assert above == [root(mesh, tenant)]
    leaf.verify_directly_issued_by(above[0])


@pytest.mark.parametrize("version", ["1.27", "1.28"])
def test_ztunnels_own_requests(mesh: Mesh, ztunnel: Ztunnel, version: str) -> None:
    """What ztunnel's library writes passes istiod and is signed, by its exact bytes, in both of its forms."""
    pem, why = ztunnel.ask(
        (CLIENTS / f"ztunnel-{version}.pem").read_bytes(), "spiffe://cluster.local/ns/foo/sa/default"
    )
    assert pem, why
    assert x509.load_pem_x509_certificates(pem)[-1] == root(mesh, "foo")


def test_ztunnel_asks_for_its_node_alone(ztunnel: Ztunnel) -> None:
    """Who has taken a node over has its workloads' certificates, and no others: istiod looks where each one runs."""
    found, why = asked(ztunnel, "bar", "far")
    assert not found
    assert "impersonation" in why
