"""HTTP-01 through a real Istio gateway, in each mode: a real ACME server is answered, and what answered it goes.

And what HTTP-01 cannot prove, on the same gateway: a wildcard, by DNS-01.
"""

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.redirect import TAKEN
from tests import pki
from tests.integration.external_dns import ENDPOINT_CRD
from tests.integration.test_edge_objects import module
from tests.localmesh.demo_edge import condition, warning
from tests.localmesh.edge import CONTROLLERS, Edge
from tests.localmesh.mesh import Mesh, Options

pytestmark = pytest.mark.e2e
ISSUER = "letsencrypt"
_PATIENCE = 60.0
Json = dict[str, Any]
MADE = (
    "virtualservices.networking.istio.io",
    "gateways.networking.istio.io",
    "httproutes.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
    "ingresses.networking.k8s.io",
)
WANTED = {"cert-manager.io/cluster-issuer": ISSUER}
ENDPOINTS = "dnsendpoints.externaldns.k8s.io"
PLACE = {"namespace": "istio-system", "annotations": WANTED}


@pytest.fixture(scope="module")
def edge(built: None) -> Iterator[Edge]:  # noqa: ARG001 - only to come after it
    """A mesh of its own that knows the Gateway API, with an issuer that is Ready."""
    definitions = module("sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    mesh = Mesh(Options(manifests=(definitions,), istiod_environment={"PILOT_ENABLE_GATEWAY_API": "true"}))
    made = Edge(mesh, controllers=CONTROLLERS)
    with mesh, made:
        made.cluster.apply(yaml.safe_dump_all([made.issuer(ISSUER)]))
        made.cluster.wait_for(lambda: condition(made, "clusterissuer", ISSUER), "a Ready issuer", _PATIENCE)
        yield made


def apply(edge: Edge, *documents: Json) -> None:
    edge.cluster.apply(yaml.safe_dump_all(documents))


def wait_trusted(edge: Edge, host: str) -> None:
    edge.cluster.wait_for(lambda: edge.visit(host).trusted, f"{host} served and trusted", _PATIENCE)


def wait_gone(edge: Edge) -> None:
    """Wait until nothing is left of any challenge."""
    edge.cluster.wait_for(
        lambda: (
            not any(
                "mesh-signer-acme" in one["metadata"]["name"] for one in edge.cluster.get(",".join(MADE), "-A")["items"]
            )
        ),
        "what was made for the challenge is gone",
        _PATIENCE,
    )


def reason_of(edge: Edge, host: str) -> str:
    """What the Challenge of a host waits for."""
    listed = edge.cluster.get("challenges.acme.cert-manager.io", "-A")["items"]
    found = [one.get("status", {}).get("reason", "") for one in listed if one["spec"]["dnsName"] == host]
    return found[0] if found else ""


@pytest.mark.parametrize("redirect", [False, True], ids=["plain", "httpsRedirect"])
def test_through_the_gateway(edge: Edge, redirect: bool) -> None:
    """Mode A: a host is proven on the user's own Gateway, redirecting or not; the routes for it are gone afterwards."""
    name = "redirecting" if redirect else "plain"
    host = f"{name}.example.com"
    apply(edge, edge.page(name, host, name), edge.istio_gateway(name, host, issuer=ISSUER, redirect=redirect))
    wait_trusted(edge, host)
    wait_gone(edge)


def test_no_port_80(edge: Edge) -> None:
    """Mode B: a Gateway that has no port 80 lends it for the challenge, by a Gateway of ours for this host alone."""
    name, host = "secure", "secure.example.com"
    gateway = edge.istio_gateway(name, host, issuer=ISSUER)
    gateway["spec"]["servers"].pop()
    apply(edge, edge.page(name, host, "secure"), gateway)
    wait_trusted(edge, host)
    wait_gone(edge)


def test_a_gateway_of_the_gateway_api(edge: Edge) -> None:
    """Mode E: through an HTTPRoute and the shared solver, beside the user's route that redirects everything."""
    host = "api.example.com"
    kind = {"apiVersion": "gateway.networking.k8s.io/v1"}
    listeners = [
        {"name": "http", "port": 80, "protocol": "HTTP", "hostname": host},
        {
            "name": "https",
            "port": 443,
            "protocol": "HTTPS",
            "hostname": host,
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "api"}]},
        },
    ]
    service = f"{edge.gateway.name}.istio-system.svc.cluster.local"
    spec = {
        "gatewayClassName": "istio",
        "addresses": [{"type": "Hostname", "value": service}],
        "listeners": listeners,
    }
    redirect = {
        "parentRefs": [{"name": "api", "sectionName": "http"}],
        "hostnames": [host],
        "rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}],
    }
    apply(
        edge,
        {**kind, "kind": "HTTPRoute", "metadata": {"name": "api", "namespace": "istio-system"}, "spec": redirect},
        {**kind, "kind": "Gateway", "metadata": {"name": "api", **PLACE}, "spec": spec},
    )
    wait_trusted(edge, host)
    assert edge.visit_plain(host).status in (301, 302)
    wait_gone(edge)


