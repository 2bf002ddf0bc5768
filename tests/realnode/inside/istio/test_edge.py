"""The edge on the node: Istio's own ingress gateway gets public certificates from a real ACME server, by the shipped Pods.

The ACME server is a process on the node's address, as a public CA is outside of the cluster; all the rest is Pods, and found by
the cluster's DNS.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import yaml

from tests.localmesh.edge import Edge, acme_issuer
from tests.localmesh.front import Front, Visit, visit, visit_plain
from tests.localmesh.pebble import Pebble
from tests.localmesh.processes import free_port
from tests.realnode.configuration import ACME_HOST, ADDRESS, DNS, PUBLIC, SHOP_HOST, TENANT_HOST
from tests.realnode.istio import Istio, gateway

ISSUER = "public"
_POLICY = {
    "apiVersion": "mesh-signer.dev/v1alpha1",
    "kind": "EdgePolicy",
    "metadata": {"name": "foo"},
    "spec": {"hostSuffixes": ["foo.example.com"], "namespaces": {"names": ["foo"]}},
}


@dataclass(frozen=True)
class Entrance:
    """A load balancer's address, with the ports of everybody."""

    address: str
    ports: dict[int, int] = field(default_factory=lambda: {80: 80, 443: 443})


@dataclass(frozen=True)
class Internet:
    """What the ACME server is told: the cluster's DNS, and a port of its own for its questions."""

    dns: str = f"{DNS}:53"
    http_port: int = field(default_factory=lambda: free_port(PUBLIC[SHOP_HOST]))


@pytest.fixture(scope="module")
def pebble(istio: Istio) -> Iterator[Pebble]:
    """An ACME server that reaches the gateways, and an issuer for it that is ready."""
    internet = Internet()
    server = Pebble(istio.cluster.folder, internet, address=ADDRESS, host=ACME_HOST)
    server.start()
    fronts = [Front(Entrance(address), internet.http_port) for address in PUBLIC.values()]
    try:
        istio.cluster.apply(yaml.safe_dump(acme_issuer(ISSUER, server)))
        istio.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"clusterissuer/{ISSUER}")
        yield server
    finally:
        for front in fronts:
            front.close()
        server.kill()


def served(istio: Istio, pebble: Pebble, host: str, path: str = "/") -> Visit:
    """Wait until a client that trusts the ACME server's root gets a host's page, and the host's claim says so too."""
    entrance, root = Entrance(PUBLIC[host]), pebble.root()

    def there() -> Visit | None:
        seen = visit(entrance, host, root, path)
        return seen if seen.status == 200 else None

    def told() -> bool:
        claim = istio.cluster.get("hostclaims.mesh-signer.dev", host)
        return any(one["type"] == "Served" and one["status"] == "True" for one in claim["status"].get("conditions", []))

    seen: Visit = istio.node.wait_for(there, f"{host} served and trusted")
    istio.node.wait_for(told, f"the claim of {host} to say so")
    plain = visit_plain(entrance, host, path)
    assert (plain.status, plain.location) == (301, f"https://{host}{path}")
    return seen


def test_a_gateway_gets_its_certificate(istio: Istio, pebble: Pebble) -> None:
    """A Gateway that names an issuer is all that people write: soon its host is served under a certificate of the CA."""
    wanted = Edge.istio_gateway("shop", SHOP_HOST, issuer=ISSUER)
    istio.cluster.apply(yaml.safe_dump_all([wanted, Edge.page("shop", SHOP_HOST, "the shop")]))
    assert served(istio, pebble, SHOP_HOST).body == "the shop"
    assert pebble.orders() == 1


def test_a_tenants_gateway_leads_into_the_mesh(task: Istio, pebble: Pebble) -> None:
    """A gateway of foo's own has foo's signer too: from a public host under the CA's certificate to httpbin over mTLS."""
    name = "foo-gateway"
    task.apply(gateway(name, "foo"))
    task.balance(name, "foo", PUBLIC[TENANT_HOST])
    made = Edge.istio_gateway("httpbin", TENANT_HOST, namespace="foo", issuer=ISSUER)
    made["spec"]["selector"] = {"istio": name}
    task.cluster.apply(yaml.safe_dump_all([_POLICY, made, Edge.route("httpbin", TENANT_HOST, "httpbin.foo", "foo")]))
    assert "Herman Melville - Moby-Dick" in served(task, pebble, TENANT_HOST, "/html").body
