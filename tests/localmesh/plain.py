"""What kubectl does, by plain requests: a kubectl takes fifty times the CPU, and the tests apply and get by the thousand.

`apply` does what `kubectl apply --server-side --force-conflicts` does: in the order of the text, under kubectl's name, with
unknown fields refused. `get` gives what `kubectl get ARGS -o json` prints. Whatever is not plain (a refusal, a kind that is
not known, a name of several kinds, other flags, an object that `kubectl apply` without --server-side made, text that YAML
reads as dates) is kubectl's own to do, and to put into words.

Synchronous; what kinds there are is kept for each cluster and asked again when one is missing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import yaml

from tests.localmesh.api import APPLY, Api, Json, Refused

_CLIENT_SIDE = "kubectl-client-side-apply"
_SUFFIXES = {".yaml", ".yml", ".json"}
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class NotPlain(Exception):
    """It is kubectl's to do."""


class NotThere(Exception):
    """There is no such object; in the API server's words."""


class Kind(NamedTuple):
    """A kind that is served: its apiVersion, its name in paths, and whether its objects have a namespace."""

    version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str) -> str:
        """The collection's path; `namespace` "" is all of them."""
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        return (
            f"{root}/namespaces/{namespace}/{self.plural}" if self.namespaced and namespace else f"{root}/{self.plural}"
        )


@dataclass
class Kinds:
    """What a cluster serves, as far as was asked."""

    by_kind: dict[tuple[str, str], Kind] = field(default_factory=dict)
    by_name: dict[str, set[Kind]] = field(default_factory=dict)

    def of(self, api: Api, version: str, kind: str) -> Kind:
        """The kind of an object."""
        if (version, kind) not in self.by_kind:
            self._ask(api)
        return self.by_kind[version, kind]

    def named(self, api: Api, name: str) -> Kind:
        """The kind of a name on kubectl's command line."""
        if name.lower() not in self.by_name:
            self._ask(api)
        found = self.by_name.get(name.lower(), set())
        if len(found) != 1:
            raise NotPlain(name)
        return next(iter(found))

    def _ask(self, api: Api) -> None:
        self.by_name.clear()
        for root in ("/api", "/apis"):
            for group in api.call("GET", root, accept=_DISCOVERY)["items"]:
                self._note(group["metadata"].get("name", ""), group["versions"])

    def _note(self, group: str, versions: Sequence[Json]) -> None:
        for place, version in enumerate(versions):
            for one in version.get("resources", ()):
                if not one.get("responseKind", {}).get("kind"):
                    continue
                name = f"{group}/{version['version']}" if group else version["version"]
                kind = Kind(name, one["responseKind"]["kind"], one["resource"], one["scope"] == "Namespaced")
                self.by_kind[name, kind.kind] = kind
                if place:
                    continue  # a name means the first version of its group
                for word in (
                    kind.plural,
                    one.get("singularResource", ""),
                    kind.kind.lower(),
                    *one.get("shortNames", ()),
                ):
                    if word:
                        self.by_name.setdefault(word, set()).add(kind)
                        self.by_name.setdefault(f"{word}.{group}", set()).add(kind)


def apply(api: Api, what: str | Path, kinds: Kinds) -> None:
    """Apply a YAML text, a file, or the files of a folder. Raises NotPlain, OSError, HTTPException."""
    try:
        for one in list(_documents(what)):
            kind = kinds.of(api, one["apiVersion"], one["kind"])
            metadata = one["metadata"]
            path = f"{kind.path(metadata.get('namespace', 'default'))}/{quote(metadata['name'])}"
            flags = "fieldManager=kubectl&force=true&fieldValidation=Strict"
            made = api.call("PATCH", f"{path}?{flags}", one, kind=APPLY)
            if any(entry["manager"] == _CLIENT_SIDE for entry in made["metadata"].get("managedFields", [])):
                raise NotPlain
    except (Refused, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise NotPlain from error


def _documents(what: str | Path) -> Iterator[Json]:
    if isinstance(what, Path):
        files = sorted(one for one in what.iterdir() if one.suffix in _SUFFIXES) if what.is_dir() else [what]
        for file in files:
            yield from _documents(file.read_text("utf-8"))
        return
    for one in _read(what):
        if one is not None:
            yield from one["items"] if one["kind"] == "List" else [one]


def _read(text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text)]
        except ValueError:
            pass  # several, or YAML's own braces
    return list(yaml.load_all(text, yaml.CSafeLoader))


def get(api: Api, args: Sequence[str], kinds: Kinds) -> Json:
    """One object, or a List: KIND[,KIND] [NAME] [-n NAMESPACE | -A]. Raises NotThere, NotPlain, OSError, HTTPException."""
    words, namespace = list(args), "default"
    if "-A" in words:
        words.remove("-A")
        namespace = ""
    if "-n" in words[:-1]:
        at = words.index("-n")
        namespace = words[at + 1]
        del words[at : at + 2]
    if not 1 <= len(words) <= 2 or any(one.startswith("-") or "/" in one for one in words):
        raise NotPlain
    try:
        asked = [kinds.named(api, name) for name in words[0].split(",")]
        if len(words) == 2:
            (kind,) = asked
            return _shown(api.get(f"{kind.path(namespace)}/{quote(words[1])}"))
        items = [_shown(one, kind) for kind in asked for one in api.get(kind.path(namespace))["items"]]
    except Refused as error:
        if error.code == 404 and len(words) == 2:
            raise NotThere(error.message) from error
        raise NotPlain from error
    except (KeyError, ValueError) as error:
        raise NotPlain from error
    return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}


def _shown(one: Json, kind: Kind | None = None) -> Json:
    one["metadata"].pop("managedFields", None)
    return one if kind is None else {"apiVersion": kind.version, "kind": kind.kind} | one
