"""A mesh without a mesh: tenants with their namespaces, claims and signers, and requests as istiod would make them.

Synchronous, over hot_path's client. Names are a test's own; the ConfigMap `istio` is one for all, so that tests that use
this do not run at the same time.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import pki
from tests.integration.hot_path import Place, signer_name
from tests.integration.plain_api import Json
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.install import install, wait_established

ISTIO = "istio-system"
ISTIOD = f"system:serviceaccount:{ISTIO}:istiod"
PROXY_CONFIGS = "networking.istio.io/v1beta1"
CRD = "proxyconfigs.networking.istio.io"


@dataclass
class Tenants:
    """Tenants by short names; what exists in the cluster has a token behind it."""

    place: Place
    token: str = field(default_factory=lambda: secrets.token_hex(3))
    cas: dict[str, pki.CA] = field(default_factory=dict)

    def name(self, tenant: str) -> str:
        """Both the tenant's namespace and its ClusterIssuer."""
        return f"{tenant}-{self.token}"

    def signer(self, tenant: str) -> str:
        return signer_name(self.name(tenant))

    def add(self, *tenants: str) -> None:
        """Make tenants as the Istio task does: namespace, CA, ClusterIssuer, ProxyConfig, an entry in the mesh config."""
        for tenant in tenants:
            name = self.name(tenant)
            self.place.cluster.create_namespace(name)
            self.cas[tenant] = pki.CA(name)
            self.place.ca_issuer(name, self.cas[tenant])
            spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": name}}
            self._apply(
                {
                    "apiVersion": PROXY_CONFIGS,
                    "kind": "ProxyConfig",
                    "metadata": {"name": "claim", "namespace": name},
                    "spec": spec,
                }
            )
        entries = [{"pem": ca.pem.decode(), "certSigners": [self.signer(tenant)]} for tenant, ca in self.cas.items()]
        mesh = json.dumps({"caCertificates": entries})  # JSON is YAML
        metadata = {"name": "istio", "namespace": ISTIO}
        self._apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}})

    def ask(self, tenant: str, signer: str = "", *, name: str = "", account: str = "default") -> str:
        """A workload of a tenant asks for its own signer, or another tenant's, through istiod; the request's name."""
        csr = pki.workload_csr(self.name(tenant), account)
        return self.place.ask(self.signer(signer or tenant), csr, user=ISTIOD, name=name)

    def create(self, tenant: str, signer: str = "") -> Json:
        """The same, not yet approved."""
        csr = pki.workload_csr(self.name(tenant))
        return self.place.create(self.signer(signer or tenant), csr, user=ISTIOD)

    def _apply(self, body: Json) -> None:
        self.place.cluster.apply(json.dumps(body))

    def remove(self) -> None:
        """Take away what a later test could stumble over."""
        cluster = self.place.cluster
        cluster.kubectl("delete", "configmap", "istio", "-n", ISTIO, "--ignore-not-found")
        cluster.kubectl("delete", "signerbindings", *map(self.name, self.cas), "--ignore-not-found")
        cluster.kubectl("delete", "namespaces", *map(self.name, self.cas), "--wait=false")


@contextmanager
def meshed(cluster: Cluster) -> Iterator[Tenants]:
    """Give a cluster what istiod would have brought: the definition of ProxyConfigs."""
    define_proxy_configs(cluster)
    place = Place.of(cluster)
    tenants = Tenants(place)
    try:
        yield tenants
    finally:
        place.forget()
        if tenants.cas:
            tenants.remove()
        place.api.close()


@contextmanager
def mesh_cluster(*more: Path) -> Iterator[LocalCluster]:
    """A cluster of its own with all that we ship, `more` of our components' files, ProxyConfigs, and istiod's rights.

    Where a test changes what a cluster has once, such as Istio's ConfigMap.
    """
    with LocalCluster() as cluster:
        install(cluster, more=more)
        define_proxy_configs(cluster)
        cluster.kubectl("create", "clusterrolebinding", "istiod", "--clusterrole=cluster-admin", f"--user={ISTIOD}")
        yield cluster


def define_proxy_configs(cluster: Cluster) -> None:
    """As far as the API server needs it; Istio's own is not replaced."""
    if cluster.kubectl("get", "crd", CRD, "--ignore-not-found").strip():
        return
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "ProxyConfig", "listKind": "ProxyConfigList", "plural": "proxyconfigs", "singular": "proxyconfig"}
    cluster.apply(
        json.dumps(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": CRD},
                "spec": {
                    "group": "networking.istio.io",
                    "names": names,
                    "scope": "Namespaced",
                    "versions": [version],
                },
            }
        )
    )
    wait_established(cluster, CRD)
