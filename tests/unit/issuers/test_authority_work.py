"""However a Secret is filled, loading its CA verifies few signatures; who asks for too many is told."""

import contextlib
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

import issuers.chain
import issuers.paths
from issuers.errors import InvalidAuthority
from issuers.inspection import CertificateFields
from issuers.paths import MOST_VERIFIED
from tests import pki
from tests.pki import CA
from tests.unit.issuers.cas import NOW, load

NAMES = ("a", "b", "c")
Wish = tuple[str, int, tuple[str, int] | None, bool]


@cache
def made(name: str, number: int, parent: tuple[str, int] | None, named: bool) -> CA:
    """A CA of a name and key, self-signed, or signed by another one; with or without a key identifier."""
    above = made(*parent, None, named) if parent is not None else None
    private = pki.key("p256", n=100 + number)
    names: list[tuple[x509.ExtensionType, bool]] = []
    if above is not None and named:
        key = above.private.public_key()
        names.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(key), False))
    return CA(name, now=NOW, private=private, parent=above, subject_key_id=named, extra=names)


secrets: st.SearchStrategy[Wish] = st.tuples(
    st.sampled_from(NAMES),
    st.integers(0, 3),
    st.one_of(st.none(), st.tuples(st.sampled_from(NAMES), st.integers(0, 39))),
    st.booleans(),
)


class Counted:
    """Counts what is verified."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._real = issuers.chain.was_signed_with
        for module in (issuers.chain, issuers.paths):
            patched.setattr(module, "was_signed_with", self._verify)

    def _verify(self, fields: CertificateFields, spki: bytes) -> bool:
        self.count += 1
        return self._real(fields, spki)


@pytest.mark.heavy
@settings(deadline=None, max_examples=60)
@given(secrets, st.lists(secrets, max_size=9), st.lists(secrets, max_size=100))
def test_any_bundle(own: Wish, chain: list[Wish], bundle: list[Wish]) -> None:
    """Whatever stands in tls.crt and ca.crt, no more signatures are verified than there may be."""
    with pytest.MonkeyPatch.context() as patched:
        counted = Counted(patched)
        ca = made(*own)
        tls = ca.pem + b"".join(made(*one).pem for one in chain)
        above = b"".join(made(*one).pem for one in bundle)
        with contextlib.suppress(InvalidAuthority):
            load({"tls.crt": tls, "tls.key": ca.key_pem, "ca.crt": above})
        assert counted.count <= MOST_VERIFIED


@pytest.mark.parametrize("named", [True, False])
def test_the_worst(named: bool) -> None:
    """A hundred roots of one name, none of which signed the CA, cost no more; and it is said what to leave out."""
    low = made("low", 99, ("root", 98), named)
    bundle = b"".join(made("root", number, None, named).pem for number in range(90))
    with pytest.MonkeyPatch.context() as patched:
        counted = Counted(patched)
        with pytest.raises(InvalidAuthority, match="leave out certificates of the same name") as refused:
            load({"tls.crt": low.pem, "tls.key": low.key_pem, "ca.crt": bundle})
        assert counted.count == MOST_VERIFIED
    assert refused.value.reason == "ChainBroken"


def test_the_right_one_among_many() -> None:
    """Where certificates name the keys of their CAs, the root is found among a hundred of its name without trying the others."""
    root = made("root", 98, None, True)
    low = made("low", 99, ("root", 98), True)
    bundle = b"".join(made("root", number, None, True).pem for number in range(90)) + root.pem
    with pytest.MonkeyPatch.context() as patched:
        counted = Counted(patched)
        loaded = load({"tls.crt": low.pem, "tls.key": low.key_pem, "ca.crt": bundle})
        assert counted.count < 6
    assert loaded.root_pem == root.pem
    assert loaded.not_after - NOW > timedelta(days=1)
