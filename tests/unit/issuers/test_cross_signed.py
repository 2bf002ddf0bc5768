"""CAs that are cross-signed: a path to an anchor counts, cross certificates are handed out, and every key above is seen."""

import hashlib
from datetime import timedelta
from functools import cache
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.errors import InvalidAuthority
from issuers.paths import MOST_ABOVE
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import NOW, ca, load, spki

NAMES = ("own", "a", "b", "c", "d")
Edge = tuple[str, str]
"""Whose certificate, and who signed it."""


@cache
def of(edge: Edge) -> CA:
    """The certificate of a name and key by another one; self-signed where both are one."""
    name, signer = edge
    above = ca(signer, private=pki.key(n=hash(signer))) if signer != name else None
    return CA(name, now=NOW, private=pki.key(n=hash(name)), parent=above)


def key_id(name: str) -> str:
    return hashlib.sha256(spki(of((name, name)))).hexdigest()


def reached(edges: set[Edge], start: str = "own") -> set[str]:
    """Everything above a name, as far as it is shown."""
    found = {start}
    while more := {above for name, above in edges if name in found and any(one == above for one, _ in edges)} - found:
        found |= more
    return found


edge = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))
own_edge = st.tuples(st.just("own"), st.sampled_from(NAMES))


@pytest.mark.heavy
@settings(deadline=None, max_examples=100)
@given(own_edge, st.lists(edge, max_size=4, unique=True), st.lists(edge, max_size=5, unique=True))
def test_any_web_of_cas(own: Edge, more: list[Edge], above: list[Edge]) -> None:
    """Whoever certified whom: Ready if the CA leads to one of ca.crt and nothing in tls.crt is a stranger's, and else it is said why."""
    tls = list(dict.fromkeys([own, *more]))
    names = reached({*tls, *above})
    secret = {
        "tls.crt": b"".join(of(one).pem for one in tls),
        "tls.key": of(own).key_pem,
        "ca.crt": b"".join(of(one).pem for one in above),
    }
    strangers = any(name not in names for name, _ in tls)
    anchored = not above or any(name in names for name, _ in above)
    if strangers or not anchored:
        with pytest.raises(InvalidAuthority) as refused:
            load(secret)
        assert refused.value.reason == ("ChainBroken" if strangers else "RootMismatch")
        return
    loaded = load(secret)
    # The wall sees every key above the CA, and no other.
    assert loaded.chain is not None
    assert set(loaded.chain.key_ids) == {key_id(name) for name in names}
    assert loaded.chain.key_ids[0] == key_id("own")
    for name in names:
        below = {one for one in names if name in reached({*tls, *above}, one)}
        assert {one.key_id for one in loaded.chain.at_or_below([key_id(name)])} == {key_id(one) for one in below}
    # A leaf is followed by all of tls.crt that is no root, each once, and what follows it first leads up step by step.
    sent = [edge_of(one) for one in x509.load_pem_x509_certificates(loaded.chain_pem)] if loaded.chain_pem else []
    assert len(set(sent)) == len(sent)
    assert {one for one in tls if one[0] != one[1]} <= set(sent) <= {*tls, *above}
    assert all(name != signer for name, signer in sent)
    ends = edge_of(x509.load_pem_x509_certificate(loaded.root_pem)) if loaded.root_pem else None
    path = sent[: next((at for at in range(1, len(sent)) if sent[at][0] != sent[at - 1][1]), len(sent))]
    assert ends is None or ends[0] == "own" or any(signer == ends[0] for _, signer in path)
    # Who trusts a root that tls.crt leads to finds the way there in what is sent.
    for name, signer in above:
        if name == signer and name in reached({*tls, (name, signer)}):
            assert name in reached({*sent, (name, signer)})


def edge_of(certificate: x509.Certificate) -> Edge:
    names = {of((name, name)).name: name for name in NAMES}
    return names[certificate.subject], names[certificate.issuer]


OLD, NEW = ca("old"), ca("new")
INT = ca("int", private=pki.key(n=60))
BY = {root: CA("int", now=NOW, private=INT.private, parent=one) for root, one in (("old", OLD), ("new", NEW))}
CROSS = CA("old", now=NOW, private=OLD.private, parent=NEW)


