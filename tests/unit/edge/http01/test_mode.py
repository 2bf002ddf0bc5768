"""How HTTP-01 reaches a host: each case of Istio's Gateways, Gateway API Gateways and Ingresses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.gateway import Gateway
from signer.edge.http01.mode import (
    ALLOW_REDIRECT_CHANGE,
    Mode,
    mode_for_api_gateway,
    mode_for_gateway,
    mode_for_ingress,
)
from signer.tenancy.verdict import Refuse
from tests.unit.edge.objects import api_gateway, gateway, host, http, https, ingress, listener

A = "a.example.com"
ALLOWED = {ALLOW_REDIRECT_CHANGE: "true"}


def chosen(*servers: Any, others: tuple[Gateway, ...] = (), annotations: Any = None, **more: Any) -> str:
    """The letter of the mode, with "+" where it goes through https; or the reason of the refusal."""
    found = mode_for_gateway(host(A), gateway(*servers, annotations=annotations), others, **more)
    if isinstance(found, Refuse):
        return found.code
    assert found.gateway == ("foo", "shop")
    return found.letter + ("+" if found.through_https else "") + (" redirect" if found.redirect else "")


TABLE: list[tuple[str, list[Any], str]] = [
    ("both ports, no redirect", [https(A), http(A)], "A"),
    ("redirect on the exact host, as guides write it", [https(A), http(A, redirect=True)], "A+"),
    ("redirect, OPTIONAL_MUTUAL", [https(A, mode="OPTIONAL_MUTUAL"), http(A, redirect=True)], "A+"),
    ("redirect, a wildcard's server on 443", [https("*.example.com"), http(A, redirect=True)], "A+"),
    ("redirect, MUTUAL", [https(A, mode="MUTUAL"), http(A, redirect=True)], "MutualTLS"),
    (
        "redirect, MUTUAL beside a SIMPLE wildcard: the exact one answers",
        [https(A, mode="MUTUAL"), https("*"), http(A, redirect=True)],
        "MutualTLS",
    ),
    ("no redirect, MUTUAL", [https(A, mode="MUTUAL"), http(A)], "A"),
    ("no port 80 at all", [https(A)], "B redirect"),
    ("no port 80, MUTUAL", [https(A, mode="MUTUAL")], "B redirect"),
    ("port 80 is another host's", [https(A), http("b.example.com")], "B redirect"),
    ("redirect on every host, SIMPLE", [https(A), http("*", redirect=True)], "A+"),
    ("redirect on every host, MUTUAL", [https(A, mode="MUTUAL"), http("*", redirect=True)], "MutualTLS"),
    ("redirect on a wildcard, MUTUAL", [https(A, mode="MUTUAL"), http("*.example.com", redirect=True)], "MutualTLS"),
    (
        "the exact host does not redirect, but a wildcard of the same Gateway does",
        [https(A), http(A), http("*", redirect=True)],
        "A+",
    ),
    (
        "the exact host redirects, every other does not",
        [https(A, mode="MUTUAL"), http(A, redirect=True), http("*")],
        "MutualTLS",
    ),
    ("redirect, and nothing on 443", [https(A, port=8443), http(A, redirect=True)], "NoHTTPSServer"),
    ("redirect, 443 passes TLS through", [https(A, mode="PASSTHROUGH"), http(A, redirect=True)], "NoHTTPSServer"),
    ("routes of another namespace only", [https(f"bar/{A}"), http(f"bar/{A}")], "B"),
    (
        "routes of another namespace only, with a redirect",
        [https(f"bar/{A}"), http(f"bar/{A}", redirect=True)],
        "RoutesRestricted",
    ),
    ("routes of our namespace by name", [https(f"foo/{A}"), http(f"foo/{A}", redirect=True)], "A+"),
    ("routes of our namespace by dot", [https(f"./{A}"), http(f"./{A}")], "A"),
    ("routes of all namespaces", [https(f"*/{A}"), http(f"*/{A}")], "A"),
    ("one entry lets ours in", [https(A), http(f"bar/{A}", f"./{A}")], "A"),
    ("a host in capitals", [https("A.Example.com"), http("A.Example.COM", redirect=True)], "A+"),
]


@pytest.mark.parametrize(("servers", "found"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_one_gateway(servers: list[Any], found: str) -> None:
    """Each shape of a Gateway has its mode, or a reason."""
    assert chosen(*servers) == found


class TestWildcardRedirects:
    """Istio redirects a host below a redirecting wildcard as soon as a VirtualService on that Gateway names it."""

    WILD = gateway(http("*.example.com", redirect=True), namespace="bar", name="wild")

    def test_nobody_routes_it(self) -> None:
        """Without such a VirtualService the exact host is a virtual host of its own, on a Gateway of ours."""
        mutual = https(A, mode="MUTUAL")
        assert chosen(mutual, http("*", redirect=True), routed=()) == "B redirect"
        assert chosen(mutual, others=(self.WILD,), routed=[("foo", "shop")]) == "B redirect"

    def test_somebody_routes_it(self) -> None:
        """With one, or when it is not known, only 443 can answer."""
        mutual = https(A, mode="MUTUAL")
        assert chosen(mutual, http("*", redirect=True), routed=[("foo", "shop")]) == "MutualTLS"
        assert chosen(mutual, others=(self.WILD,), routed=[("bar", "wild")]) == "MutualTLS"
        assert chosen(mutual, others=(self.WILD,)) == "MutualTLS"
        assert chosen(https(A), others=(self.WILD,)) == "A+"

    def test_ours_would_be_one(self) -> None:
        """Our own VirtualService on the user's Gateway would bring the redirect about: it is reckoned with."""
        assert chosen(https(A), http(A), http("*", redirect=True), routed=()) == "A+"

    def test_other_hosts_keep_theirs(self) -> None:
        """A wildcard's redirect is never taken away for one host, though the user allows changes."""
        servers = [https(A, mode="MUTUAL"), http("*.example.com", redirect=True)]
        assert chosen(*servers, annotations=ALLOWED) == "MutualTLS"


