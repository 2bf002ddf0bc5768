"""Writes that must not be lost."""

from collections.abc import Awaitable, Callable

import pytest

from signer.edge.orders.writer import insist
from signer.kube.errors import ApiError, Conflict, Forbidden, NotFound, ServerError, TooManyRequests, Unreachable
from tests.fakes.virtual_time import virtual_time


def failing(*errors: Exception) -> tuple[list[Exception], Callable[[], Awaitable[str]]]:
    """A write that fails with each of these, and is done then."""
    left = list(errors)

    async def write() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return left, write


@virtual_time
async def test_until_it_is_done() -> None:
    """An API server that is away, busy, or has not read its roles yet is asked again, for minutes."""
    passing = (Unreachable("gone"), ServerError(500), TooManyRequests(429), Forbidden(403), ApiError(401))
    left, write = failing(*passing * 20)
    assert await insist(write) == "done"
    assert not left


@pytest.mark.parametrize("error", [NotFound(404), Conflict(409)])
def test_what_is_said_for_good(error: Exception) -> None:
    """An object that is gone is not waited for."""

    @virtual_time
    async def run() -> None:
        left, write = failing(error, error)
        with pytest.raises(type(error)):
            await insist(write)
        assert left == [error]

    run()


@virtual_time
async def test_not_for_ever() -> None:
    """What never gets better ends as it is."""
    _, write = failing(*[Forbidden(403)] * 10)
    with pytest.raises(Forbidden):
        await insist(write, tries=5)
