"""The edge at a glance: what one line says of a host."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.challenge import Challenge
from signer.api.meta import Condition
from signer.api.namespace import NamespaceObject
from signer.api.order import ORDERS, Order
from signer.api.virtualservice import VirtualService
from signer.edge.gateways import budget
from signer.edge.gateways.bodies import certificate_body
from signer.edge.gateways.budget import STEPS
from signer.edge.gateways.read import gateway_wishes
from signer.edge.host import Host, read_host
from signer.edge.hosts.decide import Asker, EdgeWorld
from signer.edge.overview import Objects, Row, overview
from tests.unit.edge.hosts.test_decide import claim, policy, world
from tests.unit.edge.objects import LE, api_gateway, gateway, http, https, ingress, listener

ASKED = {"cert-manager.io/cluster-issuer": "le"}
HOST = "a.example.com"
SHOP = gateway(https(HOST), annotations=ASKED)


def certificate(*conditions: tuple[str, str, str], uid: str = "uid-foo", **status: Any) -> Certificate:
    """The one that is made for SHOP, in the gateways' namespace."""
    (wish,) = gateway_wishes(SHOP, LE).certificates
    body = certificate_body(wish, "istio-system", source_namespace_uid=uid)
    listed = [{"type": kind, "status": value, "message": message} for kind, value, message in conditions]
    return msgspec.convert(body | {"status": {"conditions": listed, **status}}, Certificate)


def rows(
    *sources: Any,
    routes: tuple[VirtualService, ...] = (),
    certificates: tuple[Certificate, ...] = (),
    found: EdgeWorld | None = None,
    proving: tuple[tuple[Order, ...], tuple[Challenge, ...]] = ((), ()),
    **said: Condition,
) -> list[Row]:
    namespaces = {
        name: msgspec.convert({"metadata": {"name": name, "uid": f"uid-{name}"}}, NamespaceObject)
        for name in ("foo", "bar")
    }
    mine = world(claim(HOST)) if found is None else found
    objects = Objects(
        sources or (SHOP,),
        routes,
        namespaces,
        certificates,
        mine,
        {HOST: said["served"]} if "served" in said else {},
        {HOST: said["unproven"]} if "unproven" in said else {},
        *proving,
    )
    return overview(objects, None)


READY = certificate(("Ready", "True", ""), notAfter="2026-07-01T00:00:00Z", renewalTime="2026-06-01T00:00:00Z")


