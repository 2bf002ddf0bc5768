"""A CA's last days: what it signs is renewed when the CA is, and not again and again for the same end."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.authority import Authority
from signer.api.certificate import CertificateSpec
from signer.api.issuer import IssuerRef
from signer.api.secret import Secret
from signer.certificates.pacing import counts, due_at_once
from signer.certificates.renewal import renewal_time, useful_until
from signer.certificates.secrets.trust import another_ca, renewal_in_vain
from signer.certificates.secrets.view import SecretView, inspect
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import NOW, load

REF = IssuerRef("ClusterIssuer", "", "root")


def leaf(ca: CA, begin: datetime, end: datetime) -> SecretView:
    made = CA("leaf", now=NOW, parent=ca, is_ca=False, key_cert_sign=False, not_before=begin, not_after=end)
    data = {"tls.key": made.key_pem, "tls.crt": made.pem, "ca.crt": ca.root.pem}
    raw = {"metadata": {"name": "leaf", "namespace": "shop"}}
    return inspect(msgspec.structs.replace(msgspec.convert(raw, Secret), data=data))


def renewals(spec: CertificateSpec, ends: datetime, duration: timedelta) -> int:
    """How often a certificate is made by a CA that ends then, as seen at every moment that counts until it does."""
    ca = CA("root", now=NOW, not_before=NOW - DAY, not_after=ends)
    authority: Authority = load(ca.secret())
    now, made = NOW, 0
    while now < ends and made < 100:
        view = leaf(ca, now, min(now + duration, ends))
        made += 1
        assert view.leaf is not None
        end = useful_until(view.leaf.not_valid_before_utc, view.leaf.not_valid_after_utc, view.trust_ends)
        due = renewal_time(spec, view.leaf.not_valid_before_utc, end)
        assert due > now
        if renewal_in_vain(view, authority, REF) is not None:
            return made
        now = due
    return made


@pytest.mark.parametrize("days", [1, 10, 80])
@pytest.mark.parametrize("before", [{}, {"renewBefore": "720h"}, {"renewBeforePercentage": 90}, {"renewBefore": "5m"}])
def test_the_last_days_of_a_ca(days: int, before: dict[str, object]) -> None:
    """However soon the CA ends and whenever a renewal is wanted: one certificate that ends with it, and no other."""
    spec = msgspec.convert({"secretName": "s", "issuerRef": {"name": "i"}} | before, CertificateSpec)
    assert renewals(spec, NOW + timedelta(days=days), timedelta(days=90)) == 1


def test_a_ca_that_lives_longer() -> None:
    """A certificate that ends before its CA is renewed as ever, and one of another CA is never held back."""
    ca = CA("root", now=NOW, not_after=NOW + 90 * DAY)
    view = leaf(ca, NOW, NOW + 30 * DAY)
    assert renewal_in_vain(view, load(ca.secret()), REF) is None
    assert another_ca(view, load(ca.secret()), REF, NOW, "leaf") is None
    renewed = CA("root", now=NOW, private=ca.private, not_after=NOW + 900 * DAY)
    assert renewal_in_vain(leaf(ca, NOW, NOW + 90 * DAY), load(renewed.secret()), REF) is None
    other = CA("root", now=NOW, private=pki.key("p256", n=99), not_after=NOW + 10 * DAY)
    assert renewal_in_vain(leaf(ca, NOW, NOW + 90 * DAY), load(other.secret()), REF) is None
    told = another_ca(view, load(other.secret()), REF, NOW, "leaf")
    assert told is not None
    assert told.reason == "IssuerHasAnotherCA"


@given(st.integers(1, 10**7))
def test_dates_of_ours_are_never_too_soon(life: int) -> None:
    """A renewal by the dates of a certificate that was new when it was stored is not counted, however short its life is."""
    spec = msgspec.convert({"secretName": "s", "issuerRef": {"name": "i"}, "renewBefore": "5m"}, CertificateSpec)
    end = NOW + timedelta(seconds=life)
    # Dates are whole seconds, and cut.
    assert not due_at_once(NOW, end, renewal_time(spec, NOW, end) + timedelta(seconds=1))


@given(st.integers(60, 10**7), st.integers(0, 100))
def test_what_is_due_at_once_is_counted(left: int, part: int) -> None:
    """A renewal within the first moments of what is left of a certificate is no renewal by dates."""
    end = NOW + timedelta(seconds=left)
    soon = min(timedelta(minutes=5), timedelta(seconds=left) / 3) * part / 101
    assert counts("Renewing", at_once=due_at_once(NOW, end, NOW + soon))
