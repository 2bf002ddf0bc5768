"""Slips of admins on a real API server, under our own rights: a wrong `secretName`, a forgotten `-n`, one root for two tenants."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import pki
from tests.integration.hot_path import Place
from tests.integration.tenants import ISTIO, ISTIOD, PROXY_CONFIGS, Tenants, mesh_cluster
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

RECORDS = "/apis/mesh-signer.dev/v1alpha1/signerrecords"
POLICIES = "/apis/mesh-signer.dev/v1alpha1/signerpolicies"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster of its own: Istio's ConfigMap is one for all of it."""
    with mesh_cluster() as found:
        yield found


@pytest.fixture
def tenants(cluster: LocalCluster) -> Iterator[Tenants]:
    place = Place.of(cluster)
    found = Tenants(place)
    yield found
    found.remove()
    place.forget()
    place.api.close()


def certificates(tenants: Tenants, tenant: str) -> list[str]:
    """The certificates of a signer's own CAs that are recorded."""
    listed = tenants.place.api.get(RECORDS)["items"]
    name = f"clusterissuers.{tenants.name(tenant)}"
    stored: dict[str, Any] = next((one for one in listed if one["metadata"]["name"] == name), {})
    return [one["certificate"] for one in stored.get("status", {}).get("certificates", []) if one["role"] == "CA"]


def slip(tenants: Tenants, tenant: str, other: str) -> None:
    """Make a tenant whose ClusterIssuer names another's Secret, and write that root for it, as `mesh-config --force` does."""
    name = tenants.name(tenant)
    tenants.place.cluster.create_namespace(name)
    tenants.place.issuer(name, {"ca": {"secretName": tenants.name(other)}})
    claim = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": name}}
    metadata = {"name": "claim", "namespace": name}
    body = {"apiVersion": PROXY_CONFIGS, "kind": "ProxyConfig", "metadata": metadata, "spec": claim}
    tenants.place.cluster.apply(json.dumps(body))
    tenants.cas[tenant] = tenants.cas[other]
    tenants.add()


def refused(tenants: Tenants, tenant: str) -> str:
    """A workload asks for its own signer and is refused for its CA's sake; the message."""
    reason, message = tenants.place.answered(tenants.ask(tenant)).failed
    assert reason == "TenantMismatch"
    assert "CA key of another signer" in message
    return message


def test_a_wrong_secret_name(cluster: LocalCluster, tenants: Tenants) -> None:
    """The owner goes on while the newcomer has its CA; mended, both have their own, and nothing is left of it."""
    place = tenants.place
    with SignerProcess(cluster, "--controllers=csr", tenancy="enforce") as first:
        tenants.add("bar")
        place.issued(tenants.ask("bar"))
        slip(tenants, "team-a", "bar")
        assert tenants.name("bar") not in refused(tenants, "team-a")
        place.issued(tenants.ask("bar"))
        assert f"the CA key of ClusterIssuer {tenants.name('team-a')} is also that of" in first.log
    with SignerProcess(cluster, "--controllers=csr", tenancy="enforce"):
        refused(tenants, "team-a")
        place.issued(tenants.ask("bar"))
        tenants.add("team-a")  # with a CA of its own
        place.until("the new CA", lambda: place.answered(tenants.ask("team-a")).chain)
        place.issued(tenants.ask("bar"))
        assert len(certificates(tenants, "team-a")) == 1
        assert certificates(tenants, "team-a") != certificates(tenants, "bar")


def test_a_policy_of_the_newcomer(cluster: LocalCluster, tenants: Tenants) -> None:
    """A SignerPolicy of the newcomer's signer gives it nothing of what is an owner's."""
    place = tenants.place
    with SignerProcess(cluster, "--controllers=csr", tenancy="enforce"):
        tenants.add("bar")
        place.issued(tenants.ask("bar"))
        name = tenants.name("team-a")
        spec = {"signers": [tenants.signer("team-a")], "namespaces": {"names": [name], "remade": "Allow"}}
        body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": name}}
        place.api.apply(f"{POLICIES}/{name}", body | {"spec": spec})
        place.made.append(f"{POLICIES}/{name}")
        slip(tenants, "team-a", "bar")
        refused(tenants, "team-a")
        place.issued(tenants.ask("bar"))


