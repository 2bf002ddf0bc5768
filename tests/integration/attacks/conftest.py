"""A mesh with two tenants of the Istio task and one of a SignerPolicy, all that we ship in force, and mallory.

She is `edit` in the namespace bar, which claims the signer bar, and may claim that one alone. The SignerPolicy of the signer
shop covers bar too. corp is a CA outside the mesh, sub one below shop's root whose Secret does not show it.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests import pki
from tests.integration.hot_path import ASKERS, Place
from tests.integration.plain_api import Api, Json, Refused
from tests.integration.tenants import ISTIOD, define_proxy_configs
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.install import COMPONENTS, ISTIO, install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

DOMAIN = "clusterissuers.cert-manager.io"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TENANTS = ("foo", "bar", "shop", "istio-system")
POLICY: Json = {
    "signers": [f"{DOMAIN}/shop"],
    "namespaces": {"names": ["shop", "bar"]},
    "certificateRequests": {},
    "dnsNames": ["bar.example", "*.bar.example"],
    "maxLifetime": "1h",
    "serviceAccounts": ["default"],
}


def objects(namespace: str, plural: str, name: str = "", sub: str = "") -> str:
    """The path of namespaced objects, of cert-manager's group unless it is another's."""
    group = {
        "secrets": "/api/v1",
        "proxyconfigs": "/apis/networking.istio.io/v1beta1",
        "orders": "/apis/acme.cert-manager.io/v1",
    }.get(plural, "/apis/cert-manager.io/v1")
    return "/".join(part for part in (f"{group}/namespaces/{namespace}/{plural}", name, sub) if part)


@dataclass
class Siege:
    """The place, and mallory's own connection."""

    place: Place
    mallory: Api

    def request(self, csr: bytes, issuer: Json | None = None, **spec: Any) -> Json:
        """She makes a CertificateRequest in bar; what the API server refuses is raised."""
        reference = {"name": "shop", "kind": "ClusterIssuer", "group": "cert-manager.io"} | (issuer or {})
        given = {"request": base64.b64encode(csr).decode(), "issuerRef": reference, "usages": ["server auth"]} | spec
        body = {
            "apiVersion": "cert-manager.io/v1",
            "kind": "CertificateRequest",
            "metadata": {"name": f"r-{secrets.token_hex(4)}"},
            "spec": {key: value for key, value in given.items() if value is not None},
        }
        return self.mallory.post(objects("bar", "certificaterequests"), body)

    def ended(self, made: Json) -> Json:
        """Wait until a CertificateRequest is issued or refused; returns it."""
        path = objects("bar", "certificaterequests", made["metadata"]["name"])

        def ask() -> Json | None:
            found = self.place.api.get(path)
            return found if ready(found).get("reason") in ("Issued", "Failed", "Denied") else None

        found: Json = self.place.until("the end of the request", ask)
        return found

    def certificate(self, metadata: Json | None = None, **spec: Any) -> Json:
        """She makes a Certificate in bar, of the policy's signer unless another is given."""
        name = f"c-{secrets.token_hex(4)}"
        given = {
            "secretName": name,
            "privateKey": {"algorithm": "ECDSA", "size": 256},
            "issuerRef": {"name": "shop", "kind": "ClusterIssuer", "group": "cert-manager.io"},
            "usages": ["server auth"],
        } | spec
        body = {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": name} | (metadata or {}),
            "spec": given,
        }
        return self.mallory.post(objects("bar", "certificates"), body)


def ready(obj: Json, kind: str = "Ready") -> Json:
    """A condition of an object, {} when it has none."""
    listed = obj.get("status", {}).get("conditions", [])
    return next((one for one in listed if one["type"] == kind), {})


def leaf_of(text: str) -> x509.Certificate:
    """The first certificate of a base64 text."""
    return x509.load_pem_x509_certificates(base64.b64decode(text))[0]


