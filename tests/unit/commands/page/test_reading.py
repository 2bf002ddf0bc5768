"""One look after the other: what is kept between two of them goes with what is read anew."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from signer.commands import live
from signer.commands.checks.facts import Facts
from signer.commands.live import Listing, Mesh
from signer.commands.page import reading
from signer.commands.page.reading import Reader
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable
from tests.unit.commands.meshes import facts
from tests.unit.csr.crafted import NOW


class Client:
    """Answers what time it is, and nothing else."""

    def __init__(self, skew: timedelta) -> None:
        self._skew = skew

    async def request(self, method: str, path: str, **_: Any) -> Any:
        if (method, path) != ("GET", "/version"):
            raise Unreachable("nobody there")
        return SimpleNamespace(headers={"date": format_datetime(NOW - self._skew, usegmt=True)})


@pytest.mark.parametrize("minutes", [-600, -1, 0, 1, 90])
async def test_a_wrong_clock(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the API server is the same in each look, whether the check-up is made anew or kept."""
    skew = timedelta(minutes=minutes)
    first = replace(facts(), skew=skew)

    async def gathered(*_: object) -> Facts:
        return first

    async def mesh(*_: object, **__: object) -> Mesh:
        return first.mesh

    async def nothing(*_: object) -> Listing:
        return Listing()

    for module in (reading, live):
        monkeypatch.setattr(module, "utc_now", lambda: NOW)
    monkeypatch.setattr(reading, "gather", gathered)
    monkeypatch.setattr(reading, "read_mesh", mesh)
    for name in ("greet", "list_all", "read_lists"):
        monkeypatch.setattr(reading, name, nothing)
    reader = Reader(cast("ApiClient", Client(skew)), first.settings, None, "1s")
    for _ in range(3):
        seen = await reader.look()
        assert seen.facts.skew is not None
        assert seen.facts.now - seen.facts.skew == NOW - skew
