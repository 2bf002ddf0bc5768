"""The wall as our processes run it: under their own rights, with the leader's work on SignerPolicies and the mesh config."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests import pki
from tests.integration.hot_path import Place
from tests.integration.tenants import mesh_cluster
from tests.localmesh import LocalCluster
from tests.localmesh.install import COMPONENTS
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

DOMAIN = "clusterissuers.cert-manager.io"
ISTIOD = "system:serviceaccount:istio-system:istiod"
CONFIG = "/api/v1/namespaces/istio-system/configmaps/istio"
POLICIES = "/apis/mesh-signer.dev/v1alpha1/signerpolicies"
BINDINGS = "/apis/mesh-signer.dev/v1alpha1/signerbindings"
OTHER = "# by hand\nmeshMTLS: {minProtocolVersion: TLSV1_3}  # stays\n"


@pytest.fixture(scope="module")
def mesh() -> Iterator[LocalCluster]:
    """A cluster of its own: Istio's ConfigMap is one for all of it."""
    with mesh_cluster(COMPONENTS / "manage-mesh-config" / "rbac.yaml") as cluster:
        yield cluster


@pytest.fixture
def place(mesh: LocalCluster) -> Iterator[Place]:
    found = Place.of(mesh)
    yield found
    found.forget()
    found.api.close()


@pytest.fixture
def tenant(place: Place) -> str:
    """A namespace, and a ClusterIssuer of its name with a CA."""
    name = f"t-{secrets.token_hex(4)}"
    place.cluster.create_namespace(name)
    place.ca_issuer(name, pki.CA(name))
    return name


def mesh_config(place: Place, text: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}
    place.api.apply(CONFIG, body | {"data": {"mesh": text, "other": "x"}})


def claim(place: Place, namespace: str, signer: str) -> None:
    body: Any = {"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig"}
    body |= {"metadata": {"name": "default", "namespace": namespace}}
    body |= {"spec": {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}}}
    place.api.apply(f"/apis/networking.istio.io/v1beta1/namespaces/{namespace}/proxyconfigs/default", body)


def test_the_wall_under_our_rights(mesh: LocalCluster, place: Place, tenant: str) -> None:
    """Under the rights that we ship a claim is bound, granted and noted at once, and another namespace is refused."""
    thief = f"{tenant}-thief"
    mesh.create_namespace(thief)
    mesh_config(place, f"caCertificates:\n- pem: x\n  certSigners: [{DOMAIN}/{tenant}]\n")
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce") as signer:
        assert signer.ready() == (True, signer.ready()[1])
        claim(place, tenant, tenant)
        place.issue(tenant, pki.workload_csr(tenant), user=ISTIOD)
        reason, message = place.refused(tenant, pki.workload_csr(thief), user=ISTIOD)
        assert reason == "TenantMismatch"
        assert thief in message
        place.until("its time", lambda: place.api.get(f"{BINDINGS}/{tenant}").get("status", {}).get("lastIssuedTime"))
        assert signer.wait_for_metric("mesh_signer_bindings", 1) == 1
        assert signer.wait_for_metric("mesh_signer_mesh_signers", 1) == 1
        assert signer.wait_for_metric("mesh_signer_tenancy_mode", 1, mode="enforce") == 1
        assert signer.metric("mesh_signer_mesh_source_age_seconds", source="ProxyConfigs") < 300
        assert signer.metric("mesh_signer_api_errors_total", code="403") == 0


def test_not_ready_before_all_is_read(mesh: LocalCluster) -> None:
    """A process that may not read the mesh is not ready, and says of which source."""
    with_rights = mesh.kubectl("get", "rolebinding", "mesh-signer-mesh-config", "-n", "istio-system", "-o", "yaml")
    mesh.kubectl("delete", "rolebinding", "mesh-signer-mesh-config", "-n", "istio-system")
    signer = SignerProcess(mesh, "--controllers=csr", tenancy="enforce")
    try:
        signer.start(wait=False)
        mesh.wait_for(lambda: "[-] mesh: not read yet: mesh config (Forbidden" in signer.ready()[1], "the reason", 60)
        mesh.kubectl("create", "-f", "-", input=_bare(with_rights))
        mesh.wait_for(lambda: signer.ready()[0], "readiness", 60)
    finally:
        signer.stop()


def test_policies_and_roots(mesh: LocalCluster, place: Place, tenant: str) -> None:
    """The leader says what a SignerPolicy covers and keeps the roots in the mesh config, where all else stays as it is."""
    mesh_config(place, OTHER)
    body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": tenant}}
    spec = {"signers": [f"{DOMAIN}/{tenant}"], "namespaces": {"names": [tenant]}}
    options = ("--controllers=issuers,certificates,certificaterequests,policies", "--manage-mesh-config=true")
    with SignerProcess(mesh, *options, account=CONTROLLERS_ACCOUNT, tenancy="enforce") as leader:
        place.api.apply(f"{POLICIES}/{tenant}", body | {"spec": spec})
        place.made.append(f"{POLICIES}/{tenant}")

        def status() -> Any:
            return place.api.get(f"{POLICIES}/{tenant}").get("status", {})

        place.until("its status", lambda: status().get("namespaceCount") == 1)
        assert status()["namespaces"] == [tenant]
        assert {one["type"]: one["status"] for one in status()["conditions"]} == {"Ready": "True", "Conflict": "False"}
        data = place.until("its root", lambda: _with_root(place, tenant))
        assert data["other"] == "x"
        assert data["mesh"].startswith(OTHER)
        place.event("istio", "RootsUpdated", kind="ConfigMap", namespace="istio-system")
        # A root with another key is a person's decision.
        before = place.api.get(CONFIG)["data"]
        place.secret(tenant, pki.CA("another").secret())
        event = place.event("istio", "RootsNotUpdated", kind="ConfigMap", namespace="istio-system")
        assert f"{DOMAIN}/{tenant}" in event["message"]
        assert place.api.get(CONFIG)["data"] == before
        place.api.delete(f"{POLICIES}/{tenant}")
        assert leader.metric("mesh_signer_api_errors_total", code="403") == 0


def _with_root(place: Place, tenant: str) -> Any:
    data = place.api.get(CONFIG)["data"]
    return data if f"{DOMAIN}/{tenant}" in data["mesh"] and "BEGIN CERTIFICATE" in data["mesh"] else None


def _bare(text: str) -> str:
    """An object as it can be made anew."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(("  uid:", "  resourceVersion:")))
