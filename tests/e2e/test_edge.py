"""A Gateway is all that is written: certificates of public hosts, from a real ACME server, served by a real Envoy."""

import base64
import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from signer.edge.gateways.placeholder import new_placeholder
from signer.edge.host import Host
from tests.e2e.edge_steps import (
    PATIENCE,
    EdgeWithDNS,
    Trail,
    apply,
    backend,
    challenge,
    names,
    reason,
    serial,
    served_condition,
    wait_trusted,
)
from tests.e2e.guide_of_2020 import HOST as GUIDE_HOST
from tests.e2e.guide_of_2020 import MANIFESTS as GUIDE
from tests.localmesh.demo_edge import condition, warning
from tests.localmesh.edge import CONTROLLERS, Edge
from tests.localmesh.front import visit
from tests.localmesh.mesh import Mesh
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.e2e
ISSUER, STAGING = "letsencrypt", "rehearsal"
NOW = dt.datetime.now(dt.UTC)
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
    made = EdgeWithDNS(mesh, controllers=CONTROLLERS)
    with mesh, made:
        apply(made, made.issuer(ISSUER), POLICY)
        made.cluster.wait_for(lambda: condition(made, "clusterissuer", ISSUER), "a Ready issuer", PATIENCE)
        yield made


@pytest.fixture(scope="module")
def staging(edge: Edge) -> Iterator[Pebble]:
    """Another CA, whose root nobody trusts, with an issuer that is Ready."""
    ca = Pebble(edge.cluster.folder, edge.challenges, name="staging")
    ca.start()
    made = edge.issuer(STAGING)
    made["spec"]["acme"] |= {
        "server": ca.directory,
        "caBundle": base64.b64encode(ca.authority.certificate).decode(),
    }
    apply(edge, made)
    edge.cluster.wait_for(lambda: condition(edge, "clusterissuer", STAGING), "a Ready issuer", PATIENCE)
    yield ca
    ca.stop()


def test_a_gateway_is_enough(edge: Edge) -> None:
    """From a Gateway alone to a trusted host; from the placeholder on, no connection is reset, and port 80 redirects."""
    host = "one.example.com"
    apply(edge, edge.page("one", host, "one"), edge.istio_gateway("one", host, issuer=ISSUER))
    trail = Trail(edge.gateway, host, edge.root)
    trail.until_placeholder()
    trail.until_trusted()
    assert edge.visit(host).body == "one"

    def told() -> bool:
        found = served_condition(edge, host)
        return found.get("status") == "True" and f"{serial(edge, host):x}" in found["message"]

    edge.cluster.wait_for(told, "the gateway asked whether it serves that", PATIENCE)


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

    edge.cluster.wait_for(both, "the second host", PATIENCE)
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
        event = edge.cluster.wait_for(partial(warning, edge, "bar", name), f"an Event on {name}", PATIENCE)
        assert event["message"]
    names = {one["metadata"]["name"] for one in edge.cluster.get("secrets", "-A")["items"]}
    assert not names & {"stolen", "ungranted"}
    assert edge.pebble.orders() == orders


