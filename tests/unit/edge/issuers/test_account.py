"""Which account an issuer has: what is remembered of one carries all that it depends on."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.answers import Account
from issuers.acme.targets import origin
from signer.api.acmeissuer import AcmeStatus
from signer.edge.issuers.controller import _same_account, _valid
from signer.edge.issuers.secrets import Unusable
from signer.edge.issuers.spec import AcmeIssuer, External

SERVER = "https://ca.example/dir"
SPEC = AcmeIssuer(origin(SERVER), SERVER, "cert-manager", "account", "tls.key")
SERVERS = st.sampled_from([SERVER, SERVER + "?x", "https://ca.example/other"])
BINDINGS = st.sampled_from(["", "kid-1", "kid-2"])
HASHES = st.sampled_from(["a", "b"])


def spec(server: str, binding: str) -> AcmeIssuer:
    external = External(binding, "eab", "secret") if binding else None
    return replace(SPEC, server=server, external=external)


@given(st.tuples(HASHES, SERVERS, BINDINGS), st.tuples(HASHES, SERVERS, BINDINGS))
def test_what_an_account_belongs_to(before: tuple[str, str, str], now: tuple[str, str, str]) -> None:
    """An account is taken from the status for the same key, directory and binding only."""
    key, server, binding = before
    status = AcmeStatus(
        uri="https://ca.example/acct/1", last_private_key_hash=key, last_server=server, last_external_account=binding
    )
    assert _same_account(status, spec(*now[1:]), now[0]) == (before == now)


@given(HASHES, SERVERS, BINDINGS)
def test_written_by_others(key: str, server: str, binding: str) -> None:
    """What cert-manager wrote goes by the key alone: neither asks the CA again when the other takes over."""
    status = AcmeStatus(uri="https://ca.example/acct/1", last_private_key_hash="a")
    assert _same_account(status, spec(server, binding), key) == (key == "a")


@pytest.mark.parametrize("status", ["valid", "deactivated", "revoked"])
def test_an_account_that_is_over(status: str) -> None:
    """An account that may not order is not taken, and it is said what to do."""
    account = Account("https://ca.example/acct/1", status, ())
    if status == "valid":
        assert _valid(account, SPEC) == account.url
    else:
        with pytest.raises(Unusable, match=rf"Secret cert-manager/account: .* is {status}; delete"):
            _valid(account, SPEC)