def test_a_record_that_is_deleted(cluster: LocalCluster, tenants: Tenants) -> None:
    """What is deleted of a signer's former keys no running process writes back."""
    place = tenants.place
    with SignerProcess(cluster, "--controllers=csr", tenancy="enforce"):
        tenants.add("bar")
        place.issued(tenants.ask("bar"))
        tenants.cas["bar"] = pki.CA(tenants.name("bar"), private=pki.key("p256", n=4711))
        place.secret(tenants.name("bar"), tenants.cas["bar"].secret())
        tenants.add()
        place.until("the new CA", lambda: place.issued(tenants.ask("bar")).signed_by(tenants.cas["bar"]))
        former, _ = certificates(tenants, "bar")
        place.api.delete(f"{RECORDS}/clusterissuers.{tenants.name('bar')}")
        place.until("a record", lambda: place.issued(tenants.ask("bar")).chain and certificates(tenants, "bar"))
        assert len(certificates(tenants, "bar")) == 1
        assert former not in certificates(tenants, "bar")


def test_a_forgotten_namespace(cluster: LocalCluster, tenants: Tenants) -> None:
    """A tenant's ProxyConfig, applied in the root namespace, gives nobody its signer; it is told on the mesh config."""
    place = tenants.place
    with SignerProcess(cluster, "--controllers=csr", tenancy="enforce"):
        tenants.add("foo")
        place.issued(tenants.ask("foo"))
        tenants.cas["all"] = pki.CA(tenants.name("all"))
        place.ca_issuer(tenants.name("all"), tenants.cas["all"])
        default = {"defaultConfig": {"proxyMetadata": {"ISTIO_META_CERT_SIGNER": tenants.name("all")}}}
        mesh_config(tenants, default)
        del tenants.cas["all"]  # it has no namespace
        plain = tenants.name("plain")
        cluster.create_namespace(plain)
        metadata = {"name": tenants.name("foo"), "namespace": ISTIO}
        spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": tenants.name("foo")}}
        path = f"/apis/{PROXY_CONFIGS}/namespaces/{ISTIO}/proxyconfigs/{metadata['name']}"
        place.api.apply(path, {"apiVersion": PROXY_CONFIGS, "kind": "ProxyConfig", "metadata": metadata, "spec": spec})
        place.made.append(path)
        event = place.event("istio", "NotTheDefaultSigner", kind="ConfigMap", namespace=ISTIO)
        assert f"ClusterIssuer {tenants.name('foo')}" in event["message"]
        place.issue(tenants.signer("all"), pki.workload_csr(plain), user=ISTIOD)
        reason, _ = place.refused(tenants.signer("foo"), pki.workload_csr(plain), user=ISTIOD)
        assert reason == "TenantMismatch"
        place.issued(tenants.ask("foo"))


def test_one_root_for_two_tenants(cluster: LocalCluster, tenants: Tenants) -> None:
    """Tenants whose CAs are below one root are told to trust each other."""
    place = tenants.place
    root = pki.CA("corporate", private=pki.key("p256", n=4712))
    with SignerProcess(cluster, "--controllers=csr", tenancy="enforce") as signer:
        tenants.add("foo", "bar")
        place.issued(tenants.ask("foo"))
        place.issued(tenants.ask("bar"))
        assert "have one root" not in signer.log
        for number, tenant in enumerate(("foo", "bar")):
            own = pki.CA(tenants.name(tenant), private=pki.key("p256", n=4713 + number), parent=root)
            place.secret(tenants.name(tenant), own.secret())
            tenants.cas[tenant] = root
        tenants.add()
        place.until("the warning", lambda: "have one root in meshConfig.caCertificates" in signer.log)
        assert f"ClusterIssuer {tenants.name('bar')}, ClusterIssuer {tenants.name('foo')}" in signer.log


def mesh_config(tenants: Tenants, more: dict[str, Any]) -> None:
    """Write the entries of all tenants, and more."""
    entries = [{"pem": ca.pem.decode(), "certSigners": [tenants.signer(one)]} for one, ca in tenants.cas.items()]
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": ISTIO}}
    tenants.place.cluster.apply(json.dumps(body | {"data": {"mesh": json.dumps({"caCertificates": entries} | more)}}))
