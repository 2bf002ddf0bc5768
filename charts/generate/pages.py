"""values.yaml and README.md of the chart, as the schema of its values says. Pure."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from charts.generate.holes import dump
from charts.generate.options import OF_THE_CHART, Schema

_HIDDEN = ("global",)


def values_page(schema: Schema) -> str:
    """Write values.yaml: each default below its description; what has none stands in a comment."""
    lines = ["# Written by `python -m charts.generate`; README.md has the same as a table.", ""]
    lines += _values(schema, 0)
    return "\n".join(lines).rstrip() + "\n"


def _values(section: Schema, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, one in section["properties"].items():
        if name in _HIDDEN:
            continue
        text = textwrap.wrap(one["description"], 116 - len(indent), break_long_words=False, break_on_hyphens=False)
        yield from (f"{indent}# {line}" for line in text)
        if "properties" in one:
            yield f"{indent}{name}:"
            yield from _values(one, depth + 1)
        elif "default" in one:
            yield from (indent + line for line in dump({name: one["default"]}).splitlines())
        else:
            yield f"{indent}# {name}: {allowed(one)}"
        if depth == 0:
            yield ""


def table(section: Schema, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Give one row for each value: its name, what it may be, its default, and what it does."""
    for name, one in section["properties"].items():
        if name in _HIDDEN:
            continue
        if "properties" in one:
            yield from table(one, f"{prefix}{name}.")
            continue
        default = f"`{json.dumps(one['default'])}`" if "default" in one else "the program's"
        yield f"{prefix}{name}", allowed(one), default, one["description"]


def allowed(one: Schema) -> str:
    """Say in a few words what a value may be."""
    if "enum" in one:
        return ", ".join(one["enum"])
    if one["type"] == "array":
        return f"a list of {_PLURALS[one['items']['type']]}"
    if one["type"] in {"integer", "number"} and "maximum" in one:
        return f"{one['minimum']} to {one['maximum']}"
    return str(_WORDS.get(one["type"], one["type"]))


_WORDS = {"object": "a mapping", "string": "text", "integer": "a number", "boolean": "true or false"}
_PLURALS = {"object": "mappings", "string": "texts", "integer": "numbers"}


def readme(schema: Schema, chart: dict[str, Any]) -> str:
    """Write the chart's README.md."""
    rows = "\n".join(
        f"| `{name}` | {shape} | {default} | {_cell(text)} |" for name, shape, default, text in table(schema)
    )
    decided = "\n".join(f"| `--{name}` | {what} |" for name, what in OF_THE_CHART.items())
    return f"""\
<!-- Written by `python -m charts.generate` from charts/generate/. -->
# mesh-signer's chart

{chart["description"]}

```console
helm install mesh-signer charts/mesh-signer --namespace cert-manager --create-namespace \\
  --set image.repository=YOUR-REGISTRY/mesh-signer
helm test mesh-signer --namespace cert-manager
```

Any namespace will do: it is the *cluster resource namespace*, in which the CA Secrets of ClusterIssuers are. Kubernetes must be
{chart["kubeVersion"].removesuffix("-0").removeprefix(">=").removesuffix(".0")} or newer. There is one mesh-signer in a cluster: a second release is refused, and the message names the first one.

The objects are those of the kustomizations in manifests/, from which the templates are written; a test compares the two for each
value. Nothing that an uninstall removes has a namespace or a CustomResourceDefinition in it, so CAs, issuers, Certificates and the
record of who owns which signer stay.

| what | how |
|---|---|
| upgrade | `helm upgrade`, with the same values; CRDs are upgraded too. Never `--reuse-values` over versions: new values would be missing |
| rollback | `helm rollback`. It brings the older CRDs back too: fields that only the newer ones have are no longer written |
| uninstall | `helm uninstall`. What stays is found again by a release of the same name in the same namespace; by another one with `--take-ownership` |
| move from kustomize | `helm install ... --take-ownership`, with the values that match your overlay |
| beside cert-manager | `--set besideCertManager=true --namespace cert-manager` |

## Values

A value that is wrong or unknown is refused with its path and what is allowed.

| value | what it may be | default | what it does |
|---|---|---|---|
{rows}

Options of `mesh-signer run` that are no settings, because something else says them:

| option | said by |
|---|---|
{decided}
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
