"""What one tenant's objects may cost: every count that he chooses at its most, two at a time, in a bounded number of steps."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

import signer
from signer.api.certificate import Certificate, IssuerReference
from signer.api.challenge import Challenge
from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import Ingress
from signer.api.namespace import NamespaceObject
from signer.api.order import Order
from signer.api.virtualservice import VirtualService
from signer.edge.gateways.gather import Wanted, gather
from signer.edge.gateways.look import Look
from signer.edge.gateways.placeholder import SELECTORS_OF_ONE, selectors_naming
from signer.edge.hosts.decide import MOST_HOSTS, Asker, Claim, EdgeWorld, decide, may_order
from signer.edge.hosts.policy import HostPolicy
from signer.edge.hosts.records import judge_record
from signer.edge.http01.carrier import Serving, choose, with_ports_of_their_own
from signer.edge.overview import Objects, overview
from signer.tenancy.verdict import Reason
from tests.unit.edge.objects import LE, api_gateway, gateway, host, http, https, ingress, listener, meta

OURS = str(Path(signer.__file__).parent)
MOST = 8_000_000
"""Instructions of Python, which take a few tenths of a second; the next thing on the loop waits for them."""


class TooManyStepsError(Exception):
    """It goes on and on."""


def steps(call: Callable[[], object], most: int = MOST) -> int:
    """Count the instructions of our own code in a call, which does not depend on the machine; stops beyond `most`."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        if event == "call":
            if not frame.f_code.co_filename.startswith(OURS):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            count += 1
            if count > most:
                raise TooManyStepsError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def route(name: str, hosts: list[str], gateways: list[str]) -> VirtualService:
    spec = {"hosts": hosts, "gateways": gateways}
    return msgspec.convert({"metadata": {"namespace": "foo", "name": name}, "spec": spec}, VirtualService)


def hosts(number: int, wrong: bool = False) -> list[str]:
    return [f"w{n}.ev.{'svc' if wrong else 'io'}" for n in range(number)]


def servers(number: int, *named: str) -> list[Any]:
    return [https(*named, credential=f"c{n}") for n in range(number)]


def wanted(*objects: Gateway | APIGateway | Ingress, routes: tuple[VirtualService, ...] = ()) -> Wanted:
    return gather(objects, routes, {}, LE)


MANY_GATEWAYS = [f"g{n}" for n in range(1000)]
LOOKS: dict[str, Callable[[], Wanted]] = {
    "servers for * and hosts of a route": lambda: wanted(
        gateway(*servers(1000, "*")), routes=(route("r", hosts(13_000), ["shop"]),)
    ),
    "servers for * and a hundred hosts": lambda: wanted(
        gateway(*servers(1000, "*")), routes=(route("r", hosts(100), ["shop"]),)
    ),
    "servers for * and a route's wrong hosts": lambda: wanted(
        gateway(*servers(1000, "*")), routes=(route("r", hosts(13_000, wrong=True), ["shop"]),)
    ),
    "servers for * and routes": lambda: wanted(
        gateway(*servers(1000, "*")), routes=tuple(route(f"r{n}", hosts(2), ["shop"]) for n in range(2000))
    ),
    "Gateways for * and hosts of a route": lambda: wanted(
        *(gateway(https("*"), name=name) for name in MANY_GATEWAYS),
        routes=(route("r", hosts(5000), MANY_GATEWAYS),),
    ),
    "Gateways for * and routes": lambda: wanted(
        *(gateway(https("*"), name=name) for name in MANY_GATEWAYS),
        routes=tuple(route(f"r{n}", ["a.svc"], MANY_GATEWAYS) for n in range(60)),
    ),
    "one server's hosts, all *": lambda: wanted(
        gateway(https(*["*"] * 13_000)), routes=(route("r", hosts(100), ["shop"]),)
    ),
    "servers and hosts of one Secret": lambda: wanted(
        gateway(*(https(*hosts(100), credential="c") for _ in range(1000))),
    ),
    "servers and hosts of many Secrets": lambda: wanted(gateway(*servers(1000, *hosts(13)))),
    "entries and rules of an Ingress": lambda: wanted(
        ingress(*({"secretName": f"c{n}"} for n in range(1000)), rules=tuple(hosts(7500)))
    ),
    "entries and wrong rules of an Ingress": lambda: wanted(
        ingress(*({"secretName": f"c{n}"} for n in range(1000)), rules=tuple(hosts(7500, wrong=True)))
    ),
    "listeners and Secrets of each": lambda: wanted(
        api_gateway(
            *(
                listener(f"l{n}", 443, f"w{n}.ev.io", tls={"certificateRefs": [{"name": "a"}, {"name": "b"}] * 20})
                for n in range(64)
            )
        )
    ),
    "Gateways of one Secret": lambda: wanted(
        *(gateway(https("a.example.com"), name=f"g{n}") for n in range(2000)),
    ),
    "Gateways of one Secret, each with a hundred hosts": lambda: wanted(
        *(gateway(https(*hosts(100)), name=f"g{n}") for n in range(300)),
    ),
}