class TestState:
    def test_ready(self) -> None:
        """A host with a certificate: where it is, when it ends and is renewed; of the gateway nothing is known."""
        (row,) = rows(certificates=(READY,))
        assert (row.host, row.issuer, row.state, row.secret) == (HOST, "le", "ready", "istio-system/tls")
        assert row.expires == datetime(2026, 7, 1, tzinfo=UTC)
        assert row.renewal == datetime(2026, 6, 1, tzinfo=UTC)
        assert (row.served, row.why) == ("", "")

    @pytest.mark.parametrize(("status", "why"), [("True", ""), ("False", "not served (10.0.0.1: cd)")])
    def test_served(self, status: str, why: str) -> None:
        """What the gateway showed is said, and the reason when that was another certificate."""
        said = Condition(type="Served", status=status, message="not served (10.0.0.1: cd)")
        (row,) = rows(certificates=(READY,), served=said)
        assert (row.state, row.served, row.why) == ("ready", status, why)

    def test_served_says_nothing_of_what_is_not_ready(self) -> None:
        """While a certificate is not ready, what a gateway showed earlier is not told as if it were of now."""
        said = Condition(type="Served", status="True", message="x")
        (row,) = rows(certificates=(certificate(("Ready", "False", "no")),), served=said)
        assert (row.state, row.served) == ("waiting", "")

    @pytest.mark.parametrize(
        ("found", "state", "why"),
        [
            (certificate(("Ready", "False", "x"), ("Issuing", "True", "asking")), "issuing", "asking"),
            (
                certificate(("Ready", "False", "x"), ("Issuing", "False", "refused"), failedIssuanceAttempts=2),
                "failing",
                "refused",
            ),
            (
                certificate(("Issuing", "True", 'x; CertificateRequest tls-1 is not answered: no issuer "le"')),
                "waiting",
                'no issuer "le"',
            ),
            (
                certificate(("Issuing", "True", "x; CertificateRequest tls-1 is not answered: Waiting on an order")),
                "issuing",
                "x; CertificateRequest tls-1 is not answered: Waiting on an order",
            ),
            (certificate(("Ready", "False", "does not exist")), "waiting", "does not exist"),
            (certificate(), "waiting", ""),
        ],
    )
    def test_not_ready(self, found: Certificate, state: str, why: str) -> None:
        """What is under way, what failed, and what waits have the Certificate's own words."""
        (row,) = rows(certificates=(found,))
        assert (row.state, row.why) == (state, why)

    @pytest.mark.parametrize("revision", [None, 3])
    def test_a_placeholders_end(self, revision: int | None) -> None:
        """Before the first issuance the dates are a placeholder's, and are not shown; a renewal that fails hides none."""
        dates: dict[str, Any] = {
            "notAfter": "2026-07-01T00:00:00Z",
            "renewalTime": "2026-06-01T00:00:00Z",
            "revision": revision,
        }
        (row,) = rows(certificates=(certificate(("Ready", "False", "x"), ("Issuing", "True", "y"), **dates),))
        assert (row.expires is None, row.renewal is None) == (revision is None, revision is None)

    def test_no_certificate(self) -> None:
        """Without a Certificate it waits, and the Events say why; another namespace's Certificate is not its own."""
        strangers = certificate(("Ready", "True", ""), uid="uid-earlier")
        for found in ((), (strangers,)):
            (row,) = rows(certificates=found)
            assert (row.state, row.secret) == ("waiting", "")
            assert "Events" in row.why

    def test_by_hand(self) -> None:
        """Where a user's own Certificate keeps the Gateway's Secret, its state is shown; a wildcard's is for those below."""
        meta, ready = {"namespace": "foo", "name": "old"}, [{"type": "Ready", "status": "True"}]
        spec = {"secretName": "tls", "dnsNames": ["*.example.com"]}
        found = msgspec.convert({"metadata": meta, "spec": spec, "status": {"conditions": ready}}, Certificate)
        (row,) = rows(certificates=(found,))
        assert (row.state, row.secret) == ("ready", "foo/tls")
        (row,) = rows(certificates=(READY, found))
        assert row.secret == "istio-system/tls"
        more = gateway(https(HOST, "b.example.net"), annotations=ASKED)
        assert [row.state for row in rows(more, certificates=(found,))] == ["ready", "waiting"]

    def test_a_host_that_was_added(self) -> None:
        """A host that is not in the Certificate yet waits, while the other is ready."""
        more = gateway(https(HOST, "b.example.com"), annotations=ASKED)
        first, second = rows(more, certificates=(READY,))
        assert (first.host, first.state) == (HOST, "ready")
        assert (second.host, second.state, second.expires) == ("b.example.com", "waiting", None)


WAITS = certificate(("Ready", "False", "x"), ("Issuing", "True", "as Secret holds only a placeholder"))
DNS = "Waiting for HTTP-01 challenge propagation: no such host"


def order(*names: str, uid: str = "o", created: str = "2026-05-01T00:00:00Z", **status: Any) -> Order:
    meta = {"namespace": "istio-system", "name": f"tls-1-{uid}", "uid": uid, "creationTimestamp": created}
    return msgspec.convert({"metadata": meta, "spec": {"dnsNames": list(names)}, "status": status}, Order)


def challenge(name: str, uid: str = "o", wildcard: bool = False, **status: Any) -> Challenge:
    owner = {"apiVersion": ORDERS.api_version, "kind": "Order", "name": f"tls-1-{uid}", "uid": uid, "controller": True}
    meta = {"namespace": "istio-system", "name": f"c-{name}", "ownerReferences": [owner]}
    spec = {"dnsName": name, "wildcard": wildcard}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": status}, Challenge)


