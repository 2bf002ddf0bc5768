"""Which solver proves a name: the precedence of cert-manager."""

from typing import Any

import msgspec
import pytest

from signer.api.order import Authorization
from signer.edge.orders.solver_choice import solver_for
from signer.tenancy.verdict import Refuse
from tests.unit.edge.issuance import DNS_SOLVER, SOLVER, authorization, offered


def solver(name: str, kind: Any = None, **selector: Any) -> dict[str, Any]:
    return {**(kind or SOLVER), "name": name, **({"selector": selector} if selector else {})}


def picked(*solvers: Any, labels: dict[str, str] | None = None, **fields: Any) -> str:
    name = fields.pop("name", "shop.a.example.com")
    one = msgspec.convert(authorization(name, **fields), Authorization)
    found = solver_for(one, solvers, labels or {})
    return found.reasons[0].message if isinstance(found, Refuse) else str(found[0].get("name"))


ALL = solver("all")
NAMED = solver("named", dnsNames=["shop.a.example.com", "other.example"])
ZONE = solver("zone", dnsZones=["example.com"])
LONGER = solver("longer", dnsZones=["a.example.com"])
LABELLED = solver("labelled", matchLabels={"team": "shop"})
TEAM = {"team": "shop", "env": "prod"}


@pytest.mark.parametrize(
    ("solvers", "labels", "name"),
    [
        ([ALL], {}, "all"),
        ([ALL, solver("second")], {}, "all"),
        ([ALL, NAMED, LONGER, LABELLED], TEAM, "named"),
        ([NAMED, solver("both", dnsNames=["shop.a.example.com"], dnsZones=["example.com"])], {}, "both"),
        ([ZONE, LONGER, LABELLED, ALL], TEAM, "longer"),
        ([LONGER, solver("both", dnsZones=["a.example.com"], matchLabels={"team": "shop"})], TEAM, "both"),
        ([LABELLED, solver("more", matchLabels=TEAM), ALL], TEAM, "more"),
        ([LABELLED, ALL], {}, "all"),
        ([ALL, LABELLED], TEAM, "labelled"),
        ([solver("wrong", dnsNames=["b.example"]), solver("wrong", dnsZones=["badexample.com"]), ALL], {}, "all"),
        ([solver("both", dnsNames=["shop.a.example.com"], dnsZones=["b.example"]), ALL], {}, "all"),
        ([7, None, {}, solver("bad", dnsNames=7), {"selector": 7, **SOLVER}, ALL], {}, "all"),
        ([solver("dns", DNS_SOLVER), ALL], {}, "dns"),
        ([solver("zone", dnsZones=["EXAMPLE.com."])], {}, "zone"),
        ([ALL, solver("capitals", dnsNames=[7, "SHOP.A.Example.com."])], {}, "capitals"),
    ],
)
def test_precedence(solvers: list[Any], labels: dict[str, str], name: str) -> None:
    """A name comes before a zone, a longer zone before a shorter, then labels, then the first."""
    assert picked(*solvers, labels=labels) == name


def test_wildcards() -> None:
    """A wildcard takes a dns01 solver only; a selector names it with its asterisk."""
    named = solver("named", DNS_SOLVER, dnsNames=["*.a.example.com"])
    zone = solver("zone", DNS_SOLVER, dnsZones=["a.example.com"])
    assert picked(ALL, zone, named, name="a.example.com", wildcard=True) == "named"
    assert "needs DNS-01" in picked(ALL, name="a.example.com", wildcard=True)


def test_records_for_good() -> None:
    """dns-persist-01 is taken by a solver that asks for it, and by no other, whatever else the CA offers."""
    every: Any = {"challenges": [offered("dns-persist-01", token=""), offered("dns-01"), offered()]}
    lasting = solver("lasting", {"dns01": {"persistent": {"issuerDomainName": "ca.example"}}})
    one = msgspec.convert(authorization("a.example.com", wildcard=True, **every), Authorization)
    for listed, kind in (([lasting], "dns-persist-01"), ([solver("dns", DNS_SOLVER)], "dns-01")):
        found = solver_for(one, listed, {})
        assert not isinstance(found, Refuse)
        assert found[1].type == kind
    assert picked(lasting, solver("dns", DNS_SOLVER), challenges=[offered("dns-01")]) == "dns"
    assert "offers dns-01" in picked(lasting, challenges=[offered("dns-01")])


def test_what_the_ca_offers() -> None:
    """Only what the CA offers can be taken; what it offers is named when nothing fits."""
    only_dns: Any = {"challenges": [offered("dns-01"), offered("tls-alpn-01")]}
    assert picked(ALL, solver("dns", DNS_SOLVER), **only_dns) == "dns"
    assert "offers dns-01, tls-alpn-01" in picked(ALL, **only_dns)
    assert "has no solvers" in picked()