def test_the_two_ways_to_change_a_root() -> None:
    """A cross certificate above the CA, or two certificates of the CA: both stay in what is handed out, the path first."""
    loaded = load({"tls.crt": BY["old"].pem + CROSS.pem, "tls.key": INT.key_pem, "ca.crt": OLD.pem})
    assert (loaded.chain_pem, loaded.root_pem) == (BY["old"].pem + CROSS.pem, OLD.pem)
    for first, second in (("old", "new"), ("new", "old")):
        tls = BY[first].pem + BY[second].pem
        loaded = load({"tls.crt": tls, "tls.key": INT.key_pem, "ca.crt": OLD.pem + NEW.pem})
        assert (loaded.chain_pem, loaded.root_pem) == (tls, {"old": OLD, "new": NEW}[first].pem)
        alone = load({"tls.crt": tls, "tls.key": INT.key_pem, "ca.crt": {"old": OLD, "new": NEW}[second].pem})
        assert (alone.chain_pem, alone.root_pem) == (
            BY[second].pem + BY[first].pem,
            {"old": OLD, "new": NEW}[second].pem,
        )


BAD = {
    "ended": {"not_before": NOW - 9 * DAY, "not_after": NOW - timedelta(hours=1)},
    "not begun": {"not_before": NOW + timedelta(hours=1)},
    "no CA": {"is_ca": False},
    "may not sign": {"key_cert_sign": False},
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", ["above", "own", "own first"])
def test_a_cross_certificate_that_is_no_good_stops_nothing(place: str, bad: str) -> None:
    """Another path that is good counts, whichever comes first; the bad one is handed to nobody."""
    cross = CA("old", now=NOW, private=OLD.private, parent=NEW, **BAD[bad])  # type: ignore[arg-type]
    again = CA("int", now=NOW, private=INT.private, parent=NEW, **BAD[bad])  # type: ignore[arg-type]
    good = BY["old"].pem
    tls = {"above": good + cross.pem, "own": good + again.pem, "own first": again.pem + good}[place]
    loaded = load({"tls.crt": tls, "tls.key": INT.key_pem, "ca.crt": NEW.pem + OLD.pem})
    assert (loaded.chain_pem, loaded.root_pem) == (good, OLD.pem)
    assert loaded.not_after == min(one.certificate.not_valid_after_utc for one in (BY["old"], OLD))


def test_of_faults_alone_the_first_is_told() -> None:
    """Where no path is good the issuer is not Ready, and a certificate of the first path is named."""
    ended = CA("old", now=NOW, private=OLD.private, **BAD["ended"])  # type: ignore[arg-type]
    with pytest.raises(InvalidAuthority) as refused:
        load({"tls.crt": BY["old"].pem + CROSS.pem, "tls.key": INT.key_pem, "ca.crt": ended.pem})
    assert (refused.value.reason, refused.value.field) == ("Expired", "ca.crt")


def test_more_than_can_be_recorded_is_told() -> None:
    """A bundle that crosses one root with dozens of others is no CA's: the wall keeps what is above each signer."""
    many = [CA("root", now=NOW, private=OLD.private, parent=ca(f"top {number}")) for number in range(MOST_ABOVE)]
    low = CA("low", now=NOW, parent=many[0])
    root = CA("root", now=NOW, private=OLD.private)
    with pytest.raises(InvalidAuthority, match=f"at most {MOST_ABOVE} are looked at"):
        load({"tls.crt": low.pem, "tls.key": low.key_pem, "ca.crt": root.pem + b"".join(one.pem for one in many)})


def test_paths_without_end_are_not_all_walked() -> None:
    """However many ways up cross certificates make, each layer twice as many as the one below, a CA is read all the same."""
    layers = [[f"{side}{number}" for side in "xy"] for number in range(6)]
    tls = [CA("low", now=NOW, private=pki.key(n=61), parent=ca(layers[0][0]))]
    above = [
        CA(name, now=NOW, private=ca(name).private, parent=ca(upper), not_after=NOW + 80 * DAY)
        for lower, higher in pairwise(layers)
        for name in lower
        for upper in higher
    ]
    assert len({one.certificate.public_bytes(Encoding.DER) for one in above}) == 20
    end = ca(layers[-1][0])
    loaded = load(
        {
            "tls.crt": tls[0].pem,
            "tls.key": tls[0].key_pem,
            "ca.crt": b"".join(one.pem for one in [*above, end]),
        }
    )
    assert loaded.root_pem == end.pem
