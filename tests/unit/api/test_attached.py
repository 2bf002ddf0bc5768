"""What Gateways and VirtualServices say of each other: names with a slash, read as Istio reads them."""

import msgspec
import pytest

from signer.api.gateway import ServerHost, server_host
from signer.api.virtualservice import VirtualService, gateway_named


@pytest.mark.parametrize(
    ("text", "wanted", "takes"),
    [
        ("shop.example.com", ServerHost("shop.example.com", "*"), {"own", "other"}),
        ("*/shop.example.com", ServerHost("shop.example.com", "*"), {"own", "other"}),
        ("./shop.example.com", ServerHost("shop.example.com", "."), {"own"}),
        ("own/shop.example.com", ServerHost("shop.example.com", "own"), {"own"}),
        ("other/*.example.com", ServerHost("*.example.com", "other"), {"other"}),
        ("*/*", ServerHost("*", "*"), {"own", "other"}),
        ("*", ServerHost("*", "*"), {"own", "other"}),
        ("~/shop.example.com", ServerHost("shop.example.com", "~"), set()),
        ("/shop.example.com", ServerHost("shop.example.com", ""), set()),
        ("own/", ServerHost("", "own"), {"own"}),
        ("", ServerHost("", "*"), {"own", "other"}),
        ("a/b/shop.example.com", ServerHost("b/shop.example.com", "a"), set()),
    ],
)
def test_hosts_of_servers(text: str, wanted: ServerHost, takes: set[str]) -> None:
    """Which host an entry names, and of which namespaces it takes routes; with a second slash it names none."""
    found = server_host(text)
    assert found == wanted
    assert {one for one in ("own", "other") if found.takes(one, "own")} == takes


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("web", ("own", "web")),
        ("./web", ("own", "web")),
        ("other/web", ("other", "web")),
        ("web.other", ("other", "web")),
        ("web.other.svc.cluster.local", ("other", "web")),
        ("other/web.eu", ("other", "web.eu")),
        ("a/b/web", ("a", "b/web")),
        ("", ("own", "")),
    ],
)
def test_gateways_of_routes(text: str, wanted: tuple[str, str]) -> None:
    """Which Gateway a route names, in each form that Istio takes."""
    assert gateway_named(text, "own") == wanted


def test_each_once() -> None:
    """A route is on a Gateway once, in however many forms it names it; the mesh is no Gateway."""
    spec = {"hosts": ["shop.example.com"], "gateways": ["mesh", "web", "./web", "own/web", "web.own", "other/web"]}
    route = msgspec.convert({"metadata": {"namespace": "own", "name": "r"}, "spec": spec}, VirtualService)
    assert route.attached_to == (("own", "web"), ("other", "web"))
