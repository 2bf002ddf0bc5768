"""cert-manager's own CustomResourceDefinitions, read from its Go module for comparison, and walks over schemas.

Only tests read them; nothing of them is in this project. Synchronous, no state but the Go module cache.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.localmesh.toolchain import find_go, go_environment

MODULE = "github.com/cert-manager/cert-manager@v1.20.3"
Schema = dict[str, Any]


def definitions(group: str = "cert-manager.io") -> dict[str, Schema]:
    """Kind -> CustomResourceDefinition of one API group, as cert-manager ships them."""
    env = go_environment() | {"GOFLAGS": "-mod=mod"}
    with tempfile.TemporaryDirectory() as folder:  # outside of any module
        done = subprocess.run(
            [find_go((1, 21)), "mod", "download", "-json", MODULE],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, f"go mod download {MODULE}: {done.stdout}{done.stderr}"
    source = Path(json.loads(done.stdout)["Dir"], "deploy", "crds")
    read = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(source.glob(f"{group}_*.yaml"))]
    return {crd["spec"]["names"]["kind"]: crd for crd in read}


def root(crd: Schema) -> Schema:
    """The schema of version v1."""
    (version,) = crd["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every (path, schema) of a structural schema; lists are `[]`, free keys `{}`."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def shingles(text: str, length: int = 8) -> set[tuple[str, ...]]:
    """All runs of `length` words."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}
