"""What a backup is: which objects, what is kept of each, and the stream of YAML that they are written as. Pure.

An archive is read within bounds: it comes from a disk that somebody else may write to.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from signer.api.certificate import CERTIFICATES
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS
from signer.api.secret import SECRETS
from signer.api.signerbinding import SIGNER_BINDINGS
from signer.api.signerpolicy import SIGNER_POLICIES
from signer.api.signerrecord import SIGNER_RECORDS
from signer.api.text import shown
from signer.kube.resource import Resource
from signer.yaml_weight import TooHeavy, weigh

Json = dict[str, Any]
API_VERSION, KIND = "backup.mesh-signer.dev/v1", "Backup"
"""Of the first document: no API server serves it, so `kubectl apply` refuses an archive that is taken for manifests."""
KINDS: tuple[Resource, ...] = (
    EDGE_POLICIES,
    SIGNER_POLICIES,
    CLUSTER_ISSUERS,
    ISSUERS,
    SECRETS,
    SIGNER_RECORDS,
    SIGNER_BINDINGS,
    HOST_CLAIMS,
    CERTIFICATES,
)
"""In the order in which they come back: what an owner and a Certificate rest on is there before them."""
_PLACES = {one.kind: (place, one) for place, one in enumerate(KINDS)}
OWNERS = (SIGNER_BINDINGS, HOST_CLAIMS)
"""Who owns what; their specs never change once they are written."""
GUARDED = (*OWNERS, SIGNER_RECORDS)
"""What only mesh-signer writes, by our admission policies, and who restores: anew, and with RESTORED."""
RESTORED = "mesh-signer.dev/restored-from"
"""The annotation that says so, with the time of the backup."""
_STATUS: Mapping[Resource, tuple[str, ...]] = {
    SIGNER_POLICIES: ("namespaceUIDs",),
    SIGNER_BINDINGS: ("claimEndedTime", "lastIssuedTime"),
    SIGNER_RECORDS: ("certificates", "meshConfigs", "givenOut", "givenOutUntilTime"),
    HOST_CLAIMS: ("unusedSince", "secrets", "issuances"),
    CERTIFICATES: ("revision",),
}
"""What of a status cannot be found out again."""
_BODY = ("type", "data", "immutable", "spec")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MOST_BYTES = 256 << 20
_MOST_VALUES, _MOST_DEPTH = 20_000_000, 64


class UnreadableArchive(ValueError):
    """The text is no archive; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names one object; `namespace` is "" where its kind has none."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Need:
    """A Secret that an object rests on: without it a new key is made, or an account, or a certificate."""

    namespace: str
    name: str
    use: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup. `namespaces`: the uid that each had; `needs`: Secrets, whether they are among the `objects` or not."""

    made_at: str
    made_by: str
    secrets: bool
    namespaces: Mapping[str, str]
    needs: tuple[Need, ...] = ()
    objects: Mapping[Key, Json] = field(default_factory=dict, repr=False)


def key_of(obj: Json) -> Key:
    """Name an object."""
    meta = obj["metadata"]
    return Key(str(obj["kind"]), str(meta.get("namespace") or ""), str(meta["name"]))


def resource_of(kind: str) -> Resource:
    """Return the resource of a kind that is kept. Raises KeyError."""
    return _PLACES[kind][1]


def in_order(keys: Iterable[Key]) -> list[Key]:
    """Sort objects as they come back."""
    return sorted(keys, key=lambda key: (_PLACES[key.kind][0], key))


def kept(resource: Resource, obj: Json) -> Json:
    """Return what of an object goes into a backup: what people wrote, its uid, and what of its status is a memory."""
    meta = obj.get("metadata") or {}
    found: Json = {name: meta[name] for name in ("name", "namespace", "uid") if meta.get(name)}
    annotations = {name: text for name, text in (meta.get("annotations") or {}).items() if name != _APPLIED}
    found |= {"labels": meta["labels"]} if meta.get("labels") else {}
    found |= {"annotations": annotations} if annotations else {}
    found |= {"ownerReferences": meta["ownerReferences"]} if meta.get("ownerReferences") else {}
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": found}
    body |= {name: obj[name] for name in _BODY if obj.get(name) is not None}
    status = obj.get("status") if isinstance(obj.get("status"), dict) else {}
    memory = {name: status[name] for name in _STATUS.get(resource, ()) if status and status.get(name)}
    return body | ({"status": memory} if memory else {})


def needs_of(objects: Iterable[Json], cluster_resource_namespace: str) -> tuple[Need, ...]:
    """Name the Secrets that issuers and Certificates rest on, each once, by its first use."""
    found: dict[tuple[str, str], Need] = {}
    for obj in objects:
        namespace = str(obj["metadata"].get("namespace") or cluster_resource_namespace)
        for name, use in _named(obj):
            found.setdefault((namespace, name), Need(namespace, name, use))
    return tuple(found[key] for key in sorted(found))


def _named(obj: Json) -> Iterator[tuple[str, str]]:
    key, spec = key_of(obj), obj.get("spec") or {}
    if key.kind in {ISSUERS.kind, CLUSTER_ISSUERS.kind}:
        ca, acme = spec.get("ca"), spec.get("acme")
        if isinstance(ca, dict) and isinstance(ca.get("secretName"), str):
            yield ca["secretName"], f"the CA of {key}"
        for name in _references(acme):
            yield name, f"{key}, which speaks ACME"
    elif key.kind == CERTIFICATES.kind:
        if isinstance(spec.get("secretName"), str):
            yield spec["secretName"], f"{key}"
        for name in _references(spec.get("keystores")):
            yield name, f"a password of {key}"


def _references(value: Any) -> Iterator[str]:
    """Find the names in all fields whose names end in SecretRef, however deep."""
    if isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if str(name).endswith("SecretRef") and isinstance(one, dict) and isinstance(one.get("name"), str):
                yield one["name"]
            else:
                yield from _references(one)


def write_archive(archive: Archive) -> str:
    """Write an archive as a stream of YAML documents."""
    head = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "madeAt": archive.made_at,
        "madeBy": archive.made_by,
        "secrets": archive.secrets,
        "namespaces": dict(sorted(archive.namespaces.items())),
        "needs": [{"namespace": one.namespace, "name": one.name, "use": one.use} for one in archive.needs],
    }
    text: str = yaml.dump_all(
        [head, *(archive.objects[key] for key in in_order(archive.objects))],
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        allow_unicode=True,
        width=120,
        explicit_start=True,
    )
    return text


def read_archive(text: str) -> Archive:
    """Read an archive. Raises UnreadableArchive."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        weigh(text, loader, most_values=_MOST_VALUES, most_depth=_MOST_DEPTH)
        documents = [one for one in yaml.load_all(text, Loader=loader) if one is not None]
    except TooHeavy as error:
        raise UnreadableArchive(f"it is no backup: it {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise UnreadableArchive(f"{line}it is not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UnreadableArchive("it is not valid YAML") from None
    head = documents[0] if documents else None
    if not isinstance(head, dict) or head.get("kind") != KIND:
        raise UnreadableArchive("it is no backup: `mesh-signer backup` begins with a document of the kind Backup")
    if head.get("apiVersion") != API_VERSION:
        raise UnreadableArchive(
            f"apiVersion: {shown(str(head.get('apiVersion')))} is not {API_VERSION}: it was made by another version"
        )
    objects: dict[Key, Json] = {}
    for number, one in enumerate(documents[1:], 2):
        key = _checked(one, f"document {number}")
        if key in objects:
            raise UnreadableArchive(f"document {number}: {key} is there twice")
        objects[key] = one
    return Archive(
        str(head.get("madeAt", "")),
        str(head.get("madeBy", "")),
        head.get("secrets") is True,
        _texts(head.get("namespaces")),
        tuple(map(_need, _list(head.get("needs")))),
        objects,
    )


def _checked(obj: Any, where: str) -> Key:
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise UnreadableArchive(f"{where}: it is no object of Kubernetes: metadata.name is missing")
    resource = next((one for one in KINDS if one.kind == obj.get("kind")), None)
    if resource is None or obj.get("apiVersion") != resource.api_version:
        what = shown(f"{obj.get('apiVersion')} {obj.get('kind')}")
        raise UnreadableArchive(f"{where}: {what} is none of the kinds that a backup has")
    if resource.namespaced != isinstance(meta.get("namespace"), str):
        raise UnreadableArchive(f"{where}: metadata.namespace is {'missing' if resource.namespaced else 'not for it'}")
    for name in ("spec", "status", "data"):
        if not isinstance(obj.get(name, {}), dict):
            raise UnreadableArchive(f"{where}: {name} is not an object")
    try:
        resource.path(meta.get("namespace"), meta["name"])
    except ValueError as error:
        raise UnreadableArchive(f"{where}: {error}") from None
    return key_of(obj)


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for pair in value.items() for one in pair):
        raise UnreadableArchive("namespaces: it must give the uid of each by its name")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableArchive("needs: it must be a list of Secrets")
    return value


def _need(value: Any) -> Need:
    fields = ("namespace", "name", "use")
    if not isinstance(value, dict) or not all(isinstance(value.get(one), str) for one in fields):
        raise UnreadableArchive("needs: each must have namespace, name and use")
    return Need(*(value[one] for one in fields))
