"""Whose the name is under which a TXT record of DNS-01 is to be written."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import IssuerReference
from signer.api.edgepolicy import EdgePolicy
from signer.edge.host import Host
from signer.edge.hosts.decide import Asker, Claim, EdgeWorld
from signer.edge.hosts.policy import HostPolicy, read_edge_policy
from signer.edge.hosts.records import judge_record, proven_by
from signer.tenancy.verdict import Reason, Unready
from tests.unit.edge.objects import LE, host

FOO = Asker("foo", "uid-foo", {})
MALLORY = Asker("mallory", "uid-mallory", {})
OWN = IssuerReference(name="own")
BANK = "bank.example.com"
RECORD = f"_acme-challenge.{BANK}"


def policy(namespace: str = "foo", suffix: str = BANK, **fields: Any) -> HostPolicy:
    spec = {"hostSuffixes": [suffix], "namespaces": {"names": [namespace]}, **fields}
    return read_edge_policy(msgspec.convert({"metadata": {"name": f"{namespace}-{suffix}"}, "spec": spec}, EdgePolicy))


def world(claims: Iterable[tuple[str, Asker]] = (), policies: Iterable[HostPolicy] = ()) -> EdgeWorld:
    made = [Claim(host(text), asker.namespace, asker.uid) for text, asker in claims]
    return EdgeWorld({one.host.claim_name: one for one in made}, tuple(policies))


def judged(name: str, found: EdgeWorld, issuer: IssuerReference = LE, *, own: bool = False) -> Any:
    return judge_record(name, MALLORY, issuer, found, own_name=own)


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        (RECORD, (Host(BANK), Host(BANK, wildcard=True))),
        (f"_x.y._acme-challenge.{BANK}", (Host(BANK), Host(BANK, wildcard=True))),
        (f"_validation-persist.{BANK}", (Host(BANK), Host(BANK, wildcard=True))),
        (f"web.{BANK}", (Host(f"web.{BANK}"),)),
    ],
)
def test_what_a_record_is_about(name: str, hosts: tuple[Host, ...]) -> None:
    """A record below a name with an underscore proves the host above it, and its wildcard; another is that host's own."""
    assert proven_by(name) == hosts


@pytest.mark.parametrize("name", ["_acme-challenge.com", "_x.localhost", "_acme-challenge.co.uk", "_a._b", "a_b"])
def test_what_is_nobodys(name: str) -> None:
    """What is above no host, or proves all names below a public suffix, is written for nobody."""
    assert isinstance(proven_by(name), str)
    found = judged(name, world())
    assert isinstance(found, Reason)
    assert found.code == "BadDelegation"


class TestLed:
    """A ClusterIssuer with cnameStrategy: Follow."""

    @pytest.mark.parametrize("claimed", [BANK, f"*.{BANK}", f"a.{BANK}", "*.example.com"])
    def test_to_anothers_host(self, claimed: str) -> None:
        """No record is written that would prove what another namespace has."""
        found = judged(RECORD, world([(claimed, FOO)]))
        assert isinstance(found, Reason)
        assert found.code == "RecordNotGranted"
        assert RECORD in found.message

    def test_to_what_a_policy_keeps(self) -> None:
        """Nor what an EdgePolicy gives to others, claimed or not, whatever a CNAME of one's own says."""
        assert isinstance(judged(RECORD, world(policies=[policy()])), Reason)
        assert judged(RECORD, world(policies=[policy("mallory")])) is None

    def test_to_what_nobody_has(self) -> None:
        """A zone for validation that nobody has hosts in is free, and one's own is too."""
        assert judged("_acme-challenge.x.acme.example", world()) is None
        assert judged(RECORD, world([(BANK, MALLORY)])) is None

    def test_the_issuers_of_a_policy(self) -> None:
        """Which issuers a policy allows is about certificates: none for the host that the CNAME leads to is ordered."""
        assert judged(RECORD, world(policies=[policy("mallory", issuers=[{"name": "other"}])])) is None

    def test_not_read_yet(self) -> None:
        """Before all is read nothing is granted."""
        assert isinstance(judged(RECORD, EdgeWorld({}, (), unsynced="not yet")), Unready)


class TestOwnIssuer:
    """An Issuer of the tenant's own, by credentials that are not the tenant's: DNSEndpoints, a webhook, no TSIG."""

    @pytest.mark.parametrize("own", [False, True])
    def test_needs_a_policy(self, own: bool) -> None:
        """A claim is not enough: being first proves nothing, and the tenant's CA chooses what the record says."""
        found = judged(RECORD, world([(BANK, MALLORY)]), OWN, own=own)
        assert isinstance(found, Reason)
        assert "use a ClusterIssuer" in found.message
        given = policy("mallory")
        assert judged(RECORD, world([(BANK, MALLORY)], [given]), OWN, own=own) is None
        assert isinstance(judged(RECORD, world([(BANK, FOO)], [given]), OWN, own=own), Reason)

    def test_not_allowed_by_the_policy(self) -> None:
        """An Issuer that the policy does not list writes nothing for its hosts."""
        limited = policy("mallory", issuers=[{"name": "letsencrypt"}])
        assert isinstance(judged(RECORD, world([(BANK, MALLORY)], [limited]), OWN, own=True), Reason)


NAMES = st.sampled_from(["example.com", "*.example.com", "a.example.com", "*.a.example.com", "b.a.example.com"])
SUFFIXES = st.sampled_from(["example.com", "a.example.com", "b.a.example.com"])
ASKERS = st.sampled_from([FOO, MALLORY])


@given(
    st.dictionaries(NAMES, ASKERS, max_size=4),
    st.lists(st.tuples(ASKERS, SUFFIXES), max_size=3),
    NAMES,
    st.sampled_from([OWN, LE]),
)
def test_no_record_for_anothers(
    held: dict[str, Asker], given: list[tuple[Asker, str]], name: str, issuer: IssuerReference
) -> None:
    """Whoever holds what, and whatever is granted: nothing is written that proves a host of another, or a policy's host."""
    policies = [policy(asker.namespace, suffix) for asker, suffix in given]
    found = world(held.items(), policies)
    target = f"_acme-challenge.{name.removeprefix('*.')}"
    if judge_record(target, MALLORY, issuer, found, own_name=False) is not None:
        return
    proven = Host(name.removeprefix("*."))
    for text, holder in held.items():
        if holder is FOO and text == str(proven):
            raise AssertionError(text)
    ours = {suffix for asker, suffix in given if asker is MALLORY and proven.below(suffix)}
    theirs = {suffix for asker, suffix in given if asker is FOO and proven.below(suffix)}
    longest = max((len(one) for one in ours | theirs), default=0)
    assert not longest or any(len(one) == longest for one in ours)
    assert issuer is LE or ours
