"""Writes the CRDs, the dashboard, and the admission policies, rights and fields of CRDs as `doctor` knows them; --check says what is out of date."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from manifests.generate.crd import Kind, acme_kinds, definition, kinds, mesh_kinds
from manifests.generate.dashboard import FILE, config_map

FOLDER = Path(__file__).parent.parent / "crds"
MESH_FOLDER = "mesh-signer"
"""Below FOLDER: our own kinds, which are applied beside cert-manager's CRDs too."""
ADMISSION = FOLDER.parent.parent / "signer/commands/checks/shipped_admission.json"
FIELDS = ADMISSION.with_name("shipped_fields.json")
RIGHTS = ADMISSION.with_name("shipped_rights.json")
DASHBOARD = FOLDER.parent / FILE
HEADER = "# Written by `python -m manifests.generate`; change the source in manifests/generate/ instead.\n"


class _Plain(yaml.SafeDumper):
    """No anchors: a reader, and a diff, should see each schema where it stands."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


class _Blocks(_Plain):
    """Texts of several lines as such."""


_Blocks.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


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


def admission() -> str:
    """Return the text of ADMISSION: every admission policy and binding of the manifests, and its file."""
    top = FOLDER.parent
    found = [
        {
            "kind": obj["kind"],
            "name": obj["metadata"]["name"],
            "file": f"{top.name}/{path.relative_to(top)}",
            "spec": obj["spec"],
        }
        for path in sorted(top.rglob("*.yaml"))
        if "AdmissionPolicy" in (text := path.read_text("utf-8"))
        for obj in yaml.safe_load_all(text)
        if isinstance(obj, dict) and "AdmissionPolicy" in str(obj.get("kind"))
    ]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def rights() -> str:
    """Return the text of RIGHTS: each role of the manifests that is bound to an account of ours, with all that it allows.

    Examples are the user's own. A binding's role is in its file, or, as that of istio.yaml, is bound twice.
    """
    top = FOLDER.parent
    found = []
    for path in sorted(path for part in ("base", "components") for path in (top / part).rglob("*.yaml")):
        listed = [one for one in yaml.safe_load_all(path.read_text("utf-8")) if isinstance(one, dict)]
        roles = {
            (one["kind"], one["metadata"]["name"]): one for one in listed if one.get("kind") in {"Role", "ClusterRole"}
        }
        for binding in listed:
            if binding.get("kind") not in {"RoleBinding", "ClusterRoleBinding"}:
                continue
            role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
            parts = path.relative_to(top).parts
            found += [
                {
                    "component": parts[1] if parts[0] == "components" else "",
                    "name": role["metadata"]["name"],
                    "file": f"{top.name}/{path.relative_to(top)}",
                    "account": subject["name"],
                    "namespace": binding["metadata"].get("namespace", ""),
                    "rules": role["rules"],
                }
                for subject in binding["subjects"]
                if subject["kind"] == "ServiceAccount"
            ]
    return json.dumps(found, indent=1) + "\n"


def fields() -> str:
    """Return the text of FIELDS: the fields of spec and status of each CRD, by its name and version."""
    found = {}
    for kind in (*kinds(), *acme_kinds(), *mesh_kinds()):
        crd = definition(kind)
        found[crd["metadata"]["name"]] = {
            version["name"]: [
                f"{part}.{name}"
                for part in ("spec", "status")
                for name in version["schema"]["openAPIV3Schema"]["properties"].get(part, {}).get("properties", {})
            ]
            for version in crd["spec"]["versions"]
        }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def dashboard() -> str:
    """Return the text of the dashboard's file."""
    return HEADER + yaml.dump(config_map(), Dumper=_Blocks, sort_keys=False, width=120, allow_unicode=True)


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
        if not ADMISSION.is_file() or ADMISSION.read_text("utf-8") != admission():
            names.append(ADMISSION.name)
        if not RIGHTS.is_file() or RIGHTS.read_text("utf-8") != rights():
            names.append(RIGHTS.name)
        if not FIELDS.is_file() or FIELDS.read_text("utf-8") != fields():
            names.append(FIELDS.name)
        if not DASHBOARD.is_file() or DASHBOARD.read_text("utf-8") != dashboard():
            names.append(DASHBOARD.name)
        for name in names:
            sys.stderr.write(f"{FOLDER.name}/{name} is out of date: run python -m manifests.generate\n")
        return 1 if names else 0
    (FOLDER / MESH_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, "utf-8")
    ADMISSION.write_text(admission(), "utf-8")
    RIGHTS.write_text(rights(), "utf-8")
    FIELDS.write_text(fields(), "utf-8")
    DASHBOARD.write_text(dashboard(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
