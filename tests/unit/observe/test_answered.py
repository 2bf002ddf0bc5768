"""Intent, write, outcome: in this order, whatever becomes of the write, and nothing is issued that could not be written down."""

import contextlib
import io
import json
from typing import Any, Literal, cast

import pytest

from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.observe.answered import NotWrittenDown, answered
from signer.observe.audit import AuditLine, AuditLog


class Full:
    """A disk that takes nothing."""

    def write(self, _data: bytes) -> int | None:
        raise OSError(28, "No space left on device")


def line(verdict: Literal["issue", "refuse"] = "issue") -> AuditLine:
    return AuditLine(time="t", audit="intent", verdict=verdict)


async def told(error: Exception | None, *, hushed: bool = False) -> list[str]:
    """The log when the write is sent, "|", and what comes after it."""
    stream = io.BytesIO()
    log = AuditLog(cast("Any", stream))

    def lines() -> list[str]:
        return [one.get("outcome", one["audit"]) for one in map(json.loads, stream.getvalue().splitlines())]

    seen: list[str] = []

    async def write() -> str:
        seen.extend([*lines(), "|"])
        if error is not None:
            raise error
        return "made"

    with contextlib.suppress(ApiError, Unreachable, KeyError):
        assert await answered(log, line(), "stored", write, lambda: "now", hushed=hushed) == "made"
    log.flush()
    return seen + lines()[seen.index("|") :]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "stored"),
        (Conflict(409, "Conflict", "changed"), "conflict"),
        (NotFound(404, "NotFound", "gone"), "gone"),
        (ApiError(422, "Invalid", "no"), "invalid"),
        (ApiError(500, "InternalError", "?"), "unknown"),
        (Unreachable("nobody there"), "unknown"),
        (KeyError("x"), "unknown"),
    ],
    ids=["stored", "conflict", "gone", "invalid", "server", "unreachable", "unforeseen"],
)
async def test_in_order(error: Exception | None, outcome: str) -> None:
    """The intent is in the log when the write is sent; what became of it, after."""
    assert await told(error) == ["intent", "|", outcome]
    hushed = [] if outcome in {"gone", "unknown"} else [outcome]
    assert await told(error, hushed=True) == ["|", *hushed]


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("verdict", ["issue", "refuse"])
async def test_nowhere_to_write(verdict: Literal["issue", "refuse"], stop: bool) -> None:
    """Where that stops issuing, what is found only now to be in memory is not sent; refusals are, and all where it does not stop."""
    log = AuditLog(Full(), stop=stop)
    sent: list[str] = []

    async def write() -> None:
        sent.append(verdict)

    if stop and verdict == "issue":
        with pytest.raises(NotWrittenDown):
            await answered(log, line(verdict), "stored", write, lambda: "now")
        assert sent == []
    else:
        await answered(log, line(verdict), "stored", write, lambda: "now")
        assert sent == [verdict]