def test_a_listener_that_takes_no_routes_of_ours(edge: Edge) -> None:
    """Where a listener lets no route of the namespace attach, the Challenge has the HTTPRoute's own words, and goes on when it does."""
    host = "sel.example.com"
    selected = {"from": "Selector", "selector": {"matchLabels": {"shared": "true"}}}
    listeners: list[Json] = [
        {"name": "http", "port": 80, "protocol": "HTTP", "hostname": host, "allowedRoutes": {"namespaces": selected}},
        {
            "name": "https",
            "port": 443,
            "protocol": "HTTPS",
            "hostname": host,
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "sel"}]},
        },
    ]
    service = f"{edge.gateway.name}.istio-system.svc.cluster.local"
    addresses = [{"type": "Hostname", "value": service}]
    spec = {"gatewayClassName": "istio", "addresses": addresses, "listeners": listeners}
    kind = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"}
    apply(edge, {**kind, "metadata": {"name": "sel", **PLACE}, "spec": spec})
    edge.cluster.wait_for(lambda: "NotAllowedByListeners" in reason_of(edge, host), "the reason", _PATIENCE)
    for word in ("HTTPRoute istio-system/mesh-signer-acme-", "Gateway 'sel'"):
        assert word in reason_of(edge, host)
    edge.cluster.kubectl("label", "namespace", "istio-system", "shared=true")
    wait_trusted(edge, host)
    wait_gone(edge)


def test_upper_case(edge: Edge) -> None:
    """A host in capitals is served and trusted: its route is written as the Gateway has it, since Istio compares by case."""
    name, host = "upper", "shop.upper.example.com"
    gateway = edge.istio_gateway(name, host, issuer=ISSUER)
    for server, spelt in zip(
        gateway["spec"]["servers"], ("SHOP.Upper.Example.com", "Shop.UPPER.example.com"), strict=True
    ):
        server["hosts"] = [spelt]
    apply(edge, gateway)
    edge.cluster.wait_for(lambda: edge.visit(host).trusted, f"{host} trusted", _PATIENCE)
    wait_gone(edge)


def test_a_credential_with_its_namespace(edge: Edge) -> None:
    """`namespace/name` is served where that is the proxies' own namespace; elsewhere the Gateway is told why not."""
    gateway = edge.istio_gateway("own", "own.example.com", issuer=ISSUER)
    gateway["spec"]["servers"][0]["tls"]["credentialName"] = "istio-system/own"
    stray = edge.istio_gateway("stray", "stray.example.com", issuer=ISSUER)
    stray["spec"]["servers"][0]["tls"]["credentialName"] = "foo/stray"
    apply(edge, edge.page("own", "own.example.com", "own"), gateway, stray)
    event = edge.cluster.wait_for(lambda: warning(edge, "istio-system", "stray"), "an Event on stray", _PATIENCE)
    assert "a proxy reads Secrets of its own" in event["message"]
    wait_trusted(edge, "own.example.com")


def test_the_containers_ports(edge: Edge) -> None:
    """A Gateway that names the ports of the proxies' container is proven through them, as its Service leads 80 and 443 there."""
    name, host = "high", "high.example.com"
    gateway = edge.istio_gateway(name, host, issuer=ISSUER, redirect=True)
    for server in gateway["spec"]["servers"]:
        server["port"]["number"] = edge.gateway.ports[server["port"]["number"]]
    apply(edge, edge.page(name, host, "high"), gateway)
    wait_trusted(edge, host)
    wait_gone(edge)


def test_a_policy_on_the_gateway(edge: Edge) -> None:
    """Where the gateway refuses the path, the Challenge names what refuses; it goes on when that is gone."""
    name, host = "authz", "authz.example.com"
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "office-only", "namespace": "istio-system"},
        "spec": {
            "selector": {"matchLabels": {"istio": "ingressgateway"}},
            "action": "DENY",
            "rules": [
                {
                    "from": [{"source": {"notRemoteIpBlocks": ["203.0.113.0/24"]}}],
                    "to": [{"operation": {"hosts": [host, f"{host}:*"]}}],
                }
            ],
        },
    }
    apply(edge, policy, edge.page(name, host, "authz"), edge.istio_gateway(name, host, issuer=ISSUER))
    edge.cluster.wait_for(lambda: "status 403" in reason_of(edge, host), "the reason", _PATIENCE)
    for word in (f"Gateway istio-system/{name} refuses the path", "AuthorizationPolicy"):
        assert word in reason_of(edge, host)
    edge.cluster.kubectl("delete", "authorizationpolicy", "office-only", "-n", "istio-system")
    wait_trusted(edge, host)