def test_routes_of_another_namespace(edge: Edge) -> None:
    """A Gateway for "*" has a certificate for the host of another namespace's route once an EdgePolicy lets that in; till then it says so."""
    host = "routed.apps.example.com"
    star, page = edge.istio_gateway("star", "*", issuer=ISSUER), edge.page("istio-system/star", host, "routed", "bar")
    apply(edge, star, page)
    try:
        event = edge.cluster.wait_for(partial(warning, edge, "istio-system", "star"), "an Event on star", PATIENCE)
        assert "routesFrom" in event["message"]
        spec = {"hostSuffixes": ["apps.example.com"], "namespaces": {"names": ["istio-system"]}}
        apply(edge, POLICY | {"metadata": {"name": "apps"}, "spec": spec | {"routesFrom": {"names": ["bar"]}}})
        wait_trusted(edge, host)
        assert edge.visit(host).body == "routed"
        claim = edge.cluster.get("hostclaims.mesh-signer.dev", host)
        assert claim["spec"]["namespace"] == "istio-system"
    finally:
        edge.cluster.kubectl("delete", "gateways.networking.istio.io", "-n", "istio-system", "star")
        edge.cluster.kubectl("delete", "virtualservices.networking.istio.io", "-n", "bar", page["metadata"]["name"])


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
            edge.cluster.wait_for(lambda: visit(gateway, host, edge.root).status == 200, host, PATIENCE)
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
        edge.cluster.wait_for(lambda: reason(edge, host), "a Challenge that says what it waits for", PATIENCE)
        edge.mesh.controllers.kill()
    finally:
        edge.gateway.tell_phase("Running")
    edge.mesh.controllers.start()
    wait_trusted(edge, host)
    assert edge.pebble.orders() == orders + 1


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

    edge.cluster.wait_for(gone, "the end of its Certificate", PATIENCE)
    assert edge.cluster.get("secret", "again", "-n", "istio-system")["data"]["tls.crt"]
    apply(edge, written)
    edge.cluster.wait_for(
        lambda: condition(edge, "certificates.cert-manager.io", "again", "-n", "istio-system") if not gone() else False,
        "its Certificate again",
        PATIENCE,
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

    edge.cluster.wait_for(gone, "the end of what was made for the challenge", PATIENCE)


def test_many_hosts(edge: Edge, staging: Pebble) -> None:
    """Thirty hosts on ten Gateways from two CAs, with nothing else written; then a rehearsed one gets the real CA."""
    hosts = {f"many{gateway}": [f"h{gateway}{one}.many.example.com" for one in "abc"] for gateway in range(10)}
    rehearsed = {name for name in hosts if int(name[-1]) % 2}

    def written(name: str, issuer: str) -> dict[str, Any]:
        return edge.istio_gateway(name, *hosts[name], issuer=issuer)

    before = names(edge, "services,ingresses,pods")
    apply(edge, *(written(name, STAGING if name in rehearsed else ISSUER) for name in hosts))
    apply(edge, *(edge.page(name, host, host) for name, listed in hosts.items() for host in listed))
    roots = {name: staging.root() if name in rehearsed else edge.root for name in hosts}
    trails = {host: Trail(edge.gateway, host, roots[name]) for name, listed in hosts.items() for host in listed}
    for trail in trails.values():
        trail.until_trusted()
    assert names(edge, "services,ingresses,pods") == before
    apply(edge, written("many1", ISSUER))
    for host in hosts["many1"]:
        wait_trusted(edge, host)


def test_the_secret_is_deleted(edge: Edge) -> None:
    """Somebody deletes the Secret of a host that is served: it is served and trusted all the time, and issued anew."""
    host = "deleted.example.com"
    apply(edge, edge.page("deleted", host, "x"), edge.istio_gateway("deleted", host, issuer=ISSUER))
    trail = Trail(edge.gateway, host, edge.root)
    trail.until_trusted()
    before = serial(edge, host)
    edge.cluster.kubectl("delete", "secret", "-n", "istio-system", "deleted")
    trail.until("new certificate", lambda one: one.certificate is not None and one.certificate.serial_number != before)


def test_the_secret_is_overwritten(edge: Edge) -> None:
    """Somebody writes another key pair into the Secret: it is mended by a new certificate, and no connection is reset."""
    host = "overwritten.example.com"
    apply(edge, edge.page("overwritten", host, "x"), edge.istio_gateway("overwritten", host, issuer=ISSUER))
    wait_trusted(edge, host)
    before = serial(edge, host)
    theirs = {name: base64.b64encode(value).decode() for name, value in new_placeholder([Host(host)], NOW).items()}
    patch = json.dumps({"data": theirs})
    edge.cluster.kubectl("patch", "secret", "overwritten", "-n", "istio-system", "--type=merge", "-p", patch)

    def mended() -> bool:
        shown = edge.visit(host)
        assert shown.certificate is not None
        return shown.status == 200 and shown.certificate.serial_number != before

    edge.cluster.wait_for(mended, "a certificate of our own again", PATIENCE)


def test_a_guide_of_2020(edge: Edge) -> None:
    """A guide of 2020, converted and applied as it is, its DNS record made 30 s later: nothing fails, nothing is reset.

    Its Certificate is written by hand, and its Gateway redirects to https.
    """
    done = subprocess.run(
        [sys.executable, "-m", "signer", "convert"], input=GUIDE, capture_output=True, text=True, check=True
    )
    documents = [one for one in yaml.safe_load_all(done.stdout) if one]
    issuer = next(one for one in documents if one["kind"] == "ClusterIssuer")
    ours = edge.issuer("unused")["spec"]["acme"]
    issuer["spec"]["acme"] |= {key: ours[key] for key in ("server", "caBundle")}
    gateway = edge.mesh.place_gateway("ingressgateway-ssl", labels={"istio": "ingressgateway-ssl"})
    edge.mesh.wait_ready(gateway)
    edge.cluster.create_namespace("apps")
    edge.challenges.set_default_address("")
    try:
        with edge.front_of(gateway), backend(edge, "productpage", "apps", 9080, gateway.address, "the product"):
            apply(edge, *documents)
            trail = Trail(gateway, GUIDE_HOST, edge.root)
            trail.until_placeholder()
            edge.cluster.wait_for(lambda: "no such host" in reason(edge, GUIDE_HOST), "no such host", PATIENCE)
            late = time.monotonic() + 30
            while time.monotonic() < late:
                trail.visit()
                status = challenge(edge, GUIDE_HOST)
                assert (status["state"], status["processing"], status["presented"]) == ("pending", True, True)
                time.sleep(0.5)
            edge.challenges.set_addresses(GUIDE_HOST, gateway.address)
            page = trail.until_trusted("/productpage")
            assert page.body == "the product"
            assert visit(gateway, GUIDE_HOST, edge.root).status == 404  # the guide's routes do not have "/"
            assert "INVALID" not in edge.pebble.log.read_text(errors="replace")
            assert edge.cluster.get("certificates.cert-manager.io", GUIDE_HOST, "-n", "istio-system")["status"]
    finally:
        edge.challenges.set_addresses(GUIDE_HOST)
        edge.challenges.set_default_address(edge.gateway.address)
        edge.mesh.remove(gateway)