@pytest.mark.heavy
@pytest.mark.parametrize("what", LOOKS)
def test_one_look(what: str) -> None:
    """However the objects of a namespace are made, one look at them ends after a bounded number of steps."""
    found: list[Wanted] = []
    assert steps(lambda: found.append(LOOKS[what]())) > 0
    (one,) = found
    assert steps(lambda: [one.selectors_of(wish) for wish in one.wishes]) >= 0
    assert len(one.passed) <= 3000


def test_what_is_over_is_told_once() -> None:
    """What the budget does not reach is said once on the object, with the field and what to do, and stays as it is."""
    found = wanted(
        gateway(*servers(1000, "*")),
        gateway(https("shop.example.com", credential="small"), name="a-shop"),
        routes=(route("r", hosts(100), ["shop"]),),
    )
    told = [(source.name, passed.field, passed.reason) for source, passed in found.passed]
    assert [(name, field, reason.code) for name, field, reason in told] == [("shop", "spec", "TooManyHosts")]
    assert "name fewer hosts" in told[0][2].message
    assert found.unsure
    assert len(found.wishes) < 1000


def test_a_part_of_a_secrets_hosts_is_never_wanted() -> None:
    """Of a Secret whose hosts are not all read, nothing is wanted: its certificate would lose the others."""
    small = gateway(https("a.example.com", credential="c999"), name="a")
    found = wanted(small, gateway(*servers(1000, "*")), routes=(route("r", hosts(100), ["shop"]),))
    assert "c999" not in {wish.secret_name for wish in found.wishes}
    assert all(len(wish.hosts) == 100 for wish in found.wishes)


BAR = Asker("bar", "uid-bar", {})


def world(held: int, policies: int, others: int) -> EdgeWorld:
    claims = [Claim(host(f"h{n}.evil.example"), "bar", "uid-bar") for n in range(held)]
    claims += [Claim(host(f"x{n}.t{n % 100}.example.org"), f"t{n % 100}", "u") for n in range(others)]
    admins = [
        HostPolicy(f"p{n}", frozenset({f"t{n}.example.org"}), namespaces=frozenset({f"t{n}"})) for n in range(policies)
    ]
    found = EdgeWorld({claim.host.claim_name: claim for claim in claims}, admins)
    decide(host("first.example"), BAR, LE, found)  # counts once for all
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["w.ev.example", "*.w.ev.example", "a.t7.example.org", "h7.evil.example"])
@pytest.mark.parametrize("sizes", [(MOST_HOSTS, 0, 0), (MOST_HOSTS, 500, 0), (0, 500, 5000), (MOST_HOSTS, 500, 5000)])
def test_one_host(sizes: tuple[int, int, int], name: str) -> None:
    """Whatever is claimed and granted by whom, a decision about one host is a few look-ups."""
    found = world(*sizes)
    assert steps(lambda: decide(host(name), BAR, LE, found), 3000) > 0


@pytest.mark.parametrize(
    "name", ["_acme-challenge.h7.evil.example", "_acme-challenge.a.t7.example.org", "elsewhere.example"]
)
@pytest.mark.parametrize("issuer", [LE, IssuerReference(name="own")], ids=["ClusterIssuer", "Issuer"])
def test_one_record(issuer: IssuerReference, name: str) -> None:
    """Whose a record's name is costs as much beside five hundred policies as beside five, also right after a decision about a host."""

    def record_and_host(sizes: tuple[int, int, int]) -> int:
        found = world(*sizes)
        judge_record(name, BAR, issuer, found, own_name=False)  # what is made once for all
        decide(host("first.example"), BAR, LE, found)
        return steps(
            lambda: (
                judge_record(name, BAR, issuer, found, own_name=False),
                decide(host("second.example"), BAR, LE, found),
            )
        )

    assert record_and_host((MOST_HOSTS, 500, 5000)) < 2 * record_and_host((5, 5, 5)) + 1000


