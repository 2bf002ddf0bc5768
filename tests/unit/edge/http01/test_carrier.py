"""What carries the challenge of a host, of all that serve it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import Ingress
from signer.api.virtualservice import VirtualService
from signer.edge.http01.carrier import Chosen, Serving, choose, with_ports_of_their_own
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.proxies.ports import PUBLIC_PORTS, Ports
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


ELSEWHERE = gateway(http(HOST), https(HOST), namespace="shop", name="web")


class TestElsewhere:
    def test_the_reason_names_it(self) -> None:
        """Who looks for the Gateway of another namespace reads its name, and which option makes it count."""
        found = chosen(ELSEWHERE, namespace="istio-ingress")
        assert isinstance(found, Reason)
        for word in ("Gateway shop/web", "--gateway-namespaces", "istio-ingress"):
            assert word in found.message
        assert letter(ELSEWHERE, namespace="istio-ingress", gateway_namespaces=("istio-ingress",)) == "A"

    def test_only_what_names_the_host(self) -> None:
        """A Gateway for every host is none that somebody looks for."""
        for one in (gateway(http("*"), namespace="shop"), gateway(http("other.example.com"), namespace="shop")):
            found = chosen(one, namespace="istio-ingress")
            assert isinstance(found, Reason)
            assert "--gateway-namespaces" not in found.message


class TestPorts:
    HIGH = gateway(http(HOST, port=8080, redirect=True), https(HOST, port=8443))

    @pytest.mark.parametrize(
        ("objects", "names"),
        [
            ((PLAIN, API, INGRESS), []),
            ((HIGH,), ["shop"]),
            ((PLAIN, gateway(http("other.example.com", port=8080), name="beside")), ["shop"]),
            ((api_gateway(listener("http", 8080, HOST)),), ["shop"]),
            ((gateway(http(HOST), annotations={PUBLIC_PORTS: "80:80"}),), ["shop"]),
            ((gateway(http("other.example.com", port=8080)),), []),
        ],
        ids=["usual", "others", "another's on the same proxies", "a listener", "the owner's word", "another host"],
    )
    def test_which_are_looked_up(self, objects: Any, names: list[str]) -> None:
        """Services are read for those alone whose numbers do not say it."""
        serving = Serving(
            tuple(one for one in objects if isinstance(one, Gateway)),
            tuple(one for one in objects if isinstance(one, APIGateway)),
            tuple(one for one in objects if isinstance(one, Ingress)),
        )
        assert [one.metadata.name for one in with_ports_of_their_own(host(HOST), "foo", serving)] == names

    def test_they_decide(self) -> None:
        """A Gateway that names the container's ports is proven as one that names the world's."""
        chart = Ports({80: frozenset({8080}), 443: frozenset({8443})}, {80: frozenset({8080}), 443: frozenset({8443})})
        assert letter(self.HIGH) == "B"
        assert letter(self.HIGH, ports=lambda _: chart) == "A"
        assert letter(api_gateway(listener("http", 8080, HOST)), ports=lambda _: chart) == "E"


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


_PARTS = st.sampled_from(["", ".", "*", "~", "foo", "bar", "b", HOST, HOST.upper(), "*.example.com", "example.com"])
_WRITTEN = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)


@given(st.lists(st.lists(_WRITTEN, max_size=3), min_size=1, max_size=4), st.lists(_WRITTEN, max_size=3), st.booleans())
def test_whatever_is_written_is_judged(servers: list[list[str]], named: list[str], redirects: bool) -> None:
    """Hosts with any number of slashes get a mode or a reason; what has two or more serves nothing, as with Istio."""
    objects = [
        gateway(http(*hosts, redirect=redirects), https(*hosts), name=f"g{index}")
        for index, hosts in enumerate(servers)
    ]
    spec = {"hosts": [HOST], "gateways": named}
    route = msgspec.convert({"metadata": {"namespace": "foo", "name": "r"}, "spec": spec}, VirtualService)
    found = chosen(*objects, routes=[route])
    served = any(
        text.count("/") <= 1 and text.lower().rpartition("/")[2] in _SERVING for hosts in servers for text in hosts
    )
    assert served == (not isinstance(found, Reason) or found.code != "NoGateway")


_SERVING = ("*", HOST, "*.example.com")


@pytest.mark.parametrize(
    "written", ["wildcard", "./wildcard", "foo/wildcard", "wildcard.foo", "wildcard.foo.svc.cluster.local"]
)
def test_a_route_in_each_form(written: str) -> None:
    """A route stands in the way in whichever form it names its Gateway: one that is not seen would cost a failed order."""
    secured = gateway(https(HOST, mode="MUTUAL"))
    wildcard = gateway(http("*.example.com", redirect=True), name="wildcard")
    route = {"metadata": {"namespace": "foo", "name": "r"}, "spec": {"hosts": [HOST], "gateways": [written]}}
    assert letter(secured, wildcard, routes=[msgspec.convert(route, VirtualService)]) == "MutualTLS"


def test_routes_leave_a_better_way() -> None:
    """Below a wildcard that redirects, a Gateway of ours will do as long as no route of the host is on the wildcard's."""
    secured = gateway(https(HOST, mode="MUTUAL"))
    wildcard = gateway(http("*.example.com", redirect=True), name="wildcard")
    assert letter(secured, wildcard) == "MutualTLS"
    assert letter(secured, wildcard, routes=[]) == "B"
    route = {"metadata": {"namespace": "foo", "name": "r"}, "spec": {"hosts": [HOST], "gateways": ["wildcard"]}}
    assert letter(secured, wildcard, routes=[msgspec.convert(route, VirtualService)]) == "MutualTLS"
