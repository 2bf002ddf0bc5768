"""Where DNS-01 writes what."""

import pytest

from signer.edge.dns01.record import (
    HOLDER,
    Answered,
    classify,
    delegated,
    dns_endpoint,
    held,
    hides_others,
    propagated,
    record_name,
    zone_of,
)
from signer.tenancy.verdict import Refuse

ONE, TWO = "a" * 43, "b" * 43
NAME = "_acme-challenge.a.example.com"


@pytest.mark.parametrize("text", ["a.example.com", "A.Example.com", "*.a.example.com", "a.example.com."])
def test_record_names(text: str) -> None:
    """A host and its wildcard are proven under the same name."""
    assert record_name(text) == NAME


class TestDelegation:
    def test_followed(self) -> None:
        """CNAMEs are followed to their end, and none at all is no harm."""
        chain = {NAME: "A.acme.example.", "a.acme.example": "x._b.acme.example"}
        assert delegated(NAME, chain.get) == "x._b.acme.example"
        assert delegated(NAME, lambda _: None) == NAME

    @pytest.mark.parametrize(
        "chain",
        [
            {NAME: NAME},
            {NAME: "b.example", "b.example": NAME},
            {NAME: "n0.example", **{f"n{number}.example": f"n{number + 1}.example" for number in range(50)}},
            {NAME: "a b.example"},
            {NAME: ""},
            {NAME: "."},
            {NAME: "a..example"},
            {NAME: "a." * 127 + "example"},
        ],
        ids=lambda chain: str(len(chain)),
    )
    def test_refused(self, chain: dict[str, str]) -> None:
        """Circles, endless chains and targets that are no names are refused, not followed."""
        found = delegated(NAME, chain.get)
        assert isinstance(found, Refuse)
        assert found.message.isprintable()


class TestExternalDNS:
    def test_two_values(self) -> None:
        """Apex and wildcard are in one object, whose name follows from the record's."""
        one = dns_endpoint(NAME, {"u2": TWO, "u1": ONE}, "foo")
        (endpoint,) = one["spec"]["endpoints"]
        assert endpoint["targets"] == [f'"{ONE}"', f'"{TWO}"']
        assert (endpoint["dnsName"], endpoint["recordType"]) == (NAME, "TXT")
        assert dns_endpoint(NAME, {"u1": ONE}, "foo")["metadata"]["name"] == one["metadata"]["name"]

    def test_whose_value_it_is(self) -> None:
        """An object says which Challenge has which value, so that each takes away its own only."""
        metadata = dns_endpoint(NAME, {"u2": TWO, "u1": ONE}, "foo")["metadata"]
        assert held(metadata) == {"u1": ONE, "u2": TWO}
        assert metadata["labels"][f"{HOLDER}u1"] == ""

    def test_not_ours(self) -> None:
        """An object without our label is somebody else's, whatever else it says."""
        metadata = dns_endpoint(NAME, {"u1": ONE}, "foo")["metadata"]
        assert held({**metadata, "labels": {}}) is None

    @pytest.mark.parametrize("value", [None, "short", "x y", ONE + '"', "heritage=external-dns" + "a" * 22])
    def test_only_digests(self, value: str | None) -> None:
        """Nothing but digests goes into the public zone."""
        with pytest.raises(ValueError, match="digest"):
            dns_endpoint(NAME, {} if value is None else {"u1": ONE, "u2": value}, "foo")


@pytest.mark.parametrize(
    ("owner", "zone"),
    [
        ("example.com.", "example.com"),
        ("A.Example.COM.", "a.example.com"),
        (NAME, NAME),
        ("example.org.", None),
        ("ample.com.", None),
        (f"x.{NAME}", None),
        (".", None),
    ],
)
def test_zones(owner: str, zone: str | None) -> None:
    """A server's word on the zone counts only if the name is in it."""
    assert zone_of(NAME, owner) == zone


def test_whose_addresses_could_be_hidden() -> None:
    """A record made under somebody's host would end what a wildcard says of it; names with an underscore are nobody's."""
    assert hides_others(NAME, "shop.example.com")
    assert not hides_others(NAME, NAME)
    assert not hides_others(NAME, "_acme-challenge.a.acme.example.com")


class TestTheServersOfAZone:
    def test_all_have_it(self) -> None:
        """The CA is told once every server gives the value; others beside it do no harm."""
        answers = [Answered("ns1", frozenset({ONE, TWO})), Answered("ns2", frozenset({ONE}))]
        assert classify(NAME, ONE, answers).passed

    @pytest.mark.parametrize(
        ("late", "told"),
        [
            (Answered("ns2", frozenset({TWO})), "ns2 does not have the value yet (1 of 2 have it)"),
            (Answered("ns2"), "ns2 does not have the value yet (1 of 2 have it)"),
            (Answered("ns2", problem="gives no answer"), "ns2 gives no answer (1 of 2 have it)"),
        ],
    )
    def test_one_lags(self, late: Answered, told: str) -> None:
        """One that lacks it, or is silent, keeps the CA from being told, and is named."""
        found = classify(NAME, ONE, [Answered("ns1", frozenset({ONE})), late])
        assert not found.passed
        assert told in found.message

    def test_none(self) -> None:
        """No server at all is no proof."""
        assert not classify(NAME, ONE, []).passed


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ([[ONE, TWO], [TWO, ONE, "other"]], True),
        ([[ONE, TWO], [ONE]], False),
        ([[ONE, TWO], []], False),
        ([], False),
    ],
)
def test_propagated(seen: list[list[str]], found: bool) -> None:
    """Every authoritative server must give every value before the CA is told."""
    assert propagated([ONE, TWO], seen) == found
    assert not propagated([], seen)
