"""Which roots are taken, and which of several counts: what a root says of itself by its own signature is verified by nobody."""

import itertools
from datetime import timedelta

import pytest

from issuers.errors import InvalidAuthority
from issuers.x509 import pem
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import NOW, ca, load

ROOT = ca("root", kind="rsa")
LOW = ROOT.intermediate("low", now=NOW, kind="rsa")
LOWEST = LOW.intermediate("lowest", now=NOW)


def old(one: CA, signer: CA) -> bytes:
    return pki.cert_pem(pki.signed_with_sha1(one.certificate, signer.private))


@pytest.mark.parametrize("place", ["tls.crt", "ca.crt"])
def test_a_root_that_signed_itself_with_sha1_is_fit(place: str) -> None:
    """Wherever it stands, above a CA or as the CA itself: verifiers take a root for what they are told to trust."""
    root = old(ROOT, ROOT)
    secret = {"tls.crt": LOW.pem, "tls.key": LOW.key_pem, "ca.crt": root}
    if place == "tls.crt":
        secret |= {"tls.crt": LOW.pem + root, "ca.crt": b""}
    loaded = load(secret)
    assert (loaded.chain_pem, loaded.root_pem) == (LOW.pem, root)
    alone = load({"tls.crt": root, "tls.key": ROOT.key_pem, "ca.crt": root})
    assert (alone.chain_pem, alone.root_pem) == (b"", root)


@pytest.mark.parametrize("place", ["tls.crt", "ca.crt"])
def test_an_intermediate_signed_with_sha1_is_not(place: str) -> None:
    """What another one signed with SHA-1 is verified by everybody, and refused."""
    low = old(LOW, ROOT)
    secret = {"tls.crt": LOWEST.pem, "tls.key": LOWEST.key_pem, "ca.crt": low + ROOT.pem}
    if place == "tls.crt":
        secret |= {"tls.crt": LOWEST.pem + low, "ca.crt": ROOT.pem}
    with pytest.raises(InvalidAuthority) as refused:
        load(secret)
    assert refused.value.reason in ("WeakKey", "RootMismatch")


def test_who_only_says_that_he_signed_himself_is_not() -> None:
    """One name for subject and issuer does not make a root: its signature must be its own key's."""
    other = CA("root", now=NOW, private=pki.key("rsa", n=77))
    renamed = CA("root", now=NOW, private=pki.key("rsa", n=78), parent=other)
    with pytest.raises(InvalidAuthority) as refused:
        load({"tls.crt": old(renamed, other), "tls.key": renamed.key_pem, "ca.crt": other.pem})
    assert (refused.value.reason, refused.value.field) == ("WeakKey", "tls.crt")


LIVES = {
    "expired": {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
    "short": {"not_after": NOW + 5 * DAY},
    "long": {"not_after": NOW + 900 * DAY},
    "later": {"not_before": NOW + timedelta(hours=1), "not_after": NOW + 1000 * DAY},
}
ISSUES = {life: CA("root", now=NOW, private=ROOT.private, **dates) for life, dates in LIVES.items()}  # type: ignore[arg-type]
LINES = [
    (above, beside)
    for count in (1, 2, 3, 4)
    for beside in itertools.permutations(LIVES, count)
    for above in ("", *LIVES)
    if {"short", "long"} & {above, *beside}
]


@pytest.mark.heavy
@pytest.mark.parametrize(("above", "beside"), LINES, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_of_one_subject_and_key_the_one_that_lives_longest_counts(above: str, beside: tuple[str, ...]) -> None:
    """In whatever order a root and its renewals stand in ca.crt, twice too; one of tls.crt counts where none there is valid."""
    valid = set(beside) & {"short", "long"} or {above}
    wanted = ISSUES["long" if "long" in valid else "short"]
    bundle = b"".join(ISSUES[one].pem for one in (*beside, *reversed(beside)))
    chain = LOW.pem + (ISSUES[above].pem if above else b"")
    loaded = load({"tls.crt": chain, "tls.key": LOW.key_pem, "ca.crt": bundle})
    assert loaded.root_pem == wanted.pem
    assert loaded.chain_pem == LOW.pem
    assert loaded.not_after == min(LOW.certificate.not_valid_after_utc, wanted.certificate.not_valid_after_utc)


def test_a_ca_that_ended_is_not_saved_by_a_root_of_its_key() -> None:
    """The CA's own certificate must be valid, whatever else has its name and key."""
    with pytest.raises(InvalidAuthority) as refused:
        load({"tls.crt": ISSUES["expired"].pem, "tls.key": ROOT.key_pem, "ca.crt": ISSUES["long"].pem})
    assert (refused.value.reason, refused.value.field) == ("Expired", "tls.crt")


@pytest.mark.parametrize("turned", [False, True])
def test_an_intermediate_twice_and_out_of_order(turned: bool) -> None:
    """The order above the CA's own certificate does not matter, nor that tools write one of them twice."""
    above = [LOW.pem, ROOT.pem, LOW.pem, ROOT.pem]
    chain = LOWEST.pem + b"".join(above[:: -1 if turned else 1])
    loaded = load({"tls.crt": chain, "tls.key": LOWEST.key_pem, "ca.crt": ROOT.pem + LOW.pem + ROOT.pem})
    assert [data for _, data in pem.read_blocks(loaded.chain_pem)] == [
        data for _, data in pem.read_blocks(LOWEST.pem + LOW.pem)
    ]
    assert loaded.root_pem == ROOT.pem
