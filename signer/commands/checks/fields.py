"""Whether the definitions that are stored know the fields that we read and write: of what one does not know, nothing is kept. Pure.

What is shipped stands in shipped_fields.json, which `python -m manifests.generate` writes from the source of the CRDs.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from signer.api.crd import ours
from signer.commands.checks.facts import at, items, name_of
from signer.commands.live import Json, Listing

_SHIPPED = Path(__file__).parent / "shipped_fields.json"
_OWN_GROUP = ".mesh-signer.dev"
_OPEN = "x-kubernetes-preserve-unknown-fields"


@functools.cache
def shipped_fields() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return the fields of spec and status that we ship, by the definition's name and version."""
    found = json.loads(_SHIPPED.read_text("utf-8"))
    return {name: {version: tuple(fields) for version, fields in each.items()} for name, each in found.items()}


def lacking(crds: Listing) -> dict[str, tuple[str, ...]]:
    """Name the fields that definitions of ours, as they are stored, do not know, by the definition's name."""
    found = {}
    for crd in crds.items:
        versions = {str(one.get("name")): one for one in items(crd, "spec", "versions")}
        # Of cert-manager's kinds its own definitions are as good as ours.
        mine = ours(crd) or name_of(crd).endswith(_OWN_GROUP)
        shipped = shipped_fields().get(name_of(crd), {}) if mine else {}
        if unknown := [
            field
            for version, fields in shipped.items()
            if version in versions
            for field in fields
            if not _knows(versions[version], field)
        ]:
            found[name_of(crd)] = tuple(unknown)
    return found


def _knows(version: Json, field: str) -> bool:
    part, _, name = field.partition(".")
    schema = at(version, "schema", "openAPIV3Schema")
    for step in ("properties", part):
        if at(schema, _OPEN) is True:
            return True
        schema = at(schema, step)
    return at(schema, _OPEN) is True or at(schema, "properties", name) is not None
