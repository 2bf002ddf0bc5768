"""The names of a certificate in the audit log: none that was given out is missing, however many there are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.request import SigningRequest, read_request
from signer.observe.names import MOST_NAMES, identity_of, names_of
from tests import pki

MINE, OTHER = pki.spiffe("mine"), pki.spiffe("other")


def request(**names: Any) -> SigningRequest:
    return read_request(pki.csr(**({"subject": None} | names)))


@pytest.mark.parametrize(
    ("asked", "identity", "names"),
    [
        ({"uris": [MINE]}, MINE, ()),
        ({"uris": [MINE, MINE]}, "", (f"uri:{MINE}", f"uri:{MINE}")),
        ({"uris": [MINE, OTHER]}, "", (f"uri:{MINE}", f"uri:{OTHER}")),
        ({"uris": [MINE], "dns": ["a.example"]}, MINE, (f"uri:{MINE}", "dns:a.example")),
        ({"uris": [MINE], "subject": pki.name("bob")}, MINE, ("subject:CN=bob", f"uri:{MINE}")),
        ({"dns": ["a.example"], "emails": ["x@a.example"]}, "", ("dns:a.example", "email:x@a.example")),
        ({"subject": pki.name("a\u202eb")}, "", ("subject:CN=a\ufffdb",)),
    ],
)
def test_names(asked: dict[str, Any], identity: str, names: tuple[str, ...]) -> None:
    """The one URI is the identity; what a certificate names beside it, or instead of it, is told in full."""
    found = request(**asked)
    assert (identity_of(found), names_of(found)) == (identity, names)


@given(dns=st.integers(0, 80), uris=st.integers(0, 80))
def test_many_names(dns: int, uris: int) -> None:
    """However many names there are, a line tells all of them or how many it does not."""
    asked = {"dns": [f"a{n}.example" for n in range(dns)], "uris": [f"{MINE}{n}" for n in range(uris)]}
    if not dns + uris:
        return
    told = names_of(request(**asked))
    if (dns, uris) == (0, 1):
        assert told == ()
    elif dns + uris <= MOST_NAMES:
        assert len(told) == dns + uris
    else:
        assert len(told) == MOST_NAMES + 1
        assert told[-1] == f"and {dns + uris - MOST_NAMES} more"
