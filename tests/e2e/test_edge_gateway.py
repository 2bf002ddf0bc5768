"""A gateway answers an ACME challenge by a VirtualService alone, as the edge relies on; no controller of ours is in this."""

import asyncio
import datetime as dt
import socket
import time
from collections.abc import Iterator
from typing import cast

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.acme.chain import Chain
from issuers.acme.client import Session
from signer.api.tls_secret import is_placeholder
from signer.edge.gateways.placeholder import placeholder
from signer.edge.host import Host
from signer.edge.http01.routes import Answer, virtual_service
from tests.integration.acme.driving import KEY, Driver, join, server, utc_now, wish
from tests.localmesh.edge import Edge
from tests.localmesh.front import visit
from tests.localmesh.mesh import Mesh
from tests.localmesh.pebble import ChallengeServer
from tests.localmesh.workload import Workload

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


def write_secret(
    edge: Edge, name: str, chain: bytes, key: ec.EllipticCurvePrivateKey, namespace: str = "istio-system"
) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
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

    async def obtain() -> tuple[Driver, Chain]:
        session = Session(server(edge.pebble.directory, edge.pebble.authority.certificate), KEY, utc_now)
        try:
            await join(session)
            driver = Driver(session, KEY, cast("ChallengeServer", presenter), wish(HOST), wanted=("http-01",))
            return driver, (await driver.chains())[0]
        finally:
            await session.close()

    driver, chain = asyncio.run(obtain())
    assert presenter.made
    write_secret(edge, "shop", chain.pem, cast("ec.EllipticCurvePrivateKey", driver.leaf_key))
    edge.cluster.wait_for(lambda: edge.visit(HOST).trusted, "the certificate at the gateway")
    after = edge.visit(HOST)
    assert (after.status, after.body) == (200, "the shop")
    assert after.certificate is not None
    assert after.certificate.serial_number == chain.leaf.serial_number
    assert edge.curl(f"http://{HOST}/") in [(0, "the shop\n200"), (-1, "")]  # -1: there is no curl here


def test_only_on_loopback(edge: Edge) -> None:
    """The gateway listens on its own loopback address and on no other of the machine."""
    for port in edge.gateway.ports.values():
        with socket.create_connection((edge.gateway.address, port), timeout=5):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_into_the_mesh(edge: Edge, task: dict[str, Workload]) -> None:
    """A gateway in foo under foo's signer leads from a public host to httpbin.foo, which takes nothing but mTLS."""
    mesh, host, labels = edge.mesh, "httpbin.example.com", {"istio": "foo-gateway"}
    gateway = mesh.place_gateway("foo-gateway", "foo", labels=labels)
    mesh.wait_ready(gateway)
    try:
        made = edge.istio_gateway("httpbin", host, namespace="foo")
        made["spec"]["selector"] = labels
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = placeholder([Host(host)], key, now=dt.datetime.now(dt.UTC), serial=2)
        write_secret(edge, "httpbin", certificate, key, "foo")
        edge.cluster.apply(yaml.safe_dump_all([made, edge.route("httpbin", host, str(task["httpbin.foo"]), "foo")]))
        edge.cluster.wait_for(lambda: visit(gateway, host, certificate).status == 200, host)
        assert visit(gateway, host, certificate).body.splitlines()[-1] == "httpbin.foo"
    finally:
        mesh.remove(gateway)
