"""How a dns01 solver's fields are read, whatever the provider: texts, and entries of Secrets. Pure.

All that is wrong is added to `problems`, each with its field, so that it can be told at once.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from signer.api.names import is_subdomain
from signer.api.text import shown

_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)


class SecretEntry(NamedTuple):
    """Name and key of a Secret's entry. It lies where the issuer's Secrets lie."""

    name: str
    key: str


def secret_entry(ref: Any, place: str, problems: list[str]) -> SecretEntry:
    """Read a reference to a Secret's entry."""
    if not isinstance(ref, dict) or not all(isinstance(ref.get(name, ""), str) for name in ("name", "key")):
        problems.append(f"{place}: name and key of a Secret are expected")
        return SecretEntry("", "")
    name, key = ref.get("name", ""), ref.get("key", "")
    if not is_subdomain(name):
        problems.append(f"{place}.name: {shown(name)} is not a valid Secret name")
    if not _SECRET_KEY.fullmatch(key):
        problems.append(f"{place}.key: {shown(key)} is not a valid Secret key")
    return SecretEntry(name, key)


def unknown(settings: Mapping[str, Any], known: Collection[str], place: str) -> list[str]:
    """Tell each field that a provider does not have."""
    return [f"{place}.{shown(str(name))[1:-1]}: no such field" for name in settings if name not in known]
