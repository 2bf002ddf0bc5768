"""Logs: one record, one line, whatever is in it."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from signer.api.event import ObjectReference
from signer.kube.errors import ApiError
from signer.observe.logs import set_level, set_up, turn, warn


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


def test_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """What a line is about is in fields of its own, its error too; what it is not about is left out."""
    set_up("json", "info")
    extra = {"signer": "s", "namespace": "", "request": "r", "reason": "TenantMismatch", "duration": 0.5}
    logging.getLogger("signer.x").warning("request %s: %s", "r", ApiError(403, "Forbidden", "no"), extra=extra)
    line = json.loads(capsys.readouterr().err)
    assert line.items() >= {"signer": "s", "request": "r", "reason": "TenantMismatch", "duration": 0.5}.items()
    assert line["error"] == "403 Forbidden: no"
    assert "namespace" not in line


@pytest.mark.parametrize(
    ("error", "text"),
    [(TimeoutError(), "no answer in time"), (ConnectionResetError(), "ConnectionResetError")],
    ids=str,
)
def test_no_empty_error(capsys: pytest.CaptureFixture[str], error: Exception, text: str) -> None:
    """An exception that says nothing is named."""
    set_up("json", "info")
    logging.getLogger("signer.x").warning("it failed: %s", error)
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["error"]) == (f"it failed: {text}", text)


def test_a_storm(capsys: pytest.CaptureFixture[str]) -> None:
    """Equal warnings are one line and, when their minute is over, one with the count."""
    now = 0.0
    set_up("text", "info", clock=lambda: now)
    for _ in range(100):
        logging.getLogger("signer.x").warning("no room")
    now = 61.0
    turn()
    turn()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("signer.x: ")[2] for line in lines] == [
        "no room",
        "99 more of the same within a minute, the last: no room",
    ]


def test_level_at_run_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Another level holds from now on, and libraries stay quiet."""
    set_up("text", "warning")
    logging.getLogger("signer.x").debug("a")
    set_level("debug")
    logging.getLogger("signer.x").debug("b")
    logging.getLogger("aiohttp.access").info("GET /?token=x")
    set_level("error")
    logging.getLogger("signer.x").warning("c")
    assert [line[-1] for line in capsys.readouterr().err.splitlines()] == ["b"]


def test_an_object_that_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """What an Event warns of is a line with the object's kind and name, and in JSON with fields."""
    set_up("json", "info")
    warn(ObjectReference("cert-manager.io/v1", "Certificate", "shop", "web", "u"), "SecretNotOwned", "delete it")
    warn(ObjectReference("v1", "ClusterIssuer", "", "foo", "u"), "Malformed", "x\ny")
    one, other = map(json.loads, capsys.readouterr().err.splitlines())
    assert one["message"] == "Certificate shop/web: SecretNotOwned: delete it"
    assert (one["object"], one["namespace"], one["reason"]) == ("Certificate shop/web", "shop", "SecretNotOwned")
    assert other["message"].startswith("ClusterIssuer foo: Malformed: x")