@pytest.mark.heavy
@pytest.mark.parametrize("sizes", [(MOST_HOSTS, 500, 0), (MOST_HOSTS - 100, 500, 5000)])
def test_one_order(sizes: tuple[int, int, int]) -> None:
    """The same for an order of a hundred names, whether it is refused or taken."""
    found = world(*sizes)
    assert steps(lambda: may_order([f"n{n}.ev.example" for n in range(100)], BAR, LE, found)) > 0


@pytest.mark.heavy
@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize(("number", "each"), [(1500, 1), (300, 10), (3, 1000)])
def test_one_challenge(number: int, each: int, redirect: bool) -> None:
    """However many Gateways and servers name one host, what carries its challenge is found in bounded steps."""
    name = "a.example.com"
    many = tuple(
        gateway(*[http(name, redirect=redirect, port=8080 if n % 2 else 80)] * each, name=f"g{n}")
        for n in range(number)
    )
    serving = Serving(gateways=many)
    assert steps(lambda: choose(host(name), "foo", serving, routes=())) > 0
    assert steps(lambda: with_ports_of_their_own(host(name), "foo", serving)) > 0


def test_what_is_told() -> None:
    """Thousands of objects that want one certificate, and a hundred hosts with a reason each, are not thousands of Events."""
    look = Look(BAR)
    (wish,) = wanted(*(gateway(https(*hosts(100)), name=f"g{n}") for n in range(60))).wishes
    for one in wish.hosts:
        look.tell(wish.sources, Reason("HostTaken", str(one)))
    assert len(look.told) == 20 * 100


def edge_of(**fields: Any) -> Objects:
    everything: dict[str, Any] = {"sources": (), "routes": (), "certificates": (), "world": EdgeWorld({}, ())} | fields
    namespaces = {"foo": msgspec.convert({"metadata": meta("", "foo")}, NamespaceObject)}
    return Objects(namespaces=namespaces, **everything)


def orders(number: int) -> dict[str, Any]:
    """So many Orders for one host, each with a Challenge that waits, and a Certificate for each Secret."""
    names = {"dnsNames": ["a.example.com"]}
    said = {"state": "pending", "reason": "it waits"}
    owner = {"apiVersion": "acme.cert-manager.io/v1", "kind": "Order", "controller": True}
    return {
        "certificates": tuple(
            msgspec.convert({"metadata": meta("foo", f"c{n}"), "spec": {"secretName": f"c{n}", **names}}, Certificate)
            for n in range(number)
        ),
        "orders": tuple(
            msgspec.convert({"metadata": meta("foo", f"o{n}"), "spec": names, "status": said}, Order)
            for n in range(number)
        ),
        "challenges": tuple(
            msgspec.convert(
                {
                    "metadata": meta(
                        "foo", f"h{n}", ownerReferences=[owner | {"name": f"o{n}", "uid": f"uid-foo-o{n}"}]
                    ),
                    "spec": {"dnsName": "a.example.com"},
                    "status": said,
                },
                Challenge,
            )
            for n in range(number)
        ),
    }


OVERVIEWS: dict[str, Callable[[], Objects]] = {
    "Secrets of a Gateway and Orders": lambda: edge_of(
        sources=(gateway(*servers(1000, "a.example.com")),), **orders(500)
    ),
    "servers for * and a route": lambda: edge_of(
        sources=(gateway(*servers(1000, "*")),), routes=(route("r", hosts(13_000), ["shop"]),)
    ),
    "Certificates by hand and Secrets": lambda: edge_of(
        sources=tuple(gateway(https("a.example.com", credential=f"c{n}"), name=f"g{n}") for n in range(500)),
        **orders(500),
    ),
}


@pytest.mark.heavy
@pytest.mark.parametrize("default", [None, LE], ids=["by hand", "asked for"])
@pytest.mark.parametrize("what", OVERVIEWS)
def test_overview(what: str, default: IssuerReference | None) -> None:
    """What `mesh-signer edge` and `ui` show is worked out in as few steps."""
    objects = OVERVIEWS[what]()
    assert steps(lambda: overview(objects, default)) > 0


def test_selectors_of_others() -> None:
    """However many Gateways name a Secret, few selectors of a namespace are asked about for it, found in few steps."""
    many = [gateway(https("a.example.com"), name=f"g{n}") for n in range(2000)]
    for number, one in enumerate(many):
        one.spec.selector["n"] = str(number)
    found: list[int] = []
    steps(lambda: found.extend(len(listed) for listed in selectors_naming(many).values()))
    assert found == [SELECTORS_OF_ONE]
