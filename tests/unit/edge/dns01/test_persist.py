"""dns-persist-01: which records prove a name, as a CA reads them, and what is told of those that do not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.dns01.persist import persistent_name, persistent_record, proves

ISSUER, ACCOUNT = "authority.example", "https://ca.example/acct/123"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize("wildcard", [False, True])
@given(st.sampled_from(["", " ", "\t ", "   "]), st.integers(0, 10**9))
def test_what_proves(wildcard: bool, space: str, ahead: int) -> None:
    """The record that we ask for proves the name, with any space, in any order and case, and until its time."""
    assert proves(persistent_record(ISSUER, ACCOUNT, wildcard=wildcard), ISSUER, ACCOUNT, NOW, wildcard=wildcard)
    until = int((NOW + timedelta(seconds=ahead)).timestamp())
    text = (
        f";{space}PersistUntil{space}={space}{until};{space}POLICY={space}Wildcard;{space}accountURI{space}={ACCOUNT}"
    )
    assert proves(f"{space}Authority.EXAMPLE{space}{text}", ISSUER, ACCOUNT, NOW, wildcard=wildcard)
    assert proves(f"{ISSUER}{text};future=thing", ISSUER, ACCOUNT, NOW, wildcard=wildcard)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ISSUER,
        f"other.example; accounturi={ACCOUNT}",
        f"{ISSUER}; accounturi={ACCOUNT}4",
        f"{ISSUER}; accounturi=",
        f"{ISSUER}; accounturi={ACCOUNT};",
        f"{ISSUER}; accounturi={ACCOUNT}; accountURI={ACCOUNT}",
        f"{ISSUER}; accounturi={ACCOUNT}; =x",
        f"{ISSUER}; accounturi={ACCOUNT}; policy",
        f"{ISSUER}; accounturi={ACCOUNT}; persistUntil=",
        f"{ISSUER}; accounturi={ACCOUNT}; persistUntil=-1",
        f"{ISSUER}; accounturi={ACCOUNT}; persistUntil=1",
        f"{ISSUER}; accounturi={ACCOUNT}; persistUntil=soon",
        f"{ISSUER}; accounturi={ACCOUNT}; persistUntil={'9' * 400}",
        "v" * 43,
    ],
)
def test_what_does_not(value: str) -> None:
    """Another CA's, another account's, one that is over, and one that a CA cannot read prove nothing."""
    assert not proves(value, ISSUER, ACCOUNT, NOW, wildcard=False)


def test_wildcards() -> None:
    """A wildcard needs the policy; its record proves the apex too."""
    plain, wild = (persistent_record(ISSUER, ACCOUNT, wildcard=one) for one in (False, True))
    assert not proves(plain, ISSUER, ACCOUNT, NOW, wildcard=True)
    assert proves(wild, ISSUER, ACCOUNT, NOW, wildcard=False)
    assert not proves(f"{plain}; policy=all", ISSUER, ACCOUNT, NOW, wildcard=True)
    assert persistent_name("*.Example.com.") == persistent_name("example.com") == "_validation-persist.example.com"


@given(st.text(max_size=200))
def test_anything(text: str) -> None:
    """Any text is read, and none that does not name the account proves anything."""
    assert not proves(text, ISSUER, ACCOUNT, NOW, wildcard=False)
    proves(f"{ISSUER}; {text}", ISSUER, ACCOUNT, NOW, wildcard=True)
    assert not proves(f"{ISSUER}; accounturi={ACCOUNT}x{text}", ISSUER, ACCOUNT, NOW, wildcard=False)
