"""A gateway answers an ACME challenge by a VirtualService alone, as the edge relies on; no controller of ours is in this."""

import datetime as dt
import time
from collections.abc import Iterator
from typing import cast

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.acme.client import Session
from signer.edge.challenge_routes import Answer, virtual_service
from signer.edge.hostname import Host
from signer.edge.placeholder import is_placeholder, placeholder
from tests.integration.acme.driving import KEY, Driver, join, server, utc_now, wish
from tests.localmesh.edge import Edge
from tests.localmesh.mesh import Mesh
from tests.localmesh.pebble import ChallengeServer

pytestmark = pytest.mark.e2e
HOST = "shop.example.com"


@pytest.fixture(scope="module")
def edge(mesh: Mesh) -> Iterator[Edge]:
    with Edge(mesh) as made:
        yield made


class Presenter:
    """Puts a challenge's answer in place as the controller does, and waits until the gateway gives it."""

    def __init__(self, edge: Edge, gateway: tuple[str, str]) -> None:
        self._edge = edge
        self._gateway = gateway
        self.made: list[str] = []

    def add_http(self, token: str, content: str) -> None:
        answer = Answer(Host(HOST), token, content, ("foo", "by-hand", token))
        made = virtual_service(answer, self._gateway, ["istio-system"])
        del made["metadata"]["ownerReferences"]  # there is no Challenge
        self._edge.cluster.apply(yaml.safe_dump(made))
        self.made.append(made["metadata"]["name"])
        time.sleep(2)


def write_secret(edge: Edge, name: str, chain: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "istio-system"},
        "stringData": {"tls.crt": chain.decode(), "tls.key": pem.decode()},
    }
    edge.cluster.apply(yaml.safe_dump(secret))


def test_a_challenge_through_a_gateway_that_redirects(edge: Edge) -> None:
    """A placeholder and a route are enough for a CA, though port 80 redirects and an older route takes every path."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = placeholder([Host(HOST)], key, now=dt.datetime.now(dt.UTC), serial=1)
    edge.cluster.apply(
        yaml.safe_dump_all(
            [edge.istio_gateway("shop", HOST, namespace="foo"), edge.page("shop", HOST, "the shop", "foo")]
        )
    )
    write_secret(edge, "shop", made, key)
    edge.cluster.wait_for(lambda: edge.visit(HOST).certificate, "a certificate at the gateway")
    before = edge.visit(HOST)
    assert not before.trusted
    assert before.certificate is not None
    assert is_placeholder(before.certificate)
    plain = edge.visit_plain(HOST)
    assert (plain.status, plain.location) == (301, f"https://{HOST}/")

    presenter = Presenter(edge, ("foo", "shop"))
    session = Session(server(edge.pebble.directory, edge.pebble.authority.certificate), KEY, utc_now)
    try:
        join(session)
        driver = Driver(session, KEY, cast("ChallengeServer", presenter), wish(HOST), wanted=("http-01",))
        chain = driver.chains()[0]
    finally:
        session.close()
    assert presenter.made
    write_secret(edge, "shop", chain.pem, cast("ec.EllipticCurvePrivateKey", driver.leaf_key))
    edge.cluster.wait_for(lambda: edge.visit(HOST).trusted, "the certificate at the gateway")
    after = edge.visit(HOST)
    assert (after.status, after.body) == (200, "the shop")
    assert after.certificate is not None
    assert after.certificate.serial_number == chain.leaf.serial_number
