"""A CA that is renewed is told to its Certificates one after the other; one that changes again and again costs few writes."""

import asyncio
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.certificates.ca_lines import SPREAD, CALines
from signer.kube.pacing import FREE
from tests.examples import examples
from tests.fakes.virtual_time import virtual_time
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW

ROOT, OTHER = IssuerRef("ClusterIssuer", "", "root"), IssuerRef("ClusterIssuer", "", "other")
MANY = 60
AT_ONCE = FREE + 1


class Around:
    """An issuer whose CA the test changes, and its Certificates; `told` has each that was to be looked at, and when."""

    def __init__(self) -> None:
        self.states: dict[IssuerRef, Any] = {}
        self.began = asyncio.get_running_loop().time()
        self.told: list[tuple[tuple[str, str], float]] = []
        certificates = {("shop", f"c{number}"): samples.certificate() for number in range(MANY)}
        registry: Any = SimpleNamespace(get=self.states.get)
        self.lines = CALines(registry, certificates, self.tell, self.clock)

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time() - self.began)

    def tell(self, key: tuple[str, str], seconds: float) -> None:
        self.told.append((key, seconds))

    def now(self, line: bytes | None, ref: IssuerRef = ROOT) -> None:
        authority = SimpleNamespace(chain_pem=line, anchor_pem=b"") if line is not None else None
        self.states[ref] = SimpleNamespace(authority=authority)
        self.lines.changed(ref)

    @property
    def line(self) -> bytes | None:
        found = self.lines.of(ROOT)
        return found.chain_pem if found is not None else None


@virtual_time
async def test_spread() -> None:
    """All Certificates of the issuer are looked at, one after the other; those of others are not, nor when nothing changed."""
    around = Around()
    around.now(b"1")
    around.now(b"1")
    around.now(b"1", OTHER)
    around.now(b"2", OTHER)
    assert around.told == []
    around.now(b"2")
    assert [seconds for _, seconds in around.told] == [number * SPREAD for number in range(MANY)]
    assert len({key for key, _ in around.told}) == MANY
    assert around.line == b"2"


@virtual_time
async def test_again_and_again() -> None:
    """Eight changes within a moment are told a few times at once, and once more after a pause, with what is there then."""
    around = Around()
    around.now(b"0")
    for number in range(1, 9):
        around.now(str(number).encode())
    assert len(around.told) == AT_ONCE * MANY
    assert around.line == str(AT_ONCE).encode()
    await asyncio.sleep(3600)
    assert len(around.told) == (AT_ONCE + 1) * MANY
    assert around.line == b"8"


@virtual_time
async def test_an_issuer_that_goes() -> None:
    """An issuer that is gone is told of no more, its CA is none; made again, it does not begin a new count."""
    around = Around()
    for number in range(6):
        around.now(str(number).encode())
    around.states.clear()
    around.lines.changed(ROOT)
    assert around.line is None
    before = len(around.told)
    await asyncio.sleep(3600)
    assert len(around.told) == before
    around.now(None)
    assert around.line is None


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 30)), max_size=60))
def test_any_changes(changes: list[tuple[int, float]]) -> None:
    """Whenever a CA changes: in the end its Certificates were told of it as it is, and never more than so often in a time."""

    @virtual_time
    async def story() -> None:
        around = Around()
        around.now(b"0")
        for line, pause in changes:
            around.now(str(line).encode())
            await asyncio.sleep(pause)
        passed = sum(pause for _, pause in changes)
        assert len(around.told) / MANY <= AT_ONCE + 1 + passed / 10
        await asyncio.sleep(3 * 3600)
        assert around.line == str(changes[-1][0] if changes else 0).encode()

    story()
