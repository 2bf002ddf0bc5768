"""Moving from cert-manager by the steps of docs/setups/cert-manager.md, without a program of its own: its objects and Secrets stay, and nothing is issued anew."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from issuers.private_key import encode_key
from tests import pki
from tests.integration import certmanager_crds
from tests.localmesh import LocalCluster
from tests.localmesh.install import CRDS, ISTIO, install, wait_established
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration
HOST = "shop.example.com"
ISSUER = {"name": "public", "kind": "ClusterIssuer", "group": "cert-manager.io"}


def leaf(ca: pki.CA) -> bytes:
    """A certificate for the host, as the CA gave it to cert-manager three weeks ago."""
    now = datetime.now(UTC).replace(microsecond=0)
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)]))
        .issuer_name(ca.certificate.subject)
        .public_key(pki.key("p256", 5).public_key())
        .serial_number(77)
        .not_valid_before(now - timedelta(days=21))
        .not_valid_after(now + timedelta(days=69))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    )
    return pki.cert_pem(built.sign(ca.private, hashes.SHA256()))


def secret(name: str, namespace: str, data: dict[str, bytes], annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {"controller.cert-manager.io/fao": "true"},
        "annotations": {f"cert-manager.io/{key}": value for key, value in annotations.items()},
    }
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": encoded}


@pytest.fixture
def left(private_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """What cert-manager leaves when its Deployments are removed: its CRDs, an issuer, and a Certificate with its Secret."""
    cluster = private_cluster()
    cluster.create_namespace("cert-manager")
    for group in ("cert-manager.io", "acme.cert-manager.io"):
        cluster.kubectl(
            "apply",
            "--server-side",
            "--field-manager=helm",
            "-f",
            "-",
            input=yaml.safe_dump_all(certmanager_crds.definitions(group).values()),
        )
    wait_established(cluster)
    ca = pki.CA("public")
    noted = {"alt-names": HOST, "common-name": HOST, "ip-sans": "", "uri-sans": "", "certificate-name": "shop"}
    noted |= {"issuer-name": "public", "issuer-kind": "ClusterIssuer", "issuer-group": "cert-manager.io"}
    pair = {"tls.crt": leaf(ca), "tls.key": encode_key(pki.key("p256", 5)), "ca.crt": ca.pem}
    spec = {
        "secretName": "shop-tls",
        "dnsNames": [HOST],
        "commonName": HOST,
        "issuerRef": ISSUER,
        "privateKey": {"algorithm": "ECDSA"},
    }
    documents = [
        secret("public-ca", "cert-manager", {"tls.crt": ca.pem, "tls.key": ca.key_pem}, {}),
        secret("shop-tls", "default", pair, noted),
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": "public"},
            "spec": {"ca": {"secretName": "public-ca"}},
        },
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": "shop", "namespace": "default"},
            "spec": spec,
        },
    ]
    cluster.apply(yaml.safe_dump_all(documents))
    return cluster


def test_moved(left: LocalCluster) -> None:
    """The objects live on under mesh-signer's definitions, the Certificate is Ready, and its Secret is as it was."""
    before = left.get("secret", "shop-tls", "-n", "default")
    left.kubectl("apply", "-k", CRDS, "--server-side", "--force-conflicts")
    install(left, ISTIO, crds=None)
    wait_established(left)
    for group in ("cert-manager.io", "acme.cert-manager.io"):
        for crd in certmanager_crds.definitions(group).values():
            name = crd["metadata"]["name"]
            annotations = left.get("crd", name)["metadata"]["annotations"]
            assert "mesh-signer.dev/crds" in annotations, name

    def ready() -> bool:
        conditions = left.get("certificate", "shop", "-n", "default").get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    with SignerProcess(left, "--controllers=issuers,certificates,certificaterequests", account=CONTROLLERS_ACCOUNT):
        left.wait_for(ready, "the Certificate Ready", 60)
    after = left.get("secret", "shop-tls", "-n", "default")
    assert after["data"] == before["data"]
    assert not left.get("certificaterequests", "-n", "default")["items"]