class TestDeepestReason:
    @pytest.mark.parametrize(
        ("orders", "challenges", "why"),
        [
            (
                (order(HOST, state="pending"),),
                (challenge(HOST, reason=DNS),),
                f"Challenge istio-system/c-{HOST}: {DNS}",
            ),
            (
                (order(HOST, reason="not ordered again before 2026-06-01T00:00:00Z"),),
                (),
                "Order istio-system/tls-1-o: not ordered again before 2026-06-01T00:00:00Z",
            ),
            ((order(HOST, state="pending"),), (challenge(HOST),), "as Secret holds only a placeholder"),
            ((order("b.example.com"),), (challenge(HOST, reason=DNS),), "as Secret holds only a placeholder"),
            ((order(HOST),), (challenge(HOST, "another", reason=DNS),), "as Secret holds only a placeholder"),
            ((order(HOST, state="valid", reason="old"),), (), "as Secret holds only a placeholder"),
            (
                (order(HOST, reason="old"), order(HOST, uid="p", created="2026-05-02T00:00:00Z", reason="new")),
                (),
                "Order istio-system/tls-1-p: new",
            ),
        ],
        ids=["Challenge", "Order", "silent", "other names", "another's", "over", "the newest"],
    )
    def test_of_one_host(self, orders: tuple[Order, ...], challenges: tuple[Challenge, ...], why: str) -> None:
        """WHY is what the host's Challenge says, else its Order, else the Certificate."""
        (row,) = rows(certificates=(WAITS,), proving=(orders, challenges))
        assert (row.state, row.why, row.expires, row.renewal) == ("issuing", why, None, None)

    def test_of_another_host(self) -> None:
        """A host that only waits for another of its certificate says for which, and why; that one has its own reason."""
        other = "b.example.com"
        both = gateway(https(HOST, other), annotations=ASKED)
        (wish,) = gateway_wishes(both, LE).certificates
        body = certificate_body(wish, "istio-system", source_namespace_uid="uid-foo")
        found = msgspec.convert(body | {"status": WAITS.raw_status}, Certificate)
        claims = world(claim(HOST), claim(other))
        proving = (order(other, HOST.upper()),), (challenge(HOST, state="valid"), challenge(other, reason=DNS))
        first, second = rows(both, certificates=(found,), found=claims, proving=proving)
        assert first.why == f"waits for {other}: Challenge istio-system/c-{other}: {DNS}"
        assert second.why == f"Challenge istio-system/c-{other}: {DNS}"

    def test_a_renewal(self) -> None:
        """What is served and waits to be renewed is ready, and says what the renewal waits for."""
        conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "Issuing")]
        found = msgspec.convert(
            {
                "metadata": msgspec.to_builtins(READY.metadata),
                "spec": READY.raw_spec,
                "status": {"conditions": conditions},
            },
            Certificate,
        )
        (row,) = rows(certificates=(found,), proving=((order(HOST),), (challenge(HOST, reason=DNS),)))
        assert (row.state, row.why) == ("ready", f"Challenge istio-system/c-{HOST}: {DNS}")

    def test_left_out(self) -> None:
        """A host without which the certificate was made is failing, and the reason is its claim's."""
        spec = {**READY.raw_spec, "dnsNames": ["keep.example.com"]}
        found = msgspec.convert({"metadata": msgspec.to_builtins(READY.metadata), "spec": spec}, Certificate)
        said = Condition(type="Proven", status="False", message=f"Challenge x/y: {DNS}")
        (row,) = rows(certificates=(found,), unproven=said)
        assert (row.state, row.why) == ("failing", f"left out, as it cannot be proven: Challenge x/y: {DNS}")


