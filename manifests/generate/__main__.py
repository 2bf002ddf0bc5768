"""Writes the CRDs below manifests/crds, or with --check says which of them are out of date."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from manifests.generate.crd import Kind, acme_kinds, definition, kinds, mesh_kinds

FOLDER = Path(__file__).parent.parent / "crds"
MESH_FOLDER = "mesh-signer"
"""Below FOLDER: our own kinds, which are applied beside cert-manager's CRDs too."""
HEADER = "# Written by `python -m manifests.generate`; change the source in manifests/generate/ instead.\n"


class _Plain(yaml.SafeDumper):
    """No anchors: a reader, and a diff, should see each schema where it stands."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def render(crd: Mapping[str, Any]) -> str:
    """One CustomResourceDefinition as the text of its file."""
    return HEADER + yaml.dump(dict(crd), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """File name below FOLDER -> text of every generated file."""
    theirs = {_file(kind): kind for kind in (*kinds(), *acme_kinds())}
    ours = {f"{MESH_FOLDER}/{_file(kind)}": kind for kind in mesh_kinds()}
    return {name: render(definition(kind)) for name, kind in (theirs | ours).items()}


def _file(kind: Kind) -> str:
    return f"{kind.resource.group}_{kind.resource.plural}.yaml"


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of the files in `folder` that differ from what the source gives."""
    return [
        name
        for name, text in files().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 1 when --check finds a difference."""
    if "--check" in arguments:
        names = stale()
        for name in names:
            sys.stderr.write(f"{FOLDER.name}/{name} is out of date: run python -m manifests.generate\n")
        return 1 if names else 0
    (FOLDER / MESH_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
