"""A Gateway is all that is written: certificates of public hosts, from a real ACME server, served by a real Envoy."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.edge.placeholder import is_placeholder
from tests.localmesh.demo_edge import condition, warning
from tests.localmesh.edge import CONTROLLERS, Edge
from tests.localmesh.front import Visit, visit
from tests.localmesh.mesh import Mesh

pytestmark = pytest.mark.e2e
ISSUER = "letsencrypt"
GUIDE = Path(__file__).parents[1] / "unit" / "convert" / "manifests" / "istio-2020.yaml"
_PATIENCE = 60.0
POLICY = {
    "apiVersion": "mesh-signer.dev/v1alpha1",
    "kind": "EdgePolicy",
    "metadata": {"name": "foo"},
    "spec": {"hostSuffixes": ["foo.example.com"], "namespaces": {"names": ["foo"]}},
}


@pytest.fixture(scope="module")
def edge(built: None) -> Iterator[Edge]:  # noqa: ARG001 - only to come after it
    """A mesh of its own, whose controllers know the edge, and an issuer that is Ready."""
    mesh = Mesh()
    made = Edge(mesh, controllers=CONTROLLERS)
    with mesh, made:
        apply(made, made.issuer(ISSUER), POLICY)
        made.cluster.wait_for(lambda: condition(made, "clusterissuer", ISSUER), "a Ready issuer", _PATIENCE)
        yield made


def apply(edge: Edge, *documents: dict[str, Any]) -> None:
    edge.cluster.apply(yaml.safe_dump_all(documents))


def wait_trusted(edge: Edge, host: str, status: int = 200) -> None:
    def there() -> bool:
        return edge.visit(host).status == status

    edge.cluster.wait_for(there, f"{host} served and trusted", _PATIENCE)


def serial(edge: Edge, host: str) -> int:
    shown = edge.visit(host).certificate
    assert shown is not None
    return shown.serial_number


def test_a_gateway_is_enough(edge: Edge) -> None:
    """From a Gateway alone to a trusted host; from the placeholder on, no connection is reset, and port 80 redirects."""
    host = "one.example.com"
    apply(edge, edge.page("one", host, "one"), edge.istio_gateway("one", host, issuer=ISSUER))
    deadline = time.monotonic() + _PATIENCE
    seen: list[Visit] = []
    while not seen or not seen[-1].trusted:
        assert time.monotonic() < deadline, seen[-1:]
        seen.append(edge.visit(host))
    first = next(number for number, one in enumerate(seen) if one.certificate is not None)
    assert all(one.certificate is not None for one in seen[first:])
    assert any(one.certificate is not None and is_placeholder(one.certificate) for one in seen)
    wait_trusted(edge, host)
    assert edge.visit(host).body == "one"
    plain = edge.visit_plain(host)
    assert (plain.status, plain.location) == (301, f"https://{host}/")


def test_a_host_is_added(edge: Edge) -> None:
    """A host that is added to a running Gateway is served, and the first one never stops."""
    old, new = "two-a.example.com", "two-b.example.com"
    apply(edge, edge.page("two", old, "a"), edge.istio_gateway("two", old, issuer=ISSUER))
    wait_trusted(edge, old)
    before = serial(edge, old)
    apply(edge, edge.page("two", new, "b"), edge.istio_gateway("two", old, new, issuer=ISSUER))

    def both() -> bool:
        assert edge.visit(old).status == 200
        return edge.visit(new).status == 200

    edge.cluster.wait_for(both, "the second host", _PATIENCE)
    assert serial(edge, old) != before


def test_a_tenant_with_a_grant(edge: Edge) -> None:
    """A tenant's Gateway on the shared gateway is served where an EdgePolicy grants the host to its namespace."""
    host = "app.foo.example.com"
    apply(edge, edge.page("app", host, "foo's", "foo"), edge.istio_gateway("app", host, namespace="foo", issuer=ISSUER))
    wait_trusted(edge, host)
    assert edge.cluster.get("hostclaims.mesh-signer.dev", host)["spec"]["namespace"] == "foo"


def test_a_tenant_without_a_grant(edge: Edge) -> None:
    """Without a grant nothing is written into the gateway's namespace, nothing is ordered, and the tenant is told."""
    orders = edge.pebble.orders()
    for name, host in (("stolen", "api.foo.example.com"), ("ungranted", "www.bar.example.com")):
        apply(edge, edge.istio_gateway(name, host, namespace="bar", issuer=ISSUER))
        event = edge.cluster.wait_for(partial(warning, edge, "bar", name), f"an Event on {name}", _PATIENCE)
        assert event["message"]
    names = {one["metadata"]["name"] for one in edge.cluster.get("secrets", "-A")["items"]}
    assert not names & {"stolen", "ungranted"}
    assert edge.pebble.orders() == orders


def test_into_the_mesh(edge: Edge) -> None:
    """A gateway in foo under foo's signer serves a public host whose backend is httpbin.foo, over the mesh's mTLS."""
    mesh, host = edge.mesh, "httpbin.foo.example.com"
    labels = {"istio": "foo-gateway"}
    gateway = mesh.place_gateway("foo-gateway", "foo", labels=labels)
    httpbin = mesh.place("httpbin", "foo", "foo", server=True)
    mesh.wait_ready(gateway, httpbin)
    try:
        made = edge.istio_gateway("httpbin", host, namespace="foo", issuer=ISSUER)
        made["spec"]["selector"] = labels
        edge.challenges.set_addresses(host, gateway.address)
        apply(edge, made, edge.route("httpbin", host, "httpbin.foo", "foo"))
        with edge.front_of(gateway):
            edge.cluster.wait_for(lambda: visit(gateway, host, edge.root).status == 200, host, _PATIENCE)
        assert visit(gateway, host, edge.root).body.splitlines()[-1] == "httpbin.foo"
    finally:
        edge.challenges.set_addresses(host)
        mesh.remove(gateway, httpbin)


