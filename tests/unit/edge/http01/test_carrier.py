"""What carries the challenge of a host, of all that serve it."""

from typing import Any

import msgspec
import pytest

from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import Ingress
from signer.api.virtualservice import VirtualService
from signer.edge.http01.carrier import Chosen, Serving, choose
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.tenancy.verdict import Reason
from tests.unit.edge.objects import api_gateway, gateway, host, http, https, ingress, listener

HOST = "shop.example.com"
PLAIN = gateway(http(HOST), https(HOST))
API = api_gateway(listener("http", 80, HOST), name="api")
INGRESS = ingress({"hosts": [HOST], "secretName": "s"}, rules=(HOST,))


def chosen(*objects: Gateway | APIGateway | Ingress, namespace: str = "foo", **how: Any) -> Chosen | Reason:
    serving = Serving(
        tuple(one for one in objects if isinstance(one, Gateway)),
        tuple(one for one in objects if isinstance(one, APIGateway)),
        tuple(one for one in objects if isinstance(one, Ingress)),
    )
    return choose(host(HOST), namespace, serving, **how)


def letter(*objects: Gateway | APIGateway | Ingress, **how: Any) -> str:
    found = chosen(*objects, **how)
    return found.mode.letter if isinstance(found, Chosen) else found.code


@pytest.mark.parametrize(
    ("objects", "wanted"),
    [
        ((PLAIN,), "A"),
        ((API,), "E"),
        ((INGRESS,), "D"),
        ((INGRESS, API, PLAIN), "A"),
        ((gateway(http("*")), INGRESS), "D"),
        ((gateway(http("*.example.com")), API), "E"),
        ((api_gateway(listener("https", 443, HOST, tls={})),), "NoHTTPListener"),
        ((api_gateway(listener("https", 443, HOST, tls={})), INGRESS), "D"),
        ((ingress({"hosts": [HOST]}, class_name="nginx"),), "NoGateway"),
        ((), "NoGateway"),
        ((gateway(http("other.example.com")),), "NoGateway"),
    ],
)
def test_the_kind(objects: tuple[Any, ...], wanted: str) -> None:
    """The object that names the host best carries it; Istio's own Gateway before the others; a refusal tries the next."""
    assert letter(*objects) == wanted


def test_changing_comes_last() -> None:
    """What the user wrote is changed only where nothing else carries the challenge."""
    redirecting = gateway(
        http(HOST, redirect=True), https(HOST, mode="MUTUAL"), annotations={ALLOW_REDIRECT_CHANGE: "true"}
    )
    assert letter(redirecting) == "C"
    assert letter(redirecting, INGRESS) == "D"
    refused = gateway(http(HOST, redirect=True), https(HOST, mode="MUTUAL"))
    assert letter(refused) == "MutualTLS"


def test_whose() -> None:
    """A tenant's Challenge is carried by his own objects only; that of a gateway's namespace by any, its own first."""
    theirs = gateway(http(HOST), namespace="bar")
    assert letter(theirs) == "NoGateway"
    assert letter(theirs, namespace="istio-system", gateway_namespaces=["istio-system"]) == "A"
    own = gateway(http(HOST), namespace="istio-system", name="own")
    found = chosen(theirs, own, namespace="istio-system", gateway_namespaces=["istio-system"])
    assert isinstance(found, Chosen)
    assert found.carrier is own


def test_routes_leave_a_better_way() -> None:
    """Below a wildcard that redirects, a Gateway of ours will do as long as no route of the host is on the wildcard's."""
    secured = gateway(https(HOST, mode="MUTUAL"))
    wildcard = gateway(http("*.example.com", redirect=True), name="wildcard")
    assert letter(secured, wildcard) == "MutualTLS"
    assert letter(secured, wildcard, routes=[]) == "B"
    route = {"metadata": {"namespace": "foo", "name": "r"}, "spec": {"hosts": [HOST], "gateways": ["wildcard"]}}
    assert letter(secured, wildcard, routes=[msgspec.convert(route, VirtualService)]) == "MutualTLS"
