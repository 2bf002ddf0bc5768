"""Building blocks of a structural schema: plain dicts in the order in which they are printed.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]
Rule = tuple[str, str]
"""A CEL expression that must be true, and the sentence that says so when it is not."""

DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""RFC 1123 subdomain: the names of most Kubernetes objects (at most 253 characters)."""


def form(pattern: str, message: str) -> Rule:
    """A pattern as a rule: the API server tells the sentence then, where of a schema's pattern it prints the pattern itself.

    For strings whose length, and lists whose size, is bounded: else the API server's estimate of its cost is too large.
    """
    return (f"self.matches(r'{pattern}')", message)


# CEL's duration() fails beyond 2^63 ns, and then says nothing that helps; the sum of these parts stays below that: one large part,
# and some small ones. Go reads more than six parts, and another order, which nobody writes with a number as large.
_LARGE = "(0*(1?[0-9]{1,6}|2[0-4][0-9]{5})F?h|0*[0-9]{1,8}F?m|0*[0-9]{1,9}F?s|0*[0-9]{1,12}F?ms|0*[0-9]{1,15}F?(us|µs|μs)|0*[0-9]{1,18}F?ns)"
_SMALL = "(0*([0-9]{1,4}F?|F)h|0*([0-9]{1,5}F?|F)m|0*([0-9]{1,7}F?|F)(s|ms|us|µs|μs|ns))"
WITHIN_DURATION = f"^[+-]?(0|{_LARGE}?{_SMALL}{{0,6}})$".replace("F", "([.][0-9]*)")
"""What of Go's durations CEL can reckon with: up to 285 years, in the spellings that people and tools use."""
TOO_LONG_DURATION = "is too long a duration: the longest is 2499999h (285 years), in one number for each unit"


# What it says of names; of other things the sentence stands beside the pattern.
SUBDOMAIN_MESSAGE = "a name of lower case letters, digits, '-' and '.', which begins and ends with a letter or a digit"
LABEL_MESSAGE = "a name of lower case letters, digits and '-', which begins and ends with a letter or a digit"


def _rules(rules: Iterable[Rule]) -> Schema:
    listed = [{"rule": rule, "message": message} for rule, message in rules]
    return {"x-kubernetes-validations": listed} if listed else {}


def _choice(word: str, names: Iterable[str]) -> Schema:
    listed = [{"required": [name]} for name in names]
    return {word: listed} if listed else {}


def string(
    text: str = "",
    *,
    rules: Iterable[Rule] = (),
    **limits: Any,
) -> Schema:
    """A string; `limits` are the schema's own words (enum, pattern, format, maxLength, minLength, default)."""
    return {"description": text, "type": "string", **limits, **_rules(rules)}


def boolean(text: str) -> Schema:
    """A boolean."""
    return {"description": text, "type": "boolean"}


def integer(text: str, **limits: Any) -> Schema:
    """An integer; `limits` as in `string`."""
    return {"description": text, "type": "integer", **limits}


def record(
    text: str,
    fields: Mapping[str, Schema],
    *,
    required: Iterable[str] = (),
    rules: Iterable[Rule] = (),
    atomic: bool = False,
    one_of: Iterable[str] = (),
    one_of_at_least: Iterable[str] = (),
) -> Schema:
    """An object with named fields. `atomic`: server-side apply replaces it as a whole.

    `one_of`: exactly one of these fields is there; `one_of_at_least`: one or more. Inside lists these stand in for
    rules, whose cost the API server estimates by the largest list that fits into an object.
    """
    needed = sorted(required)
    missing = [name for name in needed if name not in fields]
    if missing:
        raise KeyError(f"required fields that do not exist: {missing}")
    return {
        "description": text,
        "type": "object",
        "properties": dict(sorted(fields.items())),
        **({"required": needed} if needed else {}),
        **({"x-kubernetes-map-type": "atomic"} if atomic else {}),
        **_choice("oneOf", one_of),
        **_choice("anyOf", one_of_at_least),
        **_rules(rules),
    }


def list_of(text: str, item: Schema, *, keys: Iterable[str] = (), rules: Iterable[Rule] = (), **limits: Any) -> Schema:
    """A list. With `keys` server-side apply merges it by them, else it is replaced as a whole."""
    by = list(keys)
    kind = {"x-kubernetes-list-map-keys": by, "x-kubernetes-list-type": "map"} if by else _ATOMIC_LIST
    return {"description": text, "type": "array", "items": item, **limits, **kind, **_rules(rules)}


_ATOMIC_LIST = {"x-kubernetes-list-type": "atomic"}


def strings(text: str, **limits: Any) -> Schema:
    """A list of strings; `limits` are those of each string."""
    return list_of(text, {"type": "string", **limits})


def string_set(text: str, most: int, *, each: Iterable[Rule] = (), **limits: Any) -> Schema:
    """A list of at most so many strings, each once, which server-side apply merges.

    `limits` and the rules `each` are those of each string.
    """
    item = {"type": "string", **limits, **_rules(each)}
    return list_of(text, item, maxItems=most) | {"x-kubernetes-list-type": "set"}


def string_map(text: str, *, rules: Iterable[Rule] = (), **limits: Any) -> Schema:
    """An object with free keys and string values."""
    return {
        "description": text,
        "type": "object",
        "additionalProperties": {"type": "string"},
        **limits,
        **_rules(rules),
    }
