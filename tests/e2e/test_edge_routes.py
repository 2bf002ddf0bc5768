"""The answers to HTTP-01 challenges, through real istiod and Envoy: each mode as it is chosen and built, on one gateway.

The test looks as a CA does: port 80, a redirect followed to 443, whatever certificate is there. Ports are 8080 and 8443 on
a loopback address of the gateway's own; its Service would make 80 and 443 of them.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml

from signer.api.gateway import Gateway
from signer.api.virtualservice import VirtualService
from signer.edge.gateways.bodies import gateway_secret
from signer.edge.gateways.placeholder import new_placeholder
from signer.edge.gateways.read import gateway_wishes
from signer.edge.http01.check import shadows
from signer.edge.http01.mode import Mode, mode_for_gateway
from signer.edge.http01.routes import Answer, own_gateway, virtual_service
from tests import pki
from tests.localmesh.mesh import Mesh
from tests.localmesh.workload import Workload
from tests.unit.edge.objects import LE, host

pytestmark = pytest.mark.e2e

HTTP, HTTPS = 8080, 8443
PUBLIC = {HTTP: 80, HTTPS: 443}
LABELS = {"istio": "edge-gateway"}
PROXY = "istio-system"


class Router(Workload):
    """A gateway: the same agent as a router, with no service behind it."""

    role = "router"

    def objects(self) -> list[dict[str, Any]]:
        """Its ServiceAccount, and the right to the Secrets of its namespace that istiod asks about."""
        place = {"name": self.name, "namespace": self.namespace}
        rbac = "rbac.authorization.k8s.io"
        return [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**place, "name": self.service_account}},
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "Role",
                "metadata": place,
                "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}],
            },
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": place,
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": self.name},
                "subjects": [{"kind": "ServiceAccount", "name": self.service_account, "namespace": self.namespace}],
            },
        ]


@pytest.fixture(scope="module")
def router(mesh: Mesh) -> Iterator[Router]:
    """The gateway, in Istio's namespace."""
    found = Router(
        mesh.cluster,
        mesh.istiod.address,
        name="edge-gateway",
        namespace=PROXY,
        signer="istio-system",
        address=next(mesh._addresses),
        outbound=next(mesh._addresses),
        labels=LABELS,
    )
    mesh.workloads.append(found)
    found.start()
    mesh.wait_ready(found, timeout=120)
    yield found
    mesh.remove(found)


class Case:
    """One Gateway in foo for one host, and what answers the challenge for it."""

    def __init__(self, mesh: Mesh, router: Router, name: str) -> None:
        self.mesh, self.router, self.name = mesh, router, name
        self.host = f"{name}.edge.example.com"
        token = f"{name}-token".ljust(43, "x")
        self.answer = Answer(host(self.host), token, f"{token}.{'k' * 43}", (PROXY, name, f"uid-{name}"))
        self.made: list[dict[str, Any]] = []

    def apply(self, *objects: dict[str, Any]) -> None:
        self.made += objects
        self.mesh.cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def http(self, name: str | None = None, *, redirect: bool = False) -> dict[str, Any]:
        port = {"number": HTTP, "name": "http", "protocol": "HTTP"}
        found = {"port": port, "bind": self.router.address, "hosts": [name or self.host]}
        return {**found, "tls": {"httpsRedirect": True}} if redirect else found

    def https(self, mode: str = "SIMPLE") -> dict[str, Any]:
        port = {"number": HTTPS, "name": "https", "protocol": "HTTPS"}
        tls = {"mode": mode, "credentialName": self.name}
        return {"port": port, "bind": self.router.address, "hosts": [self.host], "tls": tls}

    def gateway(self, *servers: dict[str, Any]) -> Gateway:
        """The user's Gateway with a VirtualService of its own that takes everything, and the placeholder's Secret."""
        spec = {"selector": LABELS, "servers": list(servers)}
        metadata = {"name": self.name, "namespace": "foo"}
        one = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata, "spec": spec}
        users = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": self.name, "namespace": "foo"},
            "spec": {
                "hosts": [self.host],
                "gateways": [self.name],
                "http": [
                    {
                        "match": [{"uri": {"regex": "/.*"}}],
                        "directResponse": {"status": 418, "body": {"string": "shop"}},
                    }
                ],
            },
        }
        read = msgspec.convert({"metadata": metadata, "spec": spec}, Gateway)
        secrets = []
        for wish in gateway_wishes(read, LE).certificates:
            data = new_placeholder(wish.hosts, datetime.now(UTC))
            secret = gateway_secret(wish, PROXY, source_namespace_uid="u", data=data, placeholder=True)
            secret["stringData"] = {"ca.crt": pki.CA("clients").pem.decode()}
            secrets.append(secret)
        self.apply(one, users, *secrets)
        return read

    def mode(self, gateway: Gateway, others: tuple[Gateway, ...] = (), routed: Any = None) -> Mode:
        found = mode_for_gateway(host(self.host), gateway, others, routed=routed, public_ports=PUBLIC)
        assert isinstance(found, Mode), found
        return found

    def look(self, path: str | None = None) -> tuple[int, str, bool]:
        """Status, body, and whether https was used, as a CA sees it."""
        status, body, location = self._get(path, secure=False)
        if status in (301, 302, 307, 308) and location.startswith(f"https://{self.host}"):
            status, body, _ = self._get(path, secure=True)
            return status, body, True
        return status, body, False

    def _get(self, path: str | None, *, secure: bool) -> tuple[int, str, str]:
        try:
            plain = socket.create_connection((self.router.address, HTTPS if secure else HTTP), timeout=5)
            context = ssl._create_unverified_context()
            with plain, context.wrap_socket(plain, server_hostname=self.host) if secure else plain as wire:
                connection = http.client.HTTPConnection(self.host)
                connection.sock = wire
                connection.request("GET", path or self.answer.path, headers={"Host": self.host, "Connection": "close"})
                answer = connection.getresponse()
                return answer.status, answer.read(1024).decode(), answer.headers.get("location", "")
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__, ""

    def wait(self, wanted: tuple[int, str, bool], path: str | None = None) -> None:
        end = time.monotonic() + 60
        while (seen := self.look(path)) != wanted:
            assert time.monotonic() < end, f"{self.name}: {seen} in place of {wanted}"
            time.sleep(0.2)

    def redirected(self) -> None:
        """Port 80 sends to https, where a CA, which has no client certificate, gets no answer."""
        end = time.monotonic() + 60
        while (seen := self.look())[::2] != (0, True):
            assert time.monotonic() < end, f"{self.name}: {seen}"
            time.sleep(0.2)

    def answered(self, *, through_https: bool) -> None:
        """The challenge is answered, and only its own path is."""
        self.wait((200, self.answer.key, through_https))
        assert self.look(self.answer.path + "x")[:2] != (200, self.answer.key)