def test_an_ingress(edge: Edge) -> None:
    """Mode D: an Ingress of class istio, as in guides of 2019, is proven through the shared solver."""
    host = "old.example.com"
    backend = {"service": {"name": "nothing", "port": {"number": 80}}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "old",
            "namespace": "istio-system",
            "annotations": {"kubernetes.io/ingress.class": "istio", **WANTED},
        },
        "spec": {
            "tls": [{"hosts": [host], "secretName": "old"}],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }
    apply(edge, ingress)
    wait_trusted(edge, host)
    wait_gone(edge)


def test_the_redirect_of_mutual_tls(edge: Edge) -> None:
    """Mode C: with consent the redirect is a route's for a while; nothing is served in the clear, and all is given back."""
    name, host = "mutual", "mutual.example.com"
    gateway = edge.istio_gateway(name, host, "other.example.com", issuer=ISSUER)
    gateway["spec"]["servers"][0]["tls"]["mode"] = "MUTUAL"
    gateway["spec"]["servers"][0]["hosts"] = [host]
    clients = base64.b64encode(pki.CA("clients").pem).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-cacert", "namespace": "istio-system"},
        "data": {"ca.crt": clients},
    }
    apply(edge, secret, edge.page(name, host, "secret"), gateway)
    edge.cluster.wait_for(lambda: ALLOW_REDIRECT_CHANGE in reason_of(edge, host), "the reason", _PATIENCE)
    consent = f"{ALLOW_REDIRECT_CHANGE}=true"
    edge.cluster.kubectl("annotate", "gateways.networking.istio.io", name, "-n", "istio-system", consent)
    deadline, seen = time.monotonic() + _PATIENCE, set()
    while not condition(edge, "certificate", name, "-n", "istio-system"):
        assert time.monotonic() < deadline, reason_of(edge, host)
        seen.add(edge.visit_plain(host).status)
    assert seen == {301}
    wait_gone(edge)
    found = edge.cluster.get("gateways.networking.istio.io", name, "-n", "istio-system")
    assert found["spec"] == gateway["spec"]
    assert TAKEN not in found["metadata"]["annotations"]
    assert edge.visit_plain(host).location == f"https://{host}/"


def test_shadowed(edge: Edge) -> None:
    """A VirtualService that takes the challenge's path first is named in the Challenge, which goes on when it is gone."""
    name, host = "shadowed", "shadowed.example.com"
    older = edge.page(name, host, "gone")
    older["spec"]["exportTo"] = ["."]
    older["spec"]["http"][0]["match"] = [{"uri": {"prefix": "/.well-known"}}]
    apply(edge, older)
    time.sleep(1.1)  # creationTimestamp has whole seconds
    apply(edge, edge.istio_gateway(name, host, issuer=ISSUER))
    named = f"VirtualService istio-system/{older['metadata']['name']} takes the path first"
    edge.cluster.wait_for(lambda: named in reason_of(edge, host), "the name in the reason", _PATIENCE)
    edge.cluster.kubectl("delete", "virtualservice", older["metadata"]["name"], "-n", "istio-system")
    wait_trusted(edge, host)


def test_a_wildcard(edge: Edge) -> None:
    """A Gateway for a wildcard is proven by DNS-01, and serves every host below; the test carries out what External-DNS would."""
    edge.cluster.apply(ENDPOINT_CRD)
    edge.cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{ENDPOINTS}")
    by_records = edge.issuer("by-records")
    by_records["spec"]["acme"]["solvers"] = [{"dns01": {"externalDNS": {}}}]
    apply(edge, by_records, edge.istio_gateway("wild", "*.wild.example.com", issuer="by-records"))
    apply(edge, *(edge.page("wild", f"{name}.wild.example.com", name) for name in ("one", "two")))

    def asked() -> list[Json]:
        found: list[Json] = edge.cluster.get(ENDPOINTS, "-A")["items"]
        return found

    (record,) = edge.cluster.wait_for(asked, "a DNSEndpoint", _PATIENCE)[0]["spec"]["endpoints"]
    assert (record["dnsName"], record["recordType"]) == ("_acme-challenge.wild.example.com", "TXT")
    for target in record["targets"]:
        edge.challenges.add_txt(record["dnsName"], target.strip('"'))
    for name in ("one", "two"):
        wait_trusted(edge, f"{name}.wild.example.com")
        assert edge.visit(f"{name}.wild.example.com").body == name
    edge.cluster.wait_for(lambda: not asked(), "the DNSEndpoint is gone", _PATIENCE)