class TestByHand:
    MINE = msgspec.convert(
        {
            "metadata": {"namespace": "istio-system", "name": "mine"},
            "spec": {"secretName": "tls", "dnsNames": [HOST.upper()], "issuerRef": {"name": "ca"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "notAfter": "2026-07-01T00:00:00Z"},
        },
        Certificate,
    )

    @pytest.mark.parametrize("credential", ["tls", "istio-system/tls", "kubernetes://tls"])
    def test_a_gateway_that_asks_for_nothing(self, credential: str) -> None:
        """The hosts that a Gateway serves from the Secret of a Certificate that somebody wrote are listed as that one is."""
        (row,) = rows(gateway(https(HOST, "other.example.com", credential=credential)), certificates=(self.MINE,))
        assert (row.host, row.state, row.secret, row.issuer) == (HOST, "ready", "istio-system/tls", "istio-system/ca")
        assert str(row.source) == "Gateway foo/shop"
        assert row.expires == datetime(2026, 7, 1, tzinfo=UTC)

    @pytest.mark.parametrize("credential", ["other", "bar/tls", "builtin://"])
    def test_another_secret(self, credential: str) -> None:
        """A Secret of another name, or of another namespace, is none of it."""
        assert rows(gateway(https(HOST, credential=credential)), certificates=(self.MINE,)) == []


class TestRefused:
    def test_anothers_host(self) -> None:
        """A host of somebody else is refused, with the reason of the controller."""
        (row,) = rows(found=world(claim(HOST, Asker("bar", "uid-bar", {}))))
        assert row.state == "refused"
        assert "another namespace" in row.why

    def test_a_policy(self) -> None:
        """So is one that an EdgePolicy gives to others."""
        kept = policy(suffixes=["example.com"], namespaces={"names": ["bar"]})
        (row,) = rows(found=world(policies=(kept,)))
        assert row.state == "refused"
        assert "EdgePolicy" in row.why

    def test_passed_over(self) -> None:
        """What cannot be had has a line of its own, without a host, at the end; what is not one of ours has none."""
        found = rows(
            gateway(https(HOST), https("b", credential="b"), https("c", credential="builtin://"), annotations=ASKED)
        )
        assert [row.host for row in found] == [HOST, ""]
        assert found[-1].why.startswith("spec.servers[1].hosts[0]: ")

    def test_nobody_asked(self) -> None:
        """A Gateway without an issuer has no line, nor has one in a namespace that is gone."""
        assert rows(gateway(https(HOST))) == []
        assert rows(gateway(https(HOST), namespace="gone", annotations=ASKED)) == []


def test_sorted() -> None:
    """Lines are by host, and a host that two objects want has two."""
    other = gateway(https("0.example.com", credential="o"), https(HOST), name="also", annotations=ASKED)
    found = rows(SHOP, other, certificates=(READY,))
    assert [(row.host, row.source.name) for row in found] == [("0.example.com", "also"), (HOST, "also"), (HOST, "shop")]


@pytest.mark.parametrize("asked", ["all", "none", "half"])
def test_one_look_at_a_namespace(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """However many hosts a namespace names, and whoever of its objects asks: one look reads so many of them, and no more."""
    read: list[str] = []

    def counted(text: str) -> Host | str:
        read.append(text)
        return read_host(text)

    monkeypatch.setattr(budget, "read_host", counted)
    many = [
        gateway(
            https(*(f"h{number}.g{index}.example.com" for number in range(90)), credential=f"tls-{index}"),
            name=f"g{index}",
            annotations=ASKED if asked == "all" or (asked == "half" and index % 2) else {},
        )
        for index in range(STEPS // 90 + 20)
    ]
    rows(*many, found=world())
    assert STEPS - 100 < len(read) <= STEPS


def test_an_annotation_that_nothing_comes_of() -> None:
    """It stands behind a host that is ready, and behind no other reason; the host stays ready."""
    asked = gateway(https(HOST), annotations=ASKED | {"cert-manager.io/usages": "server auth"})
    (row,) = rows(asked, certificates=(READY,))
    assert (row.state, "spec.usages" in row.why) == ("ready", True)
    (row,) = rows(asked)
    assert (row.state, "no Certificate yet" in row.why) == ("waiting", True)


def _route(*hosts: str, gateways: tuple[str, ...]) -> VirtualService:
    spec = {"hosts": list(hosts), "gateways": list(gateways)}
    return msgspec.convert({"metadata": {"namespace": "foo", "name": "r"}, "spec": spec}, VirtualService)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (HOST, "servers[1] (https-443)"),
        (f"*/{HOST}", "servers[1] (https-443)"),
        (f"./{HOST}", "servers[1] (https-443)"),
        (f"foo/{HOST.upper()}", "servers[1] (https-443)"),
        (f"bar/{HOST}", "servers[1] (https-443)"),
        ("*", "servers[1] (https-443) by VirtualService foo/r"),
        ("*/*", "servers[1] (https-443) by VirtualService foo/r"),
    ],
)
@pytest.mark.parametrize("named", ["shop", "./shop", "foo/shop", "shop.foo.svc.cluster.local"])
def test_where_a_host_is_served(written: str, wanted: str, named: str) -> None:
    """Each row says which server serves the host, in whatever form it is written there, and for "*" by whose route."""
    asked = gateway(http(written), https(written), annotations=ASKED)
    (row,) = [row for row in rows(asked, routes=(_route(HOST, gateways=(named,)),)) if row.host]
    assert (row.host, row.where) == (HOST, wanted)


def test_where_others_serve_it() -> None:
    """Of the Gateway API it is the listener, of an Ingress the entry of tls or the rule."""
    kinds: list[tuple[Any, str]] = [
        (
            api_gateway(listener("web", 80), listener("tls", 443, HOST, tls={"certificateRefs": [{"name": "s"}]})),
            "listeners[1] (tls)",
        ),
        (ingress({"hosts": ["b.example.com"], "secretName": "x"}, {"hosts": [HOST], "secretName": "s"}), "tls[1]"),
        (ingress({"secretName": "s"}, rules=(HOST,)), "rules[0]"),
    ]
    for obj, wanted in kinds:
        obj.metadata.annotations.update(ASKED)
        assert [row.where for row in rows(obj) if row.host == HOST] == [wanted]