def test_the_controllers_are_killed(edge: Edge) -> None:
    """Killed while a challenge waits for its gateway, they go on with the same order afterwards: the CA made one."""
    host = "killed.example.com"
    orders = edge.pebble.orders()
    edge.gateway.tell_phase("Pending")
    try:
        apply(edge, edge.page("killed", host, "back"), edge.istio_gateway("killed", host, issuer=ISSUER))
        edge.cluster.wait_for(lambda: reason(edge, host), "a Challenge that says what it waits for", _PATIENCE)
        edge.mesh.controllers.kill()
    finally:
        edge.gateway.tell_phase("Running")
    edge.mesh.controllers.start()
    wait_trusted(edge, host)
    assert edge.pebble.orders() == orders + 1


def reason(edge: Edge, host: str) -> str:
    """What the Challenge of a host says; "" when there is none, or it says nothing."""
    found = edge.cluster.get("challenges.acme.cert-manager.io", "-A")["items"]
    said = [one.get("status", {}).get("reason", "") for one in found if one["spec"]["dnsName"] == host]
    return said[0] if said else ""


def test_a_gateway_comes_back(edge: Edge) -> None:
    """A Gateway that is deleted and made again finds its certificate, and orders nothing."""
    host = "again.example.com"
    written = edge.istio_gateway("again", host, issuer=ISSUER)
    apply(edge, edge.page("again", host, "again"), written)
    wait_trusted(edge, host)
    before, orders = serial(edge, host), edge.pebble.orders()
    edge.cluster.kubectl("delete", "gateways.networking.istio.io", "-n", "istio-system", "again")

    def gone() -> bool:
        found = edge.cluster.get("certificates.cert-manager.io", "-n", "istio-system")["items"]
        return "again" not in {one["metadata"]["name"] for one in found}

    edge.cluster.wait_for(gone, "the end of its Certificate", _PATIENCE)
    assert edge.cluster.get("secret", "again", "-n", "istio-system")["data"]["tls.crt"]
    apply(edge, written)
    edge.cluster.wait_for(
        lambda: condition(edge, "certificates.cert-manager.io", "again", "-n", "istio-system") if not gone() else False,
        "its Certificate again",
        _PATIENCE,
    )
    wait_trusted(edge, host)
    assert serial(edge, host) == before
    assert edge.pebble.orders() == orders


def test_no_port_80(edge: Edge) -> None:
    """A Gateway without a server on port 80 is proven by a Gateway of our own for that time, which is gone afterwards."""
    host = "secure.example.com"
    written = edge.istio_gateway("secure", host, issuer=ISSUER)
    written["spec"]["servers"] = [one for one in written["spec"]["servers"] if one["port"]["number"] == 443]
    apply(edge, edge.page("secure", host, "secure"), written)
    wait_trusted(edge, host)

    def gone() -> bool:
        found = edge.cluster.get("gateways.networking.istio.io,virtualservices.networking.istio.io", "-A")["items"]
        return not [one for one in found if one["metadata"]["name"].startswith("mesh-signer-acme")]

    edge.cluster.wait_for(gone, "the end of what was made for the challenge", _PATIENCE)


def test_many_hosts(edge: Edge) -> None:
    """Thirty hosts on ten Gateways, with nothing else written: no Certificate, Service or Ingress by hand."""
    hosts = {f"many{gateway}": [f"h{gateway}{one}.many.example.com" for one in "abc"] for gateway in range(10)}
    apply(edge, *(edge.istio_gateway(name, *names, issuer=ISSUER) for name, names in hosts.items()))
    apply(edge, *(edge.page(name, host, host) for name, names in hosts.items() for host in names))
    for names in hosts.values():
        for host in names:
            wait_trusted(edge, host)


def test_a_guide_of_2020(edge: Edge) -> None:
    """What a guide of 2020 has its reader apply, converted: its Gateway with an issuer's name serves, and needs no Certificate."""
    host = "application.sample.com"
    done = subprocess.run(
        [sys.executable, "-m", "signer", "convert", str(GUIDE)], capture_output=True, text=True, check=True
    )
    documents = {one["kind"]: one for one in yaml.safe_load_all(done.stdout) if one}
    issuer, gateway, routes = documents["ClusterIssuer"], documents["Gateway"], documents["VirtualService"]
    ours = edge.issuer("unused")["spec"]["acme"]
    issuer["spec"]["acme"] |= {key: ours[key] for key in ("server", "caBundle")}
    gateway["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] = issuer["metadata"]["name"]
    gateway["spec"]["selector"] = edge.gateway.selector
    edge.cluster.create_namespace(routes["metadata"]["namespace"])
    apply(edge, issuer, gateway, routes)
    wait_trusted(edge, host, 404)  # the guide's application is not there, and its routes do not have "/"
    plain = edge.visit_plain(host)
    assert (plain.status, plain.location) == (301, f"https://{host}/")
