"""Hosts that routes of other namespaces name for a Gateway's "*": by an EdgePolicy's word alone, and never in the others' way."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.edgepolicy import EdgePolicy
from signer.api.httproute import HTTPRoute
from signer.api.virtualservice import VirtualService
from signer.edge.gateways.gather import Wanted, gather
from signer.edge.gateways.routed import MOST_OF_ONE, routed
from signer.edge.host import MAX_NAMES, Host
from signer.edge.hosts.decide import Asker, Claim, EdgeWorld, granted_by_policy
from signer.edge.hosts.policy import HostPolicy, deciding, read_edge_policy
from tests.unit.edge.objects import LE, api_gateway, gateway, host, https, listener, meta

INGRESS = Asker("ingress", "uid-ingress", {})
LABELS = {"mesh-signer.dev/tenant": "apps"}
TENANTS = {"apps": Asker("apps", "uid-apps", LABELS), "other": Asker("other", "uid-other", {})}


def route(
    *hosts: str, namespace: str = "apps", name: str = "r", on: Iterable[str] = ("ingress/star",), **spec: Any
) -> VirtualService:
    """A VirtualService of another namespace."""
    body = {"hosts": list(hosts), "gateways": list(on), "http": [], **spec}
    return msgspec.convert({"metadata": meta(namespace, name), "spec": body}, VirtualService)


def policy(
    suffix: str = "example.com",
    routes: dict[str, Any] | None = None,
    name: str = "p",
    to: tuple[str, ...] = ("ingress",),
) -> HostPolicy:
    """One that gives hosts to the namespace of the Gateway, and takes routes of apps."""
    spec: dict[str, Any] = {"hostSuffixes": [suffix], "namespaces": {"names": list(to)}}
    if routes != {}:
        spec["routesFrom"] = routes or {"names": ["apps"]}
    return read_edge_policy(msgspec.convert({"metadata": {"name": name}, "spec": spec}, EdgePolicy))


def wanted(
    routes: Iterable[VirtualService],
    policies: Iterable[HostPolicy],
    *servers: Any,
    claims: Iterable[Claim] = (),
) -> Wanted:
    """What a Gateway "star" wants."""
    world = EdgeWorld({one.host.claim_name: one for one in claims}, tuple(policies))
    star = gateway(*(servers or (https("*"),)), namespace="ingress", name="star")
    return gather([star], (), {}, LE, others=routed(routes, INGRESS, TENANTS.get, world))


def hosts(found: Wanted) -> set[str]:
    return {str(one) for wish in found.wishes for one in wish.hosts}


SHOP = "shop.example.com"


@pytest.mark.parametrize(
    ("one", "policies", "expected"),
    [
        (route(SHOP), [policy()], {SHOP}),
        (route(SHOP), [policy(routes={"matchLabels": LABELS})], {SHOP}),
        (route(SHOP, "SHOP.example.com.", "x.example.org", "*"), [policy()], {SHOP}),
        (route(SHOP), [], set()),
        (route(SHOP), [policy(routes={})], set()),
        (route(SHOP), [policy(routes={"names": ["what?"]})], set()),
        (route(SHOP), [policy(to=("other",))], set()),
        (route(SHOP), [policy(), policy(SHOP, {"names": ["other"]}, "q")], set()),
        (route(SHOP, namespace="other"), [policy()], set()),
        (route(SHOP, namespace="other"), [policy(routes={"matchLabels": LABELS})], set()),
        (route(SHOP, namespace="gone"), [policy(routes={"names": ["gone"]})], set()),
        (route(SHOP, on=("star", "mesh", "ingress/other", "/star")), [policy()], set()),
        (route(SHOP, exportTo=["."]), [policy()], set()),
        (route(SHOP, exportTo=["apps"]), [policy()], set()),
        (route(SHOP, exportTo=["ingress"]), [policy()], {SHOP}),
    ],
)
def test_whose_count(one: VirtualService, policies: list[HostPolicy], expected: set[str]) -> None:
    """A host counts where the policy that decides about it covers the Gateway's namespace and takes routes of the route's."""
    assert hosts(wanted([one], policies)) == expected


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["*"], {SHOP}),
        (["*/*"], {SHOP}),
        (["apps/*"], {SHOP}),
        (["./*"], set()),
        (["other/*"], set()),
        (["own.example.net"], {"own.example.net"}),
        (["other/*", "own.example.net"], {"own.example.net"}),
        (["*.example.com"], {"*.example.com"}),
    ],
)
def test_what_the_server_admits(listed: list[str], expected: set[str]) -> None:
    """Only "*" asks for routes, and a namespace before it says of which namespace."""
    assert hosts(wanted([route(SHOP)], [policy()], https(*listed))) == expected


def test_nothing_is_told_as_missing() -> None:
    """A "*" that others' routes fill needs no host of its own; where nothing does, the message says by whose word they would count."""
    assert wanted([route(SHOP)], [policy()]).passed == ()
    ((_, passed),) = wanted([route(SHOP)], []).passed
    assert passed.reason.code == "NoHost"
    assert "routesFrom" in passed.reason.message


def test_who_writes_many_takes_nothing_away() -> None:
    """The Gateway's own hosts and those that it has already stay, whatever others' routes name; what has no room is told."""
    many = [f"a{number:03}.example.com" for number in range(MAX_NAMES + 20)]
    mine = Claim(host("zz.example.com"), "ingress", "uid-ingress")
    anothers = Claim(host("a000.example.com"), "other", "uid-other")
    found = wanted(
        [route(*many), route("zz.example.com", name="s")],
        [policy()],
        https("*", "own.example.net"),
        claims=(mine, anothers),
    )
    assert len(hosts(found)) == MAX_NAMES
    assert {"own.example.net", "zz.example.com"} <= hosts(found)
    assert not found.unsure
    ((_, passed),) = found.passed
    assert passed.reason.code == "TooManyHosts"


