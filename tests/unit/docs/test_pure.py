"""A module that says in its docstring that it is pure, is: it has no way to a network, a loop, a thread, a clock or chance."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMPURE = {
    "aiohttp",
    "asyncio",
    "http",
    "os",
    "random",
    "requests",
    "secrets",
    "select",
    "socket",
    "threading",
    "urllib3",
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic"}
SAID_OTHERWISE = {
    "issuers/certificate.py": "a serial number is drawn where none is given",
    "signer/certificates/controller.py": "says that the other files are",
    "signer/edge/gateways/controller.py": "says that the other files are",
    "signer/edge/gateways/placeholder.py": "says that it makes a key",
    "signer/kube/errors.py": "a date in Retry-After is held against the clock where no time is given",
    "signer/kube/backoff.py": "one formula is, and the jitter is beside it",
}


def pure() -> list[str]:
    found = []
    for folder in ("signer", "issuers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            # Most have not even the word, and parsing takes its time.
            if name in SAID_OTHERWISE or not re.search(r"\b[Pp]ure\b", source := path.read_text()):
                continue
            if re.search(r"\b[Pp]ure\b", ast.get_docstring(ast.parse(source)) or ""):
                found.append(name)
    return found


def impure(source: str) -> Iterator[str]:
    """What a module has that a pure one has not, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        modules = set()
        if isinstance(node, ast.Import):
            modules = {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {node.module or ""}
        if (
            isinstance(node, ast.AsyncFunctionDef | ast.Await)
            or {one.partition(".")[0] for one in modules} & IMPURE
            or "signer.kube.client" in modules
            or (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("datetime", "time", "date")
                and node.func.attr in CLOCKS
            )
        ):
            yield f"{getattr(node, 'lineno', 0)}: {ast.unparse(node).partition(chr(10))[0]}"


@pytest.mark.heavy
def test_pure() -> None:
    """Time, chance and answers of others come in as arguments, or not at all."""
    names = pure()
    assert len(names) > 100
    assert [f"{name}:{one}" for name in names for one in impure((ROOT / name).read_text())] == []


@pytest.mark.parametrize(
    "line",
    [
        "import asyncio",
        "from os import path",
        "import aiohttp.web",
        "from signer.kube.client import ApiClient",
        "async def f(): ...",
        "datetime.now(UTC)",
        "time.monotonic()",
    ],
)
def test_impure(line: str) -> None:
    """Each way out is found."""
    assert list(impure(f"x = 1\n{line}")) == [f"2: {line}".replace(": ...", ":")]


def test_exceptions() -> None:
    """Those that are let off are there."""
    assert [name for name in SAID_OTHERWISE if not (ROOT / name).is_file()] == []