class TestOtherGateways:
    def test_its_redirect(self) -> None:
        """Istio merges port 80 of all Gateways: another's redirect counts, and ours answers on its own 443."""
        other = gateway(http(A, redirect=True), namespace="bar", name="other")
        assert chosen(https(A), http(A), others=(other,)) == "A+"
        assert chosen(https(A), others=(other,)) == "A+"
        assert chosen(https(A, mode="MUTUAL"), others=(other,)) == "MutualTLS"

    def test_its_port_80(self) -> None:
        """Where another Gateway serves port 80 for the host, ours is added to it."""
        other = gateway(http(A), namespace="bar", name="other")
        assert chosen(https(A), others=(other,)) == "B"

    def test_its_443_is_not_ours(self) -> None:
        """Another's listener on 443 has no routes of our Gateway."""
        other = gateway(https(A), namespace="bar", name="other")
        assert chosen(http(A, redirect=True), others=(other,)) == "NoHTTPSServer"

    def test_its_redirect_is_not_ours_to_change(self) -> None:
        """The user's consent is for his own Gateway only."""
        other = gateway(http(A, redirect=True), namespace="bar", name="other")
        mutual = https(A, mode="MUTUAL")
        assert chosen(mutual, others=(other,), annotations=ALLOWED) == "MutualTLS"
        assert chosen(mutual, http(A, redirect=True), others=(other,), annotations=ALLOWED) == "MutualTLS"


class TestChangingTheRedirect:
    @pytest.mark.parametrize("servers", [[https(A, mode="MUTUAL"), http(A, redirect=True)], [http(A, redirect=True)]])
    def test_where_allowed(self, servers: list[Any]) -> None:
        """With the user's consent the redirect is replaced, and only where nothing else does."""
        assert chosen(*servers, annotations=ALLOWED) == "C redirect"
        assert chosen(*servers, annotations={ALLOW_REDIRECT_CHANGE: "yes"})[0] != "C"

    def test_not_where_it_is_not_needed(self) -> None:
        """What works without a change is not changed."""
        assert chosen(https(A), http(A, redirect=True), annotations=ALLOWED) == "A+"

    def test_the_refusal_says_how(self) -> None:
        """The reason names the Gateway, the annotation, and the ways out."""
        found = mode_for_gateway(host(A), gateway(https(A, mode="MUTUAL"), http(A, redirect=True)))
        assert isinstance(found, Refuse)
        for word in ("Gateway foo/shop", ALLOW_REDIRECT_CHANGE, "remove httpsRedirect", "dns01"):
            assert word in found.message


