"""The steps of a bridge, over what may stand already and wherever a process may end: the order, and whose objects are touched."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from signer.bridges import status as to_status
from signer.bridges.bodies import rule_name
from signer.bridges.credential import fingerprint
from signer.bridges.step import IN_THE_WAY, DropSecret, due, renewal, take_away
from signer.tenancy.verdict import Reason
from tests.unit.bridges.drawn import (
    HOSTS,
    HOUR,
    NOW,
    OVERLAP,
    Place,
    bridge,
    foreign,
    root,
    server,
    wanted,
    wish,
)

chosen = st.lists(st.sampled_from(HOSTS), min_size=1, max_size=4, unique=True)
accounts = st.frozensets(st.sampled_from(("httpbin", "default", "other")), min_size=1)
crashes = st.lists(st.integers(0, 6), max_size=5)
deleted = st.sampled_from(("", "", "Secret", "rule"))
faults = st.lists(st.tuples(st.integers(0, 6), deleted), max_size=6)


def keep(place: Place, hosts: list[str], names: frozenset[str] = frozenset({"httpbin"}), most: int = 1000) -> bool:
    """One look at a bridge; whether nothing was missing."""
    return not place.keep(wish(*hosts), wanted(accounts=sorted(names)), NOW, most)


@given(chosen, chosen, accounts, faults, faults)
def test_it_comes_to_stand(
    first: list[str],
    then: list[str],
    names: frozenset[str],
    begun: list[tuple[int, str]],
    changed: list[tuple[int, str]],
) -> None:
    """Wherever a process ends, whatever is changed or deleted, the next looks bring it to stand, recorded as it is.

    There is one certificate, and one more for each Secret that somebody deleted.
    """
    place = Place()
    for hosts, ends in ((first, begun), (then, changed)):
        for most, gone in ends:
            keep(place, hosts, names, most)
            place.somebody_deletes(gone)
        keep(place, hosts, names)
        assert keep(place, hosts, names)
        assert place.hosts == set(hosts)
        assert place.recorded
    assert place.log.count("Issue") <= 1 + [gone for _, gone in begun + changed].count("Secret")
    for rule in place.rules.values():
        tls = rule.spec["trafficPolicy"]["tls"]
        assert tls["subjectAltNames"] == [f"spiffe://cluster.local/ns/foo/sa/{one}" for one in sorted(names)]
        assert tls["sni"]
        assert rule.spec["workloadSelector"]["matchLabels"]
        assert rule.spec["exportTo"] == ["."]


@given(chosen, crashes)
def test_it_ends(hosts: list[str], ends: list[int]) -> None:
    """Taken away, the rules go before the Secret, wherever a process ends; then nothing of ours is left."""
    place = Place()
    keep(place, hosts)
    for most in ends:
        place.take(take_away(wish(*hosts), place.sight()), bridge(), server(), NOW, most)
    place.take(take_away(wish(*hosts), place.sight()), bridge(), server(), NOW)
    assert (place.secret, place.rules) == (None, {})
    assert take_away(wish(*hosts), place.sight()) == ()


@given(chosen, st.data())
def test_others_objects(hosts: list[str], data: st.DataObject) -> None:
    """An object under a name of ours that is not ours is told, and neither changed nor deleted; nothing is built beside it."""
    place = Place()
    taken = data.draw(st.lists(st.sampled_from(hosts), unique=True))
    secret = data.draw(st.booleans()) or not taken
    place.rules = {rule_name(wish(*hosts), host): foreign() for host in taken}
    place.secret = foreign() if secret else None
    found = place.missing(wish(*hosts), wanted(), NOW)
    assert isinstance(found, Reason)
    assert found.code == IN_THE_WAY
    assert take_away(wish(*hosts), place.sight()) == ()


def test_what_ends_beside_others() -> None:
    """Of several objects only ours go."""
    place = Place()
    keep(place, list(HOSTS[:2]))
    name = rule_name(wish(*HOSTS[:2]), HOSTS[0])
    place.rules[name] = foreign()
    place.take(take_away(wish(*HOSTS[:2]), place.sight()), bridge(), server(), NOW)
    assert list(place.rules) == [name]
    assert place.secret is None


@given(st.integers(1, 20), st.integers(0, 3000))
def test_renewed_in_time(minutes: int, after: int) -> None:
    """A certificate is renewed while a third of its life is left, and not again at once."""
    of = bridge(lifetime=timedelta(minutes=minutes))
    want = wanted(of)
    place = Place()
    place.keep(wish(), want, NOW)
    held = place.secret
    assert held is not None
    assert held.credential is not None
    now = NOW + timedelta(seconds=after)
    why = renewal(of, want.server, held, held.credential.roots, now)
    assert bool(why) == (now >= due(of, want.server, held.credential))
    assert due(of, want.server, held.credential) <= held.credential.not_after - timedelta(seconds=20 * minutes - 1)
    if why:
        place.keep(wish(), want, now)
        assert place.secret is not None
        assert place.secret.credential is not None
        assert renewal(of, want.server, place.secret, place.secret.credential.roots, now) == ""


@given(st.integers(30, 3000))
def test_an_end_that_comes_nearer(seconds: int) -> None:
    """When a hand moves the end before that of the certificate, another one takes its place at once."""
    of, ends = bridge(), NOW + timedelta(seconds=seconds)
    want, place = wanted(of), Place()
    place.keep(wish(), want, NOW)
    sooner = bridge(ends=ends)
    want = wanted(sooner)
    place.keep(wish(), want, NOW)
    assert place.secret is not None
    assert place.secret.credential is not None
    assert place.secret.credential.not_after <= ends


@given(st.integers(1, 7200))
def test_an_end_is_no_storm(seconds: int) -> None:
    """Near its end a bridge is not given one certificate after the other: the last one ends with it."""
    of = bridge(ends=NOW + timedelta(seconds=seconds))
    want = wanted(of)
    place = Place()
    issued, now = 0, NOW
    while of.ends is not None and now < of.ends:
        before = len(place.log)
        place.keep(wish(), want, now)
        issued += "Issue" in place.log[before:]
        assert place.secret is not None
        held = place.secret.credential
        assert held is not None
        assert held.not_after <= of.ends
        now = max(due(of, want.server, held), now + timedelta(seconds=1))
    assert issued <= 2 + 2 * seconds // HOUR.total_seconds() * 2


class TestRoots:
    def test_a_change(self) -> None:
        """When the root changes the former one stays for a while, then goes; each time with a certificate by the new CA."""
        place, first, second = Place(), wanted(ca=server("first")), wanted(ca=server("second", "bb"))
        for want, now, roots in (
            (first, NOW, ("first",)),
            (second, NOW + HOUR, ("second", "first")),
            (second, NOW + HOUR + OVERLAP, ("second",)),
        ):
            place.keep(wish(), want, now)
            assert place.secret is not None
            assert place.secret.credential is not None
            assert place.secret.credential.roots == tuple(map(root, roots))

    @given(st.lists(st.tuples(st.sampled_from(("first", "second", "third")), st.integers(0, 3)), max_size=8))
    def test_changes_that_are_cut_off(self, changes: list[tuple[str, int]]) -> None:
        """However a change of roots is cut off, client and record have the server's root first, and the one that was there."""
        place = Place()
        place.keep(wish(), wanted(ca=server("first", "first")), NOW)
        for name, most in changes:
            held = place.secret.credential if place.secret else None
            assert held is not None
            before, ca = held.roots[0], server(name, name)
            place.keep(wish(), wanted(ca=ca), NOW, most)
            place.keep(wish(), wanted(ca=ca), NOW)
            held = place.secret.credential if place.secret else None
            assert held is not None
            assert held.roots[0] == root(name)
            assert before in held.roots
            assert place.recorded

    def test_what_somebody_adds(self) -> None:
        """A root that somebody put into the Secret is no former root of ours: it goes."""
        place, want = Place(), wanted()
        place.keep(wish(), want, NOW)
        held = place.secret
        assert held is not None
        assert held.credential is not None
        place.secret = replace(held, credential=replace(held.credential, roots=(root("first"), root("evil"))))
        place.keep(wish(), want, NOW)
        assert place.secret.credential is not None
        assert place.secret.credential.roots == (root("first"),)
        assert place.status.root == fingerprint(root("first"))


def test_taken_away_remembers_the_client() -> None:
    """What is taken away keeps for which client's namespace it was: one that is made again is another."""
    place = Place()
    keep(place, list(HOSTS[:1]))
    left = to_status.taken_away(place.status)
    assert (left.client_namespace, left.client_namespace_uid) == ("gateways", "u2")
    assert (left.secret_uid, left.rules, left.root) == ("", {}, "")
    assert isinstance(take_away(wish(), place.sight())[-1], DropSecret)
