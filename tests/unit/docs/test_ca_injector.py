"""docs/ca-injector.md is complete: each reason that the CA injector gives stands there with what to do, and no other."""

import ast
import re
from pathlib import Path

from signer.api.injectable import ASKING
from signer.injector.told import INJECTED

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "ca-injector.md").read_text()


def reasons() -> set[str]:
    """First arguments of Defect(...) and of what answers with a reason."""
    found = set()
    for file in (ROOT / "signer" / "injector").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Defect", "_no"}:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def test_each_reason_has_its_line() -> None:
    """The table has every reason of the code, and none of the past."""
    rows = re.findall(r"^\| (`[A-Z].*?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row)}
    assert len(reasons()) > 12
    assert named == reasons() | {INJECTED}


def test_each_annotation_is_explained() -> None:
    """The page says what each annotation asks for."""
    assert [name for name in ASKING if f"| `{name}: " not in PAGE] == []
