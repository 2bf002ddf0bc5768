"""What a cluster does is told by the API server's time: an operator's own clock may be wrong."""

import asyncio
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import signer
from signer.commands import live
from signer.commands.live import time_there
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable
from tests.unit.csr.crafted import NOW


class Answering:
    """An API server whose clock is `ahead` of ours; with None it does not answer."""

    def __init__(self, ahead: timedelta | None) -> None:
        self.ahead = ahead

    async def request(self, method: str, path: str) -> Any:
        assert (method, path) == ("GET", "/version")
        if self.ahead is None:
            raise Unreachable("nobody there")
        return SimpleNamespace(headers={"date": format_datetime(NOW + self.ahead, usegmt=True)})


@pytest.mark.parametrize(
    "ahead",
    [timedelta(hours=3), timedelta(days=-400), timedelta(seconds=30), timedelta(seconds=-17), timedelta(0), None],
)
def test_time_there(ahead: timedelta | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock here, the time is the API server's, to the second as it tells it; ours where it does not say it."""
    monkeypatch.setattr(live, "utc_now", lambda: NOW)
    found = asyncio.run(time_there(cast("ApiClient", Answering(ahead))))
    ahead = ahead or timedelta(0)
    assert timedelta(0) <= found - NOW - ahead < timedelta(seconds=1, microseconds=1)
    assert found <= NOW or ahead > timedelta(0)


def test_a_clock_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Date without its fraction of a second, or an answer that took long, puts no clock back."""
    for late in (timedelta(0), timedelta(milliseconds=999), timedelta(seconds=4)):
        clock = iter([NOW, NOW + late, NOW + late])
        monkeypatch.setattr(live, "utc_now", lambda clock=clock: next(clock))
        found = asyncio.run(time_there(cast("ApiClient", Answering(timedelta(milliseconds=-700)))))
        assert found == NOW + late


def test_nobody_goes_by_his_own_clock() -> None:
    """Among the commands only those that compare the two clocks, or say when a file was written, read their own."""
    root = Path(str(signer.__file__)).parent / "commands"
    found = {str(one.relative_to(root)) for one in root.rglob("*.py") if "datetime.now" in one.read_text()}
    assert found == {"checks/examination.py", "backup.py", "run.py"}
