"""Makes an object with every field of a structural schema, for tests that nothing is lost on the API server."""

import copy
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_VALUES: dict[str, Any] = {
    "algorithm": "ECDSA",
    "signatureAlgorithm": "ECDSAWithSHA256",
    "size": 384,
    "duration": "48h",
    "renewBefore": "12h",
    "renewBeforePercentage": 33,
    "revisionHistoryLimit": 3,
    "oid": "1.3.6.1.4.1.311.20.2.3",
    "status": "True",
    "group": "example.com",
    "literalSubject": "CN=sample,O=example",
    "isCA": True,
    "serviceType": "ClusterIP",
}
_ITEMS = {"ipAddresses": "192.0.2.1", "emailAddresses": "a@example.com"}


def sample(schema: Schema, name: str = "") -> Any:
    """A value with every field set; `name` is the field it is for, where a rule asks for a certain value."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {"anything": ["goes", {"here": 1}]}
    if name in _VALUES and schema.get("type") != "object":
        return _VALUES[name]
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("x-kubernetes-int-or-string"):
        return "100m"
    kind = schema["type"]
    if kind == "object":
        if isinstance(schema.get("additionalProperties"), dict):
            return {"example.com/key": sample(schema["additionalProperties"])}
        return {field: sample(child, field) for field, child in schema.get("properties", {}).items()}
    if kind == "array":
        return [_ITEMS.get(name) or sample(schema["items"])]
    if kind == "string":
        return {"date-time": "2026-01-02T03:04:05Z", "byte": "aGVsbG8="}.get(schema.get("format", ""), "sample")
    return {"integer": 7, "boolean": True}[kind]


def drop(value: dict[str, Any], *paths: str) -> dict[str, Any]:
    """A copy without the fields at these dotted paths; each must exist."""
    left = copy.deepcopy(value)
    for path in paths:
        *parents, last = path.split(".")
        at = left
        for parent in parents:
            at = at[parent]
        del at[last]
    return left


def leaves(value: Any, path: str) -> Iterator[str]:
    """Every path in a value, written as `certmanager_crds.walk` writes those of a schema."""
    yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, f"{path}{{}}" if "/" in key else f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from leaves(child, f"{path}[]")
