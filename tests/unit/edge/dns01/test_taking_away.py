"""Whose record is taken away: only one that we wrote for that Challenge, by what nobody else has."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.challenges.presenter import Left
from signer.edge.dns01.presenter import NOTE, DnsPresenter
from signer.edge.dns01.record import note_seal
from signer.edge.issuers.dns01_spec import read_dns01
from signer.tenancy.verdict import Reason
from tests.unit.edge.dns01.test_presenter import challenge, presenter
from tests.unit.edge.dns01.test_writers import SOLVERS

NAME, KEY = "_acme-challenge.a.example.com", "v" * 43
SECRET = b"the ACME account's key"


class Recorded:
    """A writer that notes what it is asked to take away."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def seal(self, text: str) -> str:
        return note_seal(SECRET, text)

    async def add(self, _name: str, _value: str) -> Reason | None:
        raise AssertionError

    async def remove(self, name: str, value: str) -> Reason | None:
        self.removed.append(f"{name} {value}")
        return None


class Issuer:
    """With one solver for each provider."""

    def __init__(self, *solvers: Any) -> None:
        self.solvers = solvers


def one_of(provider: str, writer: Recorded, *, still: bool = True) -> DnsPresenter:
    """A presenter whose issuer has this provider's solver, `still`, or another one by now."""
    made = presenter(9)

    class Made:
        def issuer(self, _ref: object) -> Issuer:
            return Issuer({"dns01": {provider: SOLVERS[provider]}} if still else {"http01": {}})

        async def of(self, _ref: object, settings: object, _challenge: object) -> Recorded:
            wanted = read_dns01({provider: SOLVERS[provider]}, "dns01", cluster_wide=True)
            assert not isinstance(wanted, tuple)
            assert settings == wanted.provider
            return writer

    made._writers = Made()  # type: ignore[assignment]  # what it asks is all that matters
    return made


def noted(provider: str, note: str) -> Any:
    found = challenge(solver={"dns01": {provider: SOLVERS[provider]}})
    found.metadata.annotations[NOTE] = note
    return found


def ours(uid: str = "u", name: str = NAME, key: str = KEY) -> str:
    return f"{name} {note_seal(SECRET, f'{uid} {name} {key}')}"


@pytest.mark.parametrize("provider", SOLVERS)
async def test_ours(provider: str) -> None:
    """What we wrote for a Challenge is taken away, whichever provider it was."""
    writer = Recorded()
    assert await one_of(provider, writer).clean_up(noted(provider, ours())) is None
    assert writer.removed == [f"{NAME} {KEY}"]


@pytest.mark.parametrize("provider", SOLVERS)
async def test_an_issuer_that_changed(provider: str) -> None:
    """An issuer that has another solver now is not used to take anything away: that is told, and left."""
    writer = Recorded()
    left = await one_of(provider, writer, still=False).clean_up(noted(provider, ours()))
    assert isinstance(left, Left)
    assert not left.again
    assert writer.removed == []


@pytest.mark.parametrize("provider", SOLVERS)
@given(note=st.one_of(st.text(), st.sampled_from([ours(uid="another"), ours(key="w" * 43), f"{NAME} ", ours()[:-1]])))
async def test_forged(provider: str, note: str) -> None:
    """A note that is not ours, for this very Challenge, takes nothing away, whoever wrote it."""
    writer = Recorded()
    left = await one_of(provider, writer).clean_up(noted(provider, note))
    assert writer.removed == []
    assert (left is None) == (note == "")


async def test_another_name_than_was_noted() -> None:
    """The seal is of the name: a note that names a neighbour's record is not ours."""
    writer = Recorded()
    seal = ours().partition(" ")[2]
    left = await one_of("webhook", writer).clean_up(noted("webhook", f"_acme-challenge.victim.example {seal}"))
    assert isinstance(left, Left)
    assert writer.removed == []
