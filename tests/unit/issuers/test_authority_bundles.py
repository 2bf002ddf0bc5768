"""A bundle in ca.crt, as while roots are changed: which of its certificates count, and what leaves get."""

from datetime import timedelta

import pytest

from issuers.errors import InvalidAuthority
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import NOW, ca, load

ROOT = ca("root")
LOW = ROOT.intermediate("low", now=NOW)
OTHERS = [ca("next"), ca("old", not_before=NOW - 9 * DAY, not_after=NOW - DAY), ca("weak", private=pki.key("rsa1024"))]


@pytest.mark.parametrize("place", range(4))
def test_the_root_that_signed_counts_wherever_it_stands(place: int) -> None:
    """Other roots beside it change nothing: not one that comes, not one that has ended, not one that nobody would take."""
    bundle = [one.pem for one in OTHERS]
    bundle.insert(place, ROOT.pem)
    loaded = load(LOW.secret() | {"ca.crt": b"".join(bundle)})
    assert (loaded.chain_pem, loaded.root_pem, loaded.anchor_pem) == (LOW.pem, ROOT.pem, ROOT.pem)
    assert loaded.not_after == ROOT.certificate.not_valid_after_utc


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_roots_with_one_key_the_one_that_is_valid_counts(turned: bool) -> None:
    """A root and its renewal both verify the CA: one that has ended, or has not begun, stands in nobody's way."""
    for dates in ({"not_after": NOW - timedelta(hours=1)}, {"not_before": NOW + timedelta(hours=1)}):
        other = CA("root", now=NOW, private=ROOT.private, **({"not_before": NOW - 9 * DAY} | dates))  # type: ignore[arg-type]
        pair = [other.pem, ROOT.pem][:: -1 if turned else 1]
        loaded = load(LOW.secret() | {"ca.crt": b"".join(pair)})
        assert loaded.root_pem == ROOT.pem


def test_a_self_signed_ca_keeps_its_own_root() -> None:
    """A root whose own certificate is in the bundle ends there, whatever else verifies it."""
    cross = CA("root", now=NOW, private=ROOT.private, parent=ca("above"))
    for bundle in (ROOT.pem + cross.pem, cross.pem + ROOT.pem):
        loaded = load(ROOT.secret() | {"ca.crt": bundle + cross.root.pem})
        assert (loaded.chain_pem, loaded.root_pem) == (b"", ROOT.pem)


def test_intermediates_may_stand_in_the_bundle() -> None:
    """What leads from tls.crt to a root is found in ca.crt too, among the others."""
    lowest = LOW.intermediate("lowest", now=NOW)
    loaded = load({"tls.crt": lowest.pem, "tls.key": lowest.key_pem, "ca.crt": OTHERS[0].pem + ROOT.pem + LOW.pem})
    assert (loaded.chain_pem, loaded.root_pem) == (lowest.pem + LOW.pem, ROOT.pem)


def test_without_the_root_that_signed_it_is_no_ca() -> None:
    """A bundle of other roots, or of what cannot be read, is as wrong as one other root."""
    with pytest.raises(InvalidAuthority) as refused:
        load(LOW.secret() | {"ca.crt": OTHERS[0].pem + OTHERS[1].pem})
    assert refused.value.reason == "RootMismatch"
    with pytest.raises(InvalidAuthority) as refused:
        load(LOW.secret() | {"ca.crt": OTHERS[2].pem})
    assert refused.value.reason == "WeakKey"
