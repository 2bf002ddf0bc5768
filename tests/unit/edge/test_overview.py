"""The edge at a glance: what one line says of a host."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.meta import Condition
from signer.api.namespace import NamespaceObject
from signer.edge.gateways.bodies import certificate_body
from signer.edge.gateways.read import gateway_wishes
from signer.edge.hosts.decide import Asker, EdgeWorld
from signer.edge.overview import Objects, Row, overview
from tests.unit.edge.hosts.test_decide import claim, policy, world
from tests.unit.edge.objects import LE, gateway, https

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
    *sources: Any, certificates: tuple[Certificate, ...] = (), found: EdgeWorld | None = None, **served: Condition
) -> list[Row]:
    namespaces = {
        name: msgspec.convert({"metadata": {"name": name, "uid": f"uid-{name}"}}, NamespaceObject)
        for name in ("foo", "bar")
    }
    mine = world(claim(HOST)) if found is None else found
    objects = Objects(
        sources or (SHOP,), (), namespaces, certificates, mine, {HOST: served["served"]} if served else {}
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
            (certificate(("Ready", "False", "does not exist")), "waiting", "does not exist"),
            (certificate(), "waiting", ""),
        ],
    )
    def test_not_ready(self, found: Certificate, state: str, why: str) -> None:
        """What is under way, what failed, and what waits have the Certificate's own words."""
        (row,) = rows(certificates=(found,))
        assert (row.state, row.why) == (state, why)

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
