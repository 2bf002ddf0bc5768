"""What a restore does: an archive held against a cluster, step by step. Pure.

A uid of the archive's cluster stands for the object of that name in this one; whoever says --yes says so. A namespace
that is not there keeps the uid that it had, so that nobody else gets what is its.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from signer.api.certificate import CERTIFICATES
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.secret import SECRETS
from signer.certificates.well_known import SECRET_UID
from signer.commands.backups.archive import GUARDED, OWNERS, Archive, Json, Key, in_order, kept, resource_of

Deed = Literal["create", "adopt", "remember"]
Owner = tuple[str, str, str, str]
"""An object that others name as their owner: group, kind, namespace, name."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is there. `objects`: of the kinds that a backup has, by name; `owners`: the uids of what may be an owner."""

    namespaces: Mapping[str, str]
    objects: Mapping[Key, Json] = field(default_factory=dict, repr=False)
    owners: Mapping[Owner, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: `create` an object, `adopt` one that is there by its former uids, `remember` what a status had.

    `why` says for a person what it means.
    """

    deed: Deed
    key: Key
    why: str = ""

    def __str__(self) -> str:
        return f"{self.deed} {self.key}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`problems` are for a person to mend; `notes` are to be known. What is as it should be is only counted."""

    steps: tuple[Step, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    same: int


def uids(archive: Archive, cluster: Cluster) -> dict[str, str]:
    """Map each uid of the archive to that of the object of this name here, where both are known.

    What tenants write into their objects (owners, the uid of a Secret) speaks for itself alone: it never says what a uid of a
    namespace, of an object in the archive, or of a record of ours stands for.
    """
    own: dict[object, Key] = {}
    told: list[tuple[object, str]] = []
    for key, obj in archive.objects.items():
        own.update({uid: secret for secret, uid in _records(key, obj)})
        if key.kind == CERTIFICATES.kind:
            secret = cluster.objects.get(
                Key(SECRETS.kind, key.namespace, str((obj.get("spec") or {}).get("secretName")))
            )
            notes = obj["metadata"].get("annotations") or {}
            told += [(notes.get(SECRET_UID), str(secret["metadata"]["uid"]))] if secret is not None else []
        for one in _owners(obj):
            if (uid := cluster.owners.get(_owner(one, key.namespace))) is not None:
                told.append((one.get("uid"), uid))
    own.update({obj["metadata"].get("uid"): key for key, obj in archive.objects.items()})
    ours = own.keys() | set(archive.namespaces.values())
    found = {uid: now for uid, now in told if uid not in ours}
    found |= {uid: str(cluster.objects[key]["metadata"]["uid"]) for uid, key in own.items() if key in cluster.objects}
    found |= {uid: cluster.namespaces[name] for name, uid in archive.namespaces.items() if name in cluster.namespaces}
    return {uid: now for uid, now in found.items() if isinstance(uid, str) and uid}


def _records(key: Key, obj: Json) -> Iterator[tuple[Key, str]]:
    """The Secrets that a HostClaim says are ours, with their uids: they need not be in the archive themselves."""
    found = obj.get("status", {}).get("secrets") if key.kind == HOST_CLAIMS.kind else None
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and one.get("uid"):
            yield Key(SECRETS.kind, str(one.get("namespace", "")), str(one.get("name", ""))), str(one["uid"])


def here(obj: Json, known: Mapping[str, str], living: Container[str]) -> Json:
    """Return an object with each uid of another cluster's replaced by that of here, and without owners that are not here.

    The garbage collector removes what has an owner that does not exist.
    """
    found: Json = _replaced(obj, known)
    meta = found["metadata"]
    meta.pop("uid", None)
    owners = [one for one in _owners(found) if one.get("uid") in living]
    meta.pop("ownerReferences", None)
    return found | {"metadata": meta | ({"ownerReferences": owners} if owners else {})}


def _replaced(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, known) for one in value]
    return known.get(value, value) if isinstance(value, str) else value


def plan(archive: Archive, cluster: Cluster) -> Plan:
    """Hold an archive against a cluster."""
    known, living = uids(archive, cluster), alive(cluster)
    steps: list[Step] = []
    problems: list[str] = list(_missing(archive, cluster))
    notes: list[str] = []
    same = 0
    for key in in_order(archive.objects):
        stored, there = archive.objects[key], cluster.objects.get(key)
        if there is None:
            if key.namespace and key.namespace not in cluster.namespaces:
                problems.append(f"{key} is left out: namespace {key.namespace} is not there; make it and come again")
            else:
                steps.append(Step("create", key, _means(key, stored, cluster)))
            continue
        found = _against(key, stored, there, known, living)
        if isinstance(found, Step):
            steps.append(found)
        elif found:
            (problems if resource_of(key.kind) in (*OWNERS, SECRETS) else notes).append(found)
        else:
            same += 1
    return Plan(tuple(steps), tuple(problems), tuple(notes), same)


def alive(cluster: Cluster) -> set[str]:
    """Return the uids of what may be an owner here."""
    return {*cluster.owners.values(), *(str(one["metadata"]["uid"]) for one in cluster.objects.values())}


def _against(key: Key, stored: Json, there: Json, known: Mapping[str, str], living: Container[str]) -> Step | str:
    """Hold what is there against what was stored: a step, what is wrong in words, or "" where nothing is to be done."""
    resource = resource_of(key.kind)
    before = kept(resource, there)
    after = here(before, known, living)
    wanted = here(stored, known, living)
    if resource in OWNERS and after["spec"] != wanted["spec"]:
        have, had = (one["spec"].get("namespace") for one in (after, wanted))
        return (
            f"{key} belongs to namespace {have} here, and in the backup to {had}: it stays as it is; if the backup is right, "
            "release it (mesh-signer release) and come again"
        )
    if resource == SECRETS and after.get("data") != wanted.get("data"):
        return f"{key} holds other data here than in the backup: it stays as it is; if the backup is right, delete it and come again"
    if after["metadata"] != {name: one for name, one in before["metadata"].items() if name != "uid"} or (
        resource in OWNERS and after["spec"] != before["spec"]
    ):
        return Step("adopt", key, "it names what was in the other cluster")
    memory = remembered(after, wanted)
    if memory != before.get("status", {}):
        deed: Deed = "adopt" if resource in GUARDED else "remember"
        return Step(deed, key, f"status.{', status.'.join(sorted(memory))}")
    if after.get("spec") != wanted.get("spec"):
        return f"{key} has another spec here than in the backup, and stays as it is"
    return ""


def remembered(after: Json, wanted: Json) -> Json:
    """Return the status to have: what is there, and of the stored one what is not there."""
    found: Json = wanted.get("status", {}) | after.get("status", {})
    return found


def _missing(archive: Archive, cluster: Cluster) -> Iterator[str]:
    for one in archive.needs:
        key = Key(SECRETS.kind, one.namespace, one.name)
        if key not in archive.objects and key not in cluster.objects:
            yield f"{key} is missing ({one.use}): bring it back before mesh-signer starts, or a new one is made"


def _means(key: Key, stored: Json, cluster: Cluster) -> str:
    if resource_of(key.kind) not in OWNERS:
        return ""
    namespace = str(stored.get("spec", {}).get("namespace", ""))
    if namespace in cluster.namespaces:
        return f"it belongs to namespace {namespace}"
    return f"it is kept for namespace {namespace}, which is not there: come again when it is"


def _owners(obj: Json) -> list[Json]:
    found = obj["metadata"].get("ownerReferences")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _owner(reference: Json, namespace: str) -> Owner:
    group = str(reference.get("apiVersion", "")).rpartition("/")[0]
    return group, str(reference.get("kind", "")), namespace, str(reference.get("name", ""))
