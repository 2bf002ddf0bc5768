"""What answers a challenge of HTTP-01 and DNS-01."""

import base64
import hashlib

from acme import challenges
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.account import generate_key, load_key
from issuers.acme.challenge import dns_value, key_authorization

KEY = load_key(generate_key())
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


def test_as_the_library_has_it() -> None:
    """For a canonical token our answers are those of the acme library."""
    token = base64.urlsafe_b64decode(TOKEN + "=")
    assert key_authorization(TOKEN, KEY.thumbprint) == challenges.HTTP01(token=token).validation(KEY.jwk)
    assert dns_value(TOKEN, KEY.thumbprint) == challenges.DNS01(token=token).validation(KEY.jwk)


@given(st.from_regex(r"[A-Za-z0-9_-]{22,128}", fullmatch=True))
def test_tokens_stay(token: str) -> None:
    """A token comes back letter by letter, also one that no encoder would have written."""
    assert key_authorization(token, "t") == f"{token}.t"
    digest = hashlib.sha256(f"{token}.t".encode()).digest()
    assert base64.urlsafe_b64decode(dns_value(token, "t") + "=") == digest
