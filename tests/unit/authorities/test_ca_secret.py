"""Slips in a CA's Secret are told with what to do."""

import itertools

import pytest

from issuers.authority import load_authority
from issuers.errors import InvalidAuthority
from signer.authorities.ca_secret import with_remedy
from signer.authorities.state import CASecretData
from tests import pki

ROOT = pki.CA("root", now=pki.ANY_TIME)
MIDDLE = ROOT.intermediate("middle")
LOW = MIDDLE.intermediate("low")
OTHER = pki.CA("other", now=pki.ANY_TIME)


def told(tls_crt: bytes = b"", tls_key: bytes = b"", ca_crt: bytes = b"") -> InvalidAuthority | None:
    """What is said of a Secret with this data; None when it is a CA that may sign."""
    error: InvalidAuthority | None = None
    try:
        load_authority(tls_crt, tls_key, ca_crt or None, now=ROOT.now)
    except InvalidAuthority as caught:
        error = caught
    if error is None:
        return None
    found = with_remedy(error, CASecretData(tls_crt=tls_crt, tls_key=tls_key, ca_crt=ca_crt))
    assert (found.reason, found.field) == (error.reason, error.field)
    assert str(found).startswith(str(error))
    return found


def test_ca_crt_and_ca_key() -> None:
    """A Secret with ca.crt and ca.key: both belong under other names, and the command that makes such a Secret is named."""
    found = told(ca_crt=ROOT.pem)
    assert "belong under tls.crt and tls.key (kubectl create secret tls NAME --cert=FILE --key=FILE)" in str(found)


@pytest.mark.parametrize(
    "data", [{}, {"tls_crt": ROOT.pem}, {"tls_key": ROOT.key_pem}], ids=["empty", "no key", "no cert"]
)
def test_half_a_secret(data: dict[str, bytes]) -> None:
    """Where one of the two is missing it is said which two there must be."""
    assert "certificate and key of a CA are tls.crt and tls.key of its Secret" in str(told(**data))


@pytest.mark.parametrize(
    "order", list(itertools.permutations((LOW, MIDDLE, ROOT))), ids=lambda order: order[0].name.rfc4514_string()
)
def test_order_of_the_chain(order: tuple[pki.CA, ...]) -> None:
    """Whatever order: the CA's own first is taken, and another order is answered with the right one."""
    found = told(b"".join(one.pem for one in order), LOW.key_pem)
    if order[0] is LOW:
        assert found is None
    else:
        assert "put that one first, and what is above it behind it, the root last or in ca.crt" in str(found)


@pytest.mark.parametrize("ca_crt", [b"", ROOT.pem])
def test_swapped(ca_crt: bytes) -> None:
    """Certificate and key under each other's names are told as that."""
    assert "tls.crt and tls.key are swapped" in str(told(ROOT.key_pem, ROOT.pem, ca_crt))


def test_both_in_one() -> None:
    """A key beside the certificate in tls.crt belongs elsewhere."""
    assert "the private key belongs under tls.key alone" in str(told(ROOT.pem + ROOT.key_pem, ROOT.key_pem))


def test_what_is_no_slip() -> None:
    """A key that is in no certificate, and what cannot be read, get no advice that would mislead."""
    for tls_crt, key in (
        (ROOT.pem, OTHER.key_pem),
        (ROOT.pem + LOW.pem, OTHER.key_pem),
        (b"x", ROOT.key_pem),
        (ROOT.pem, b"x"),
        (ROOT.pem + b"x" * 300_000, LOW.key_pem),
    ):
        found = told(tls_crt, key)
        assert found is not None
        assert "put that one first" not in str(found)
