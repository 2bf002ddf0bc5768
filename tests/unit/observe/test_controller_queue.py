"""The queue of a controller: what it did is counted, what failed is told without a stranger's words."""

import asyncio

import pytest

from signer.kube.errors import ServerError, Unreachable
from signer.observe.controller_queue import ControllerQueue
from signer.observe.metrics import Metrics
from tests.fakes.virtual_time import virtual_time


@virtual_time
async def test_counted() -> None:
    """Every call counts, every failure too, and a key that failed is handled again."""
    metrics = Metrics()
    queue = ControllerQueue[str](metrics, "orders")
    seen: list[str] = []

    async def handle(key: str) -> None:
        seen.append(key)
        if len(seen) == 1:
            raise Unreachable("gone")

    queue.add("a")
    running = asyncio.create_task(queue.run(handle))
    await asyncio.sleep(10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == ["a", "a"]
    value = metrics.registry.get_sample_value
    assert value("certmanager_controller_sync_call_count", {"controller": "orders"}) == 2
    assert value("certmanager_controller_sync_error_count", {"controller": "orders"}) == 1


def test_told(caplog: pytest.LogCaptureFixture) -> None:
    """The API server's words are told; those of an unforeseen error may quote a Secret and are not, but its place is."""
    queue = ControllerQueue[tuple[str, str]](Metrics(), "orders")
    queue.failed(("shop", "o"), ServerError(500, "busy"))
    assert "orders: shop/o: " in caplog.text
    assert "busy" in caplog.text
    caplog.clear()
    with pytest.raises(KeyError) as unforeseen:
        dict[str, str]()["the text of a key"]
    queue.failed(("shop", "o"), unforeseen.value)
    assert "orders: shop/o: unforeseen KeyError" in caplog.text
    assert "test_controller_queue.py" in caplog.text
    assert "the text of a key" not in caplog.text