def harmless(leaf: x509.Certificate) -> None:
    """Whatever was asked for: the certificate says no more than the policy lets bar have."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    listed = {type(one): one for one in names}
    assert set(listed) <= {x509.UniformResourceIdentifier, x509.DNSName}
    assert set(names.get_values_for_type(x509.UniformResourceIdentifier)) <= {pki.spiffe("bar")}
    assert all(one.endswith("bar.example") for one in names.get_values_for_type(x509.DNSName))
    assert {one.oid for one in leaf.subject} <= {x509.NameOID.COMMON_NAME}
    assert all(str(one.value).endswith("bar.example") for one in leaf.subject)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) <= {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() <= 3600 + 300


@pytest.fixture(scope="package")
def besieged() -> Iterator[LocalCluster]:
    """The cluster with everything in it, and both of our processes under their own accounts."""
    with LocalCluster() as cluster:
        define_proxy_configs(cluster)
        install(cluster, ISTIO, more=[COMPONENTS / "requester" / "requester.yaml"])
        place = Place.of(cluster)
        _rights(place)
        _tenants(place)
        cluster.wait_for(lambda: _taken(place), "CertificateRequests are taken", 60)
        options = "--controllers=issuers,certificates,certificaterequests,policies"
        with (
            SignerProcess(cluster, "--controllers=csr", tenancy="enforce"),
            SignerProcess(cluster, options, account=CONTROLLERS_ACCOUNT, tenancy="enforce"),
        ):
            _settled(place)
            yield cluster
        place.api.close()


@pytest.fixture(scope="package")
def siege(besieged: LocalCluster) -> Iterator[Siege]:
    place = Place.of(besieged)
    mallory = Api(kubeconfig.read(besieged.kubeconfig("mallory", ["tenants"])))
    yield Siege(place, mallory)
    mallory.close()
    place.api.close()


def _rights(place: Place) -> None:
    cluster = place.cluster
    for namespace in TENANTS:
        cluster.create_namespace(namespace)
    for user in (ISTIOD, f"{ISTIOD}-x", "system:serviceaccount:bar:istiod"):
        cluster.kubectl(
            "create",
            "clusterrolebinding",
            f"admin-{secrets.token_hex(3)}",
            "--clusterrole=cluster-admin",
            f"--user={user}",
        )
    cluster.kubectl("create", "rolebinding", "mallory", "-n", "bar", "--clusterrole=edit", "--user=mallory")
    mesh = {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["*"]}
    claim = {"apiGroups": ["mesh-signer.dev"], "resources": ["signers"], "resourceNames": ["bar"], "verbs": ["claim"]}
    ask = {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create"]}
    for name, rule, subject in (
        ("mesh-of-bar", mesh, ""),
        ("claim-bar", claim, "--user=mallory"),
        (ASKERS, ask, f"--group={ASKERS}"),
    ):
        place.api.post(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": [rule]})
        if subject:
            cluster.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", subject)
    cluster.kubectl("create", "rolebinding", "mesh", "-n", "bar", "--clusterrole=mesh-of-bar", "--user=mallory")


def _tenants(place: Place) -> None:
    cas = {name: pki.CA(name) for name in (*TENANTS, "corp")}
    for name, ca in cas.items():
        place.ca_issuer(name, ca)
    sub = cas["shop"].intermediate("sub")
    place.secret("sub", {"tls.crt": sub.pem, "tls.key": sub.key_pem})
    place.issuer("sub", {"ca": {"secretName": "sub"}})
    place.issuer("selfsigned", {"selfSigned": {}})
    entries = [{"pem": cas[name].pem.decode(), "certSigners": [f"{DOMAIN}/{name}"]} for name in TENANTS]
    default = {"proxyMetadata": {"ISTIO_META_CERT_SIGNER": "istio-system"}}
    mesh = json.dumps({"caCertificates": entries, "defaultConfig": default, "trustDomain": "cluster.local"})
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}
    place.cluster.apply(json.dumps(body | {"data": {"mesh": mesh}}))
    for name in ("foo", "bar"):
        place.api.apply(objects(name, "proxyconfigs", f"{name}pc"), proxy_config(f"{name}pc", name))
    body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": "shop"}}
    place.cluster.apply(json.dumps(body | {"spec": POLICY}))
    own = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "ca", "namespace": "shop"}}
    place.secret("shop-own", pki.CA("shop-own").secret(), "shop")
    place.cluster.apply(json.dumps(own | {"spec": {"ca": {"secretName": "shop-own"}}}))
    place.secret("bar-own", pki.CA("bar-own").secret(), "bar")
    mine = own | {"metadata": {"name": "ca", "namespace": "bar"}, "spec": {"ca": {"secretName": "bar-own"}}}
    place.cluster.apply(json.dumps(mine))


def proxy_config(name: str, signer: str, **metadata: Any) -> Json:
    spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}}
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "ProxyConfig",
        "metadata": {"name": name} | metadata,
        "spec": spec,
    }


def _taken(place: Place) -> bool:
    """Whether CertificateRequests are taken: a policy that changes them answers 503 for a while."""
    spec = {"request": "eA==", "issuerRef": {"name": "none"}}
    body = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {"name": "probe"},
        "spec": spec,
    }
    try:
        place.cluster.kubectl("create", "-n", "default", "--dry-run=server", "-f", "-", input=json.dumps(body))
    except LocalMeshError as error:
        if "not found. There can be a delay" not in str(error):
            raise
        return False
    return True


def _settled(place: Place) -> None:
    """Everybody has what is his: owners are stored, the policy is recorded, and the admission policies are in force."""
    group = "/apis/mesh-signer.dev/v1alpha1"
    for name in ("foo", "bar"):
        place.until(f"the owner of {name}", partial(place.api.find, f"{group}/signerbindings/{name}"))
    place.until(
        "the policy's record",
        lambda: place.api.get(f"{group}/signerpolicies/shop").get("status", {}).get("namespaceCount") == 2,
    )
    mallory = Api(kubeconfig.read(place.cluster.kubeconfig("mallory", ["tenants"])))

    def refused() -> bool:
        try:
            mallory.post(f"{objects('bar', 'proxyconfigs')}?dryRun=All", proxy_config("probe", "foo"))
        except Refused as error:
            return "claim" in error.message
        return False

    place.until("the admission policies", refused)
    mallory.close()
