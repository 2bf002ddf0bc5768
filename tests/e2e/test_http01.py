"""HTTP-01 through a real Istio gateway: the signer's own routes answer a real ACME server, and then go."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.private_key import encode_key, generate_key
from signer.edge.hostname import Host
from signer.edge.made import CERTIFICATE_NAME, PLACEHOLDER
from signer.edge.placeholder import placeholder
from tests.localmesh.demo_edge import condition
from tests.localmesh.edge import Edge
from tests.localmesh.mesh import Mesh

pytestmark = pytest.mark.e2e
ISSUER = "letsencrypt"
CONTROLLERS = "issuers,certificates,certificaterequests,acmeissuers,orders,challenges"
_PATIENCE = 60.0


@pytest.fixture(scope="module")
def edge(built: None) -> Iterator[Edge]:  # noqa: ARG001 - only to come after it
    """A mesh of its own, with an issuer that is Ready."""
    mesh = Mesh()
    made = Edge(mesh, controllers=CONTROLLERS)
    with mesh, made:
        made.cluster.apply(yaml.safe_dump_all([made.issuer(ISSUER)]))
        made.cluster.wait_for(lambda: condition(made, "clusterissuer", ISSUER), "a Ready issuer", _PATIENCE)
        yield made


def placeholder_pair(host: str) -> tuple[bytes, bytes]:
    """What stands in a Secret before the certificate is there: certificate and key."""
    key = generate_key("ECDSA", 256)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return placeholder([Host(host)], key, now=datetime.now(UTC), serial=1), encode_key(key)


@pytest.mark.parametrize("redirect", [False, True], ids=["plain", "httpsRedirect"])
def test_through_the_gateway(edge: Edge, redirect: bool) -> None:
    """A Certificate is proven on the user's own Gateway, redirecting or not; the routes for it are gone afterwards."""
    name = "redirecting" if redirect else "plain"
    host = f"{name}.example.com"
    gateway = edge.istio_gateway(name, host, redirect=redirect)
    first, key = placeholder_pair(host)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": "istio-system",
            "labels": {"controller.cert-manager.io/fao": "true"},
            "annotations": {PLACEHOLDER: "true", CERTIFICATE_NAME: name},
        },
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": base64.b64encode(first).decode(), "tls.key": base64.b64encode(key).decode()},
    }
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": "istio-system"},
        "spec": {
            "secretName": name,
            "dnsNames": [host],
            "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always"},
            "issuerRef": {"kind": "ClusterIssuer", "name": ISSUER},
        },
    }
    edge.cluster.apply(yaml.safe_dump_all([secret, gateway, edge.page(name, host, name), certificate]))
    edge.cluster.wait_for(lambda: edge.visit(host).status == 200, f"{host} served and trusted", _PATIENCE)
    edge.cluster.wait_for(
        lambda: "mesh-signer-acme" not in edge.cluster.kubectl("get", "virtualservices", "-A", "-o", "name"),
        "the routes of the challenge are gone",
        _PATIENCE,
    )
