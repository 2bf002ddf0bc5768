"""`mesh-signer restore`: brings back what `mesh-signer backup` wrote, and adopts what another tool brought back already.

Without --yes nothing is written. Each step is one or two writes, made in the order of the plan, and a second run goes on
where a first one was cut off.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from signer.api.gateway import API_GATEWAYS, GATEWAYS
from signer.api.ingress import INGRESSES
from signer.api.namespace import NAMESPACES
from signer.api.secret import SECRETS
from signer.commands.backups.archive import (
    GUARDED,
    KINDS,
    MOST_BYTES,
    RESTORED,
    Archive,
    Json,
    Key,
    UnreadableArchive,
    kept,
    key_of,
    read_archive,
    resource_of,
)
from signer.commands.backups.plan import Cluster, Owner, Plan, Step, alive, here, plan, remembered, uids
from signer.commands.backups.secrets import read_secrets
from signer.commands.checks.access import CONTROLLERS, SIGNER
from signer.commands.checks.examination import DEPLOYMENTS
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, run
from signer.commands.live import list_all
from signer.commands.output import JSON, TEXT, YAML, say, written
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError
from signer.kube.resource import Resource
from signer.settings.values import Settings

_SOURCES = (GATEWAYS, API_GATEWAYS, INGRESSES)
_SHOWN = 40
_DESCRIPTION = """\
Bring back what `mesh-signer backup` wrote, or adopt what another tool brought back: uids of namespaces, Gateways and Secrets
of the former cluster become those of this one. mesh-signer must not run meanwhile. Without --yes it is only told what would be
done. Exit status: 0 all is as in the backup, 1 something is to be done or missing, 2 it could not be determined.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("file", metavar="FILE", help="what `mesh-signer backup` wrote; - is standard input")
    parser.add_argument(
        "--yes", action="store_true", help="do it: the namespaces of now are those of then, by their names"
    )
    add_options(parser, TEXT, JSON, YAML)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    found: list[Archive] = []

    def check() -> None:
        try:
            found.append(read_archive(_text(options.file)))
        except (UnreadableArchive, UnicodeDecodeError) as error:
            why = "it is no text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise NotFoundOut(f"{options.file}: {why}") from None
        except OSError as error:
            raise NotFoundOut(f"{options.file}: {(error.strerror or 'it cannot be read').lower()}") from None

    async def work(client: ApiClient, settings: Settings) -> int:
        (archive,) = found
        running = await _running(client, settings.cluster_resource_namespace)
        if running and options.yes:
            raise NotFoundOut(f"{running}; nothing was done")
        cluster = await _look(client, archive)
        planned = plan(archive, cluster)
        running = hinders(planned, running)
        if not options.yes:
            plain = options.output == TEXT
            say(text(archive, planned, running) if plain else _document(planned, running, options, done=False))
            return status(planned, running)
        restoring = _Restoring(client, archive, cluster)
        for step in planned.steps:
            await restoring.take(step)
            if options.output == TEXT:
                say(f"done: {clean(str(step))}")
        if options.output != TEXT:
            say(_document(planned, running, options, done=True))
        for problem in planned.problems:
            say(f"mesh-signer restore: {clean(problem)}", file="stderr")
        return FOUND if planned.problems else FINE

    return run(options, work, check)


def _text(file: str) -> str:
    if file == "-":
        data = sys.stdin.buffer.read(MOST_BYTES + 1)
    else:
        with Path(file).open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UnreadableArchive(f"it has more than {MOST_BYTES >> 20} MiB")
    return data.decode("utf-8")


async def _running(client: ApiClient, namespace: str) -> str:
    """Say that mesh-signer runs, "" when it does not: it would decide anew while owners are on their way back."""
    found = await list_all(client, DEPLOYMENTS, namespace)
    if found.problem:
        raise NotFoundOut(found.problem)
    names = [
        str(one["metadata"]["name"])
        for one in found.items
        if one["metadata"]["name"] in {SIGNER, CONTROLLERS} and _replicas(one)
    ]
    if not names:
        return ""
    return (
        f"mesh-signer runs here: first kubectl -n {namespace} scale deployment {' '.join(sorted(names))} --replicas=0"
    )


def _replicas(deployment: Json) -> bool:
    wanted, there = deployment.get("spec") or {}, deployment.get("status") or {}
    return bool(wanted.get("replicas", 1) or there.get("replicas"))


async def _look(client: ApiClient, archive: Archive) -> Cluster:
    """Read what is there of all that the archive speaks of. Raises NotFoundOut."""
    kinds = [one for one in KINDS if one != SECRETS]
    spaces, *lists = await asyncio.gather(*(list_all(client, one) for one in (NAMESPACES, *kinds, *_SOURCES)))
    if problem := next((one.problem for one in (spaces, *lists) if one.problem), ""):
        raise NotFoundOut(problem)
    for kind, found in zip(kinds, lists, strict=False):
        if found.absent:
            raise NotFoundOut(f"the CustomResourceDefinition {kind} is not installed: first apply manifests/crds")
    objects = {key_of(obj): obj for found in lists[: len(kinds)] for obj in found.items}
    owners: dict[Owner, str] = {}
    for kind, found in zip(_SOURCES, lists[len(kinds) :], strict=True):
        for obj in found.items:
            meta = obj["metadata"]
            owners[kind.group, kind.kind, meta.get("namespace", ""), meta["name"]] = meta["uid"]
    named = {(one.namespace, one.name) for one in archive.needs}
    named |= {(key.namespace, key.name) for key in archive.objects if key.kind == SECRETS.kind}
    for secret in await read_secrets(client, sorted(named)):
        objects[key_of(secret)] = secret
    return Cluster({str(one["metadata"]["name"]): str(one["metadata"]["uid"]) for one in spaces.items}, objects, owners)


