"""Where DNS-01 writes what."""

import pytest

from signer.edge.dns01 import delegated, dns_endpoint, propagated, record_name
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
        one = dns_endpoint(NAME, [TWO, ONE, ONE], "foo")
        (endpoint,) = one["spec"]["endpoints"]
        assert endpoint["targets"] == [f'"{ONE}"', f'"{TWO}"']
        assert (endpoint["dnsName"], endpoint["recordType"]) == (NAME, "TXT")
        assert dns_endpoint(NAME, [ONE], "foo")["metadata"] == one["metadata"]

    @pytest.mark.parametrize("values", [[], ["short"], [ONE, "x y"], [ONE + '"'], ["heritage=external-dns" + "a" * 22]])
    def test_only_digests(self, values: list[str]) -> None:
        """Nothing but digests goes into the public zone."""
        with pytest.raises(ValueError, match="digest"):
            dns_endpoint(NAME, values, "foo")


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
