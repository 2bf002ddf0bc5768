"""Logs: one record, one line, whatever is in it."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from signer.observe.logs import set_up


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the process its own logging back."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Text is time, level, logger and message on standard error; a line break in a name does not make a second line."""
    set_up("text", "info")
    logging.getLogger("signer.x").info("request %s", "a\nERROR forged\r")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    time, level, logger, message = err.rstrip("\n").split(maxsplit=3)
    assert time.endswith("Z")
    assert (level, logger, message) == ("INFO", "signer.x:", "request a\\nERROR forged\\r")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is one object on one line, with the exception in it."""
    set_up("json", "info")
    try:
        int("boom")
    except ValueError:
        logging.getLogger("signer.x").exception("two\nlines")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    line = json.loads(err)
    assert (line["level"], line["logger"], line["message"]) == ("error", "signer.x", "two\nlines")
    assert "ValueError: invalid literal" in line["exception"]


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 3), ("warning", 2), ("error", 1)])
def test_level(capsys: pytest.CaptureFixture[str], level: str, shown: int) -> None:
    """Only records from the given level on are shown."""
    set_up("text", level)
    log = logging.getLogger("signer.x")
    log.info("a")
    log.warning("b")
    log.error("c")
    assert capsys.readouterr().err.count("\n") == shown


def test_noise(capsys: pytest.CaptureFixture[str]) -> None:
    """Access lines of libraries, which may hold a URL with a query, are not shown, not even with debug."""
    set_up("text", "debug")
    for name in ("aiohttp.access", "urllib3.connectionpool", "kubernetes.client.rest", "asyncio"):
        logging.getLogger(name).info("GET /?token=x")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("hostile", ["\u202e", "\u2028", "\x1b[2J", "\x85", "\x7f"])
def test_nothing_looks_like_something_else(capsys: pytest.CaptureFixture[str], hostile: str) -> None:
    """A hostile name moves no cursor, turns no text and makes no line, in either form and in a traceback."""
    for form in ("text", "json"):
        set_up(form, "info")
        try:
            dict[str, str]()[f"a{hostile}b"]
        except KeyError:
            logging.getLogger("signer.x").exception("request %s", f"a{hostile}b")
        assert capsys.readouterr().err.replace("\n", "").isprintable()


def test_warnings_of_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    """What Python code warns its callers of stays out of the log, whatever it says."""
    set_up("json", "debug")
    warnings.warn("Parsed a serial number which wasn't positive", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == ""
