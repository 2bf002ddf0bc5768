"""That the API server does not answer is told once, and that it does again."""

import logging
import re
from pathlib import Path

import pytest

from signer.kube.errors import ApiError, Forbidden, NotFound, TooManyRequests, Unreachable
from signer.kube.reach import PATIENCE, Reach, loudness


def test_away_and_back(caplog: pytest.LogCaptureFixture) -> None:
    """However many ask, one line says that nobody answers, with why, and one when somebody does, after how long."""
    caplog.set_level(logging.INFO)
    now = 100.0
    reach = Reach(lambda: now)
    reach.answered()
    for _ in range(50):
        reach.failed(ConnectionRefusedError("refused"))
        now += 1.0
    reach.answered()
    reach.answered()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the API server does not answer, and is asked until it does: refused"),
        ("INFO", "the API server answers again, after 50 s"),
    ]


def test_one_connection_is_not_all(caplog: pytest.LogCaptureFixture) -> None:
    """Connections that break while others are answered are nothing to tell, however often."""
    now = 100.0
    reach = Reach(lambda: now)
    for _ in range(50):
        reach.failed(ConnectionResetError("reset"))
        now += PATIENCE / 4
        reach.answered()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (TooManyRequests(429, "TooManyRequests", "storage is (re)initializing"), logging.INFO),
        (TooManyRequests(429, "TooManyRequests", "too many requests, please try again later"), logging.WARNING),
        (ApiError(500, "InternalError", "storage is (re)initializing"), logging.WARNING),
        (Forbidden(403, "Forbidden", "no"), logging.WARNING),
        (NotFound(404, "NotFound", "no"), logging.WARNING),
        (Unreachable("refused"), logging.DEBUG),
        (Unreachable("SignerRecord x changed whenever it was written"), logging.DEBUG),
        (RuntimeError("x"), logging.WARNING),
    ],
)
def test_how_loud(error: Exception, level: int) -> None:
    """What passes by itself is no warning: a definition that the API server takes in just now, an object that changes all the time."""
    assert loudness(error) == level


TELLING = re.compile(r"log(?:ger)?\.warning\([^\n]*[ ,(]error\)")


def test_who_tells_of_failed_calls() -> None:
    """Whoever tells of a call that failed goes by that level; the exceptions are listed, with why."""
    others = {
        "signer/csr/questions.py": "a right that is missing, told once for each Secret",
        "signer/kube/reach.py": "told here once for all",
    }
    root = Path(__file__).parents[3]
    found = {
        str(path.relative_to(root))
        for path in (root / "signer").rglob("*.py")
        if TELLING.search(text := path.read_text("utf-8")) and "ApiError" in text
    }
    assert found <= set(others)
