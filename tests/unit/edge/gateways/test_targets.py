"""Where a wish's Secret goes: how many selectors are asked about, and how often."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from signer.edge.gateways.controller import MOST_SELECTORS, Targets
from signer.edge.gateways.gather import gather
from signer.edge.gateways.look import Look
from signer.edge.gateways.placement import LONGEST_RECHECK, NO_POD_RECHECK
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.decide import Asker, EdgeWorld
from signer.edge.proxies.find import Proxies
from tests.unit.edge.objects import LE, gateway, https

FOO = Asker("foo", "uid", {})


class Counting:
    """Finds no Pod, and counts the questions."""

    def __init__(self) -> None:
        self.asked = 0

    async def find(self, _selector: Mapping[str, str], _namespaces: Any) -> list[Any]:
        self.asked += 1
        return []


class NoClaims:
    """Nothing is claimed."""

    world = EdgeWorld({}, ())


def gateways(number: int) -> list[Any]:
    made = [gateway(https(f"h{n}.example.com", credential=f"c{n}"), name=f"g{n}") for n in range(number)]
    for n, one in enumerate(made):
        one.spec.selector["n"] = str(n % (2 * MOST_SELECTORS))
    return made


async def look(targets: Targets, number: int) -> Look:
    wanted, found = gather(gateways(number), (), {}, LE), Look(FOO)
    for wish in wanted.wishes:
        assert await targets.of(found, wanted, wish) == set()
    targets.looked(found)
    return found


@pytest.mark.parametrize("number", [1, MOST_SELECTORS, MOST_SELECTORS + 1, 300])
async def test_how_many_are_asked_about(number: int) -> None:
    """Each selector is asked about once in a look, and no more than so many; the others are told, and nothing goes."""
    proxies = Counting()
    found = await look(Targets(cast("Claims", NoClaims()), cast("Proxies", proxies), frozenset({"istio"})), number)
    assert proxies.asked == min(number, MOST_SELECTORS)
    assert len(found.undecided) == number
    assert ("TooManySelectors" in {code for _, _, code, _ in found.told}) == (number > MOST_SELECTORS)


async def test_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits long is looked at more seldom, up to a minute; who no longer waits begins anew."""
    now = 0.0
    monkeypatch.setattr("signer.edge.gateways.controller.time.monotonic", lambda: now)
    targets = Targets(cast("Claims", NoClaims()), cast("Proxies", Counting()), frozenset())
    pauses = []
    for _ in range(12):
        again = (await look(targets, 1)).again
        assert again is not None
        pauses.append(again)
        now += again
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (NO_POD_RECHECK, LONGEST_RECHECK)
    targets.looked(Look(FOO))
    assert (await look(targets, 1)).again == NO_POD_RECHECK