def test_what_is_read_of_one() -> None:
    """So many hosts are read of one namespace, and that costs the others nothing."""
    flood = [route(*(f"{number}.flood.example.net" for number in range(MOST_OF_ONE + 1)), SHOP, name="flood")]
    assert hosts(wanted(flood, [policy()])) == set()
    both = {"names": ["apps", "other"]}
    assert hosts(wanted([*flood, route(SHOP, namespace="other")], [policy(routes=both)])) == {SHOP}


def http_route(*hosts: str, namespace: str = "ingress", **parent: str) -> HTTPRoute:
    """An HTTPRoute."""
    ref = {"name": "star", "namespace": "ingress", **parent}
    body = {"hostnames": list(hosts), "parentRefs": [ref]}
    return msgspec.convert({"metadata": meta(namespace, "r"), "spec": body}, HTTPRoute)


@pytest.mark.parametrize(
    ("one", "allowed", "expected"),
    [
        (http_route(SHOP), None, True),
        (http_route(SHOP), "None", False),
        (http_route(SHOP, namespace="ingress", sectionName="tls"), "Same", True),
        (http_route(SHOP, sectionName="other"), "Same", False),
        (http_route(SHOP, namespace="apps"), "Same", False),
        (http_route(SHOP, namespace="apps"), None, False),
        (http_route(SHOP, namespace="apps"), "All", True),
        (http_route(SHOP, namespace="apps"), "Selector", True),
        (http_route("x.example.org", namespace="apps"), "All", False),
        (http_route("x.example.org"), "All", True),
        (http_route(SHOP, namespace="other"), "All", False),
        (http_route(SHOP, namespace="apps", kind="Service"), "All", False),
        (http_route(SHOP, namespace="apps", group=""), "All", False),
        (http_route(SHOP, name="other"), "All", False),
        (route(SHOP), "All", False),
    ],
)
def test_a_listener_without_a_hostname(one: Any, allowed: str | None, expected: bool) -> None:
    """It has the hosts of the HTTPRoutes on it: those of its own namespace, and others' that it allows and a policy lets in."""
    fields: dict[str, Any] = {"tls": {"certificateRefs": [{"name": "tls"}]}}
    if allowed is not None:
        fields["allowedRoutes"] = {"namespaces": {"from": allowed}}
    world = EdgeWorld({}, (policy(),))
    star = api_gateway(listener("tls", 443, **fields), namespace="ingress", name="star")
    found = gather([star], (), {}, LE, others=routed([one], INGRESS, TENANTS.get, world))
    assert hosts(found) == (set(one.spec.hostnames) if expected else set())
    assert [passed.reason.code for _, passed in found.passed] == ([] if expected else ["NoHost"])


def test_a_listener_with_a_hostname() -> None:
    """Its hostname is what it is for, whatever the routes name; and routes on Istio's Gateway of that name are not on it."""
    fields = {"tls": {"certificateRefs": [{"name": "tls"}]}, "allowedRoutes": {"namespaces": {"from": "All"}}}
    named = api_gateway(listener("tls", 443, "own.example.net", **fields), namespace="ingress", name="star")
    found = routed([http_route(SHOP)], INGRESS, TENANTS.get, EdgeWorld({}, (policy(),)))
    assert hosts(gather([named], (), {}, LE, others=found)) == {"own.example.net"}
    assert hosts(gather([gateway(https("*"), namespace="ingress", name="star")], (), {}, LE, others=found)) == set()


NAMES = ("a.example.com", "b.example.com", "c.a.example.com", "d.example.org", "*.a.example.com")
policies_of_any_kind = st.lists(
    st.builds(
        policy,
        st.sampled_from(("example.com", "a.example.com", "example.org")),
        st.sampled_from(({}, {"names": ["apps"]}, {"names": ["other"]}, {"matchLabels": LABELS})),
        st.sampled_from("pqr"),
        st.sampled_from((("ingress",), ("apps",), ("ingress", "apps"))),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
routes_of_any_kind = st.lists(
    st.builds(
        lambda listed, where, on: route(*listed, namespace=where, on=on),
        st.lists(st.sampled_from(NAMES), max_size=3),
        st.sampled_from(("apps", "other", "gone")),
        st.lists(st.sampled_from(("ingress/star", "ingress/other", "star")), max_size=2),
    ),
    max_size=4,
)


@given(policies_of_any_kind, routes_of_any_kind)
def test_never_without_an_admins_word(policies: list[HostPolicy], routes: list[VirtualService]) -> None:
    """Whatever there is: a wanted host is of a route on this Gateway, and the admins' policies give it to the Gateway's namespace."""
    for name in hosts(wanted(routes, policies)):
        one: Host = host(name)
        assert granted_by_policy(one, INGRESS, policies)
        naming = [r for r in routes if name in r.spec.hosts and "ingress/star" in r.spec.gateways]
        assert any(
            p.covers("ingress", INGRESS.uid, {}) and p.takes_routes_of(w, TENANTS[w].labels)
            for p in deciding(policies, one)
            for w in (r.metadata.namespace for r in naming)
            if w in TENANTS
        )
