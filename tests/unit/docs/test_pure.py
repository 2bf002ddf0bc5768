"""A module that says in its docstring that it is pure, is: it has no way to a network, a loop, a thread, a clock or chance."""

import ast
import re
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
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            name = path.relative_to(ROOT).as_posix()
            if re.search(r"\b[Pp]ure\b", said) and name not in SAID_OTHERWISE:
                found.append(name)
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("name", pure())
def test_pure(name: str) -> None:
    """Time, chance and answers of others come in as arguments, or not at all."""
    tree = ast.parse((ROOT / name).read_text())
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await)
        modules = set()
        if isinstance(node, ast.Import):
            modules = {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {node.module or ""}
        assert not {one.partition(".")[0] for one in modules} & IMPURE
        assert "signer.kube.client" not in modules
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            assert not (node.func.value.id in ("datetime", "time", "date") and node.func.attr in CLOCKS)


@pytest.mark.heavy
def test_exceptions() -> None:
    """Those that are let off are there, and most of the product is not."""
    assert all((ROOT / name).is_file() for name in SAID_OTHERWISE)
    assert len(pure()) > 100