class _Restoring:
    """Takes the steps of a plan one after the other, and knows the uids of what it made."""

    def __init__(self, client: ApiClient, archive: Archive, cluster: Cluster) -> None:
        self._client = client
        self._archive = archive
        self._cluster = cluster
        self._known = uids(archive, cluster)
        self._living = alive(cluster)

    async def take(self, step: Step) -> None:
        """Take one step. Raises NotFoundOut with the step that was stopped."""
        try:
            made = await self._take(step)
        except ApiError as error:
            raise NotFoundOut(f"{step.deed} {step.key}: {error}; a second run goes on from here") from None
        uid = str(made["metadata"]["uid"])
        self._living.add(uid)
        if former := self._archive.objects[step.key]["metadata"].get("uid"):
            self._known[str(former)] = uid

    async def _take(self, step: Step) -> Json:
        client, key, resource = self._client, step.key, resource_of(step.key.kind)
        wanted = self._marked(resource, here(self._archive.objects[key], self._known, self._living))
        there = self._cluster.objects.get(key)
        if there is None:
            made = await client.create(resource, _without_status(wanted))
            return await _remember(client, resource, made, wanted.get("status", {}))
        after = here(kept(resource, there), self._known, self._living)
        status = remembered(after, wanted)
        if step.deed == "remember":
            return await _remember(client, resource, there, status)
        meta = there["metadata"]
        if resource in GUARDED:
            await client.delete(resource, key.name, uid=meta["uid"], resource_version=meta["resourceVersion"])
            made = await client.create(resource, _without_status(self._marked(resource, after)))
            return await _remember(client, resource, made, status)
        told = {name: after["metadata"].get(name) for name in ("annotations", "ownerReferences")}
        body = {"metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], **told}}
        made = await client.patch(resource, key.name, body, namespace=key.namespace or None)
        return await _remember(client, resource, made, status)

    def _marked(self, resource: Resource, obj: Json) -> Json:
        """Say on what only mesh-signer writes that it comes from a backup: the admission policies ask for that."""
        if resource not in GUARDED:
            return obj
        meta = obj["metadata"]
        notes = {**meta.get("annotations", {}), RESTORED: self._archive.made_at}
        return {**obj, "metadata": {**meta, "annotations": notes}}


def _without_status(obj: Json) -> Json:
    return {name: one for name, one in obj.items() if name != "status"}


async def _remember(client: ApiClient, resource: Resource, there: Json, status: Json) -> Json:
    if not status:
        return there
    meta = there["metadata"]
    body = {"metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}, "status": status}
    return await client.patch(
        resource, meta["name"], body, namespace=meta.get("namespace") or None, subresource="status"
    )


def hinders(planned: Plan, running: str) -> str:
    """That mesh-signer runs is in the way of what is to be written, and of nothing else."""
    return running if planned.steps else ""


def status(planned: Plan, running: str) -> int:
    """Return the exit status of a look: 1 for each PROBLEM, and while there is something to be done."""
    return FOUND if planned.steps or planned.problems or running else FINE


def text(archive: Archive, planned: Plan, running: str) -> str:
    """Tell a person what a restore would do; `running` as `hinders` returns it."""
    lines = [f"a backup of {archive.made_at} by {archive.made_by}: {len(archive.objects)} objects"]
    lines += [f"PROBLEM: {clean(one)}" for one in (*planned.problems, *([running] if running else ()))]
    lines += [clean(str(one)) for one in planned.steps[:_SHOWN]]
    if len(planned.steps) > _SHOWN:
        lines.append(f"and {len(planned.steps) - _SHOWN} more (-o json has all)")
    lines += [f"note: {clean(one)}" for one in planned.notes]
    lines.append(f"{planned.same} objects are as they should be; {len(planned.steps)} steps are to be made")
    if planned.steps:
        lines.append(
            "nothing was done: --yes does it, and says that the namespaces of now are those of then, by their names"
        )
    return "\n".join(lines)


def _document(planned: Plan, running: str, options: argparse.Namespace, *, done: bool) -> str:
    def named(key: Key) -> dict[str, str]:
        return {"kind": key.kind, "namespace": key.namespace, "name": key.name}

    document = {
        "steps": [{"deed": one.deed, "object": named(one.key), "why": one.why} for one in planned.steps],
        "problems": [*planned.problems, *([running] if running else ())],
        "notes": list(planned.notes),
        "same": planned.same,
        "done": done,
    }
    return written(document, options.output)
