"""What it means that a gateway's Pods show this certificate or that, and when they are asked again."""

from datetime import timedelta
from typing import Any

import pytest

from signer.api.meta import Condition
from signer.edge.gateways.gather import gather
from signer.edge.gateways.served.step import Found, due, hosts_on, judge, known_served, next_look, worst
from signer.edge.gateways.wish import Wish
from signer.edge.proxies.ports import Ports
from signer.edge.proxies.values import Sight, asked_for
from tests.unit.edge.gateways.test_placeholder import NOW
from tests.unit.edge.objects import LE, api_gateway, gateway, host, http, https, ingress, listener

A, B = host("a.example.com"), host("b.example.com")
LATE = timedelta(minutes=2)


def found(*sights: Sight, since: timedelta = timedelta(0)) -> Found:
    return judge(A, {0xAB}, sights, since=since)


class TestJudge:
    def test_served(self) -> None:
        """Every Pod shows a serial number of the Secret; what is seen of other hosts does not count."""
        one = found(Sight(A, "10.0.0.1", 0xAB), Sight(A, "10.0.0.2", 0xAB), Sight(B, "10.0.0.1", 7))
        assert (one.state, one.status, one.reason) == ("served", "True", "Served")
        assert one.message == "serial ab is served by 2 Pods"

    @pytest.mark.parametrize(
        ("sights", "state", "says"),
        [
            ((Sight(A, "10.0.0.1", 0xAB), Sight(A, "10.0.0.2", 0xCD)), "other", "10.0.0.2: cd"),
            ((Sight(A, "10.0.0.1", 0xCD), Sight(A, "10.0.0.2", error="reset")), "other", "10.0.0.1: cd"),
            ((Sight(A, "10.0.0.1", 0xAB), Sight(A, "10.0.0.2", error="refused")), "unreached", "10.0.0.2: refused"),
            ((), "unreached", "no Pod runs"),
        ],
    )
    def test_not_served(self, sights: tuple[Sight, ...], state: str, says: str) -> None:
        """One Pod with another certificate, or that is not reached, is told, but not within the first minute."""
        early, late = found(*sights), found(*sights, since=LATE)
        assert (early.state, early.status) == ("waiting", "Unknown")
        assert (late.state, late.status) == (state, "False")
        assert "serial ab is in the Secret" in late.message
        assert says in late.message

    def test_several_secrets(self) -> None:
        """Where proxies of two namespaces serve a host, each shows the certificate of its own Secret."""
        assert judge(A, {1, 2}, [Sight(A, "x", 1), Sight(A, "y", 2)], since=LATE).state == "served"

    def test_worst(self) -> None:
        """A certificate is served when all of its hosts are; another certificate is worse than no answer."""
        served = found(Sight(A, "x", 0xAB))
        unreached, other = found(since=LATE), found(Sight(A, "x", 1), since=LATE)
        assert worst([served]) == "served"
        assert worst([served, found()]) == "waiting"
        assert worst([served, unreached, found()]) == "unreached"
        assert worst([unreached, other]) == "other"


def test_next_look() -> None:
    """Often at first, then ever less, and never not at all."""
    pauses = [next_look(timedelta(seconds=seconds)) for seconds in (0, 9, 10, 60, 599, 600, 10**6)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 1
    assert pauses[-1] == 600


def test_known_served() -> None:
    """What was said of these serial numbers counts after a restart; what was said of others, or denied, does not."""
    said = found(Sight(A, "x", 0xAB))
    condition = Condition(type="Served", status=said.status, message=said.message)
    assert known_served(condition, {0xAB})
    assert not known_served(condition, {0xA})
    assert not known_served(condition, {0xAB, 0xCD})
    assert not known_served(Condition(type="Served", status="False", message=said.message), {0xAB})
    assert not known_served(None, {0xAB})


def test_due() -> None:
    """The time since it was written; a clock that was put back gives none."""
    assert due(NOW, NOW + LATE) == LATE
    assert due(NOW, NOW - LATE) == timedelta(0)
    assert due(None, NOW) == timedelta(0)


def test_asked_for() -> None:
    """A wildcard is asked for by a name that nobody has of his own."""
    assert asked_for(A) == "a.example.com"
    assert asked_for(host("*.example.com")).endswith(".example.com")


REF = {"certificateRefs": [{"name": "tls"}]}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (gateway(https("a.example.com"), https("b.example.com", credential="other")), (A,)),
        (gateway(https("./a.example.com", "foo/b.example.com")), (A, B)),
        (gateway(https("*")), (A, B)),
        (gateway(https("a.example.com", port=8443)), ()),
        (gateway(http("a.example.com")), ()),
        (api_gateway(listener("https", 443, "a.example.com", tls=REF)), (A,)),
        (api_gateway(listener("https", 8443, "a.example.com", tls=REF)), ()),
        (ingress({"secretName": "tls"}, rules=("a.example.com",)), (A, B)),
    ],
)
def test_hosts_on(obj: Any, expected: tuple[Any, ...]) -> None:
    """The hosts that an object serves on port 443 from the Secret, and no others: only these can be asked for."""
    (wish,) = gather(
        [gateway(https("a.example.com", "b.example.com"))], (), {"cert-manager.io/cluster-issuer": LE.name}, None
    ).wishes
    assert isinstance(wish, Wish)
    assert hosts_on(obj, wish) == expected


@pytest.mark.parametrize("number", [443, 8443])
def test_hosts_on_what_the_world_sees(number: int) -> None:
    """A server counts by where the world's port 443 leads, whatever its own number."""
    obj = gateway(https("a.example.com", port=number))
    (wish,) = gather([gateway(https("a.example.com"))], (), {"cert-manager.io/cluster-issuer": LE.name}, None).wishes
    ports = Ports(public={443: frozenset({8443})})
    assert hosts_on(obj, wish, ports) == ((A,) if number == 8443 else ())