def test_ports_of_the_service() -> None:
    """A Gateway on the proxy's own ports is served on those of its Service."""
    servers = [https(A, port=8443), http(A, redirect=True, port=8080)]
    assert chosen(*servers) == "B redirect"
    assert chosen(*servers, public_ports={8080: 80, 8443: 443}) == "A+"


def test_ports_that_the_world_does_not_see() -> None:
    """Port 80 of a Gateway is not the world's where that leads elsewhere; and the redirect of another number is not taken."""
    servers = [https(A), http(A, port=80), http(A, redirect=True, port=8080)]
    assert chosen(*servers) == "A"
    assert chosen(*servers, public_ports={80: 0, 8080: 80, 443: 443}) == "A+"
    mutual = [https(A, mode="MUTUAL"), http(A, redirect=True, port=8080)]
    assert chosen(*mutual, public_ports={8080: 80, 443: 443}, annotations=ALLOWED) == "MutualTLS"


CASES = st.lists(st.booleans(), min_size=len(A), max_size=len(A))


def in_letters(text: str, upper: list[bool]) -> str:
    return "".join(char.upper() if up else char for char, up in zip(text, upper, strict=False))


@given(CASES, CASES, st.sampled_from(("exact", "wildcard", "any")))
def test_letters(first: list[bool], second: list[bool], how: str) -> None:
    """A route names the host in the letters of each server: Istio finds it there by comparing them as they are."""
    patterns = [
        {"exact": in_letters(A, upper), "wildcard": in_letters("*.example.com", upper), "any": "*"}[how]
        for upper in (first, second)
    ]
    found = mode_for_gateway(host(A), gateway(http(patterns[0]), https(patterns[1])))
    assert isinstance(found, Mode)
    assert {name.lower() for name in found.hosts} == {A}
    for pattern in patterns:
        # Istio's own comparison (pkg/config/host): equal, or below a wildcard.
        assert any(name == pattern or (pattern[0] == "*" and name.endswith(pattern[1:])) for name in found.hosts)


@pytest.mark.parametrize("kind", ["Gateway", "APIGateway", "Ingress"])
def test_wildcards(kind: str) -> None:
    """No wildcard can be proven by HTTP-01, whatever serves it."""
    wildcard = host("*.example.com")
    found = {
        "Gateway": lambda: mode_for_gateway(wildcard, gateway(https("*.example.com"), http("*.example.com"))),
        "APIGateway": lambda: mode_for_api_gateway(wildcard, api_gateway(listener("http", 80))),
        "Ingress": lambda: mode_for_ingress(wildcard, ingress()),
    }[kind]()
    assert isinstance(found, Refuse)
    assert found.code == "WildcardNeedsDNS01"


class TestGatewayAPI:
    def test_listeners(self) -> None:
        """The HTTPRoute attaches to the HTTP listeners of port 80 that admit the host."""
        found = mode_for_api_gateway(
            host(A),
            api_gateway(
                listener("all", 80),
                listener("exact", 80, A),
                listener("wild", 80, "*.example.com"),
                listener("other", 80, "b.example.com"),
                listener("high", 8080),
                listener("tls", 443, A, tls={}),
            ),
        )
        assert found == Mode("E", ("foo", "shop"), sections=("all", "exact", "wild"))

    def test_listeners_of_the_services_numbers(self) -> None:
        """A listener counts by what the world sees of it."""
        listed = [listener("eighty", 80), listener("high", 8080)]
        found = mode_for_api_gateway(host(A), api_gateway(*listed), public_ports={80: 0, 8080: 80})
        assert found == Mode("E", ("foo", "shop"), sections=("high",))

    def test_none(self) -> None:
        """Without one the user is told to add it."""
        found = mode_for_api_gateway(host(A), api_gateway(listener("tls", 443, A, tls={})))
        assert isinstance(found, Refuse)
        assert found.code == "NoHTTPListener"


def test_ingress() -> None:
    """An Ingress is answered through one of the same class."""
    assert mode_for_ingress(host(A), ingress()) == Mode("D", ("foo", "shop"), ingress_class="istio")