@pytest.fixture
def case(mesh: Mesh, router: Router, request: pytest.FixtureRequest) -> Iterator[Case]:
    """A host of the test's own; what it made is removed."""
    found = Case(mesh, router, request.node.name.removeprefix("test_").replace("_", "-"))
    yield found
    mesh.cluster.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(found.made))


def test_without_redirect(case: Case) -> None:
    """Mode A on port 80, before an older VirtualService of the host that takes everything."""
    gateway = case.gateway(case.http(), case.https())
    case.wait((418, "shop", False))
    mode = case.mode(gateway)
    assert (mode.letter, mode.through_https) == ("A", False)
    case.apply(virtual_service(case.answer, mode.gateway, [PROXY]))
    case.answered(through_https=False)


def test_with_redirect(case: Case) -> None:
    """Mode A behind httpsRedirect, as guides write it: port 80 redirects, port 443 answers under the placeholder."""
    gateway = case.gateway(case.http(redirect=True), case.https())
    case.wait((418, "shop", True))
    mode = case.mode(gateway)
    assert (mode.letter, mode.through_https) == ("A", True)
    case.apply(virtual_service(case.answer, mode.gateway, [PROXY]))
    case.answered(through_https=True)


def test_no_port_80(case: Case) -> None:
    """Mode B: a Gateway of ours answers on port 80 and sends all else to https."""
    gateway = case.gateway(case.https())
    mode = case.mode(gateway)
    assert mode.letter == "B"
    own = own_gateway(case.answer, "foo", LABELS, HTTP, bind=case.router.address)
    routes = virtual_service(case.answer, ("foo", case.answer.object_name), [PROXY], redirect=True, http_port=HTTP)
    case.apply(own, routes)
    case.answered(through_https=False)
    case.wait((418, "shop", True), "/cart")


def test_wildcard_redirect(case: Case) -> None:
    """A host below a redirecting wildcard: ours on a Gateway of its own does not redirect, one on the wildcard's does."""
    gateway = case.gateway(case.https("MUTUAL"))
    spec = {"selector": LABELS, "servers": [case.http("*.edge.example.com", redirect=True)]}
    metadata = {"name": "wildcard", "namespace": "foo"}
    wild = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata, "spec": spec}
    case.apply(wild)
    case.redirected()
    mode = case.mode(gateway, (msgspec.convert(wild, Gateway),), [("foo", case.name)])
    assert (mode.letter, mode.redirect) == ("B", True)
    own = own_gateway(case.answer, "foo", LABELS, HTTP, bind=case.router.address)
    routes = virtual_service(case.answer, ("foo", case.answer.object_name), [PROXY], redirect=True, http_port=HTTP)
    case.apply(own, routes)
    case.answered(through_https=False)
    assert case._get("/cart", secure=False)[0] == 301
    # A VirtualService of the host on the wildcard's Gateway brings its redirect about: why `routed` is asked for.
    users = case.made[1]
    case.apply({**users, "spec": {**users["spec"], "gateways": [case.name, "wildcard"]}})
    case.redirected()


def test_shadowed(case: Case) -> None:
    """A route that its owner exports to the proxy by name stands before ours when it is older, and is named."""
    case.gateway(case.http())
    older = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "older", "namespace": "foo"},
        "spec": {
            "hosts": [case.host],
            "gateways": [case.name],
            "exportTo": [PROXY],
            "http": [
                {
                    "match": [{"uri": {"prefix": "/.well-known"}}],
                    "directResponse": {"status": 410, "body": {"string": "gone"}},
                }
            ],
        },
    }
    case.apply(older)
    case.wait((410, "gone", False))
    time.sleep(1.1)  # creationTimestamp has whole seconds
    case.apply(virtual_service(case.answer, ("foo", case.name), [PROXY]))
    listed = json.loads(case.mesh.cluster.kubectl("get", "virtualservices", "-n", "foo", "-o", "json"))["items"]
    read = {one["metadata"]["name"]: msgspec.convert(one, VirtualService) for one in listed}
    ours = read.pop(case.answer.object_name)
    assert shadows(ours, read.values(), host(case.host), case.answer.path, PROXY) == ("foo/older",)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert case.look()[0] == 410
        time.sleep(0.5)
    case.mesh.cluster.kubectl("delete", "virtualservice", "older", "-n", "foo")
    case.answered(through_https=False)
