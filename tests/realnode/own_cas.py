"""Tenants whose CA the test has itself, so that it can change the root: a Secret, an issuer, a SignerPolicy, the mesh config. Synchronous."""

import base64
import json

import yaml

from tests import pki
from tests.localmesh import Cluster
from tests.realnode.installation import NAMESPACE

_DOMAIN = "clusterissuers.cert-manager.io"


def make_tenant(cluster: Cluster, name: str, ca: pki.CA) -> None:
    """A namespace, a ClusterIssuer of its name, and a SignerPolicy that gives it out."""
    cluster.create_namespace(name)
    write_ca(cluster, name, ca)
    meta = {"name": name}
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": meta}
    cluster.apply(json.dumps(issuer | {"spec": {"ca": {"secretName": name}}}))
    spec = {"signers": [f"{_DOMAIN}/{name}"], "namespaces": {"names": [name]}}
    policy = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": meta}
    cluster.apply(json.dumps(policy | {"spec": spec}))


def write_ca(cluster: Cluster, name: str, ca: pki.CA) -> None:
    """The Secret of a tenant's CA."""
    data = {key: base64.b64encode(value).decode() for key, value in ca.secret().items()}
    meta = {"name": name, "namespace": NAMESPACE}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}))


def announce(cluster: Cluster, name: str, *cas: pki.CA) -> None:
    """Write the roots of one signer into the mesh config, beside what is there; none takes its entry out."""
    found = cluster.get("configmap", "istio", "-n", "istio-system")
    mesh = yaml.safe_load(found["data"]["mesh"])
    signer = f"{_DOMAIN}/{name}"
    kept = [one for one in mesh.get("caCertificates", []) if one["certSigners"] != [signer]]
    entry = {"pem": b"".join(ca.pem for ca in cas).decode(), "certSigners": [signer]}
    mesh["caCertificates"] = [*kept, *([entry] if cas else [])]
    patch = json.dumps({"data": {"mesh": json.dumps(mesh)}})
    cluster.kubectl("patch", "configmap", "istio", "-n", "istio-system", "--type=merge", "-p", patch)


def remove_tenant(cluster: Cluster, name: str) -> None:
    """Take away all of it."""
    announce(cluster, name)
    cluster.kubectl("delete", "namespace", name)
    cluster.kubectl("delete", "signerpolicy,clusterissuer", name)
    cluster.kubectl("delete", "secret", name, "-n", NAMESPACE)
