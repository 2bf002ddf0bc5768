"""`mesh-signer leave`: hands a cluster back to cert-manager.

Without --yes nothing is written. Nothing of ours works any more before the first policy of the wall goes; whatever cuts it off,
a second run goes on from there.
"""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from signer.api.challenge import CHALLENGES
from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS, OURS_ANNOTATION
from signer.api.labels import PART_OF
from signer.commands.checks.examination import DEPLOYMENTS
from signer.commands.checks.facts import name_of
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, patience, run
from signer.commands.handover import POLICIES, Found, Plan, Step, leaving, our_lease, working
from signer.commands.live import Json, list_all
from signer.commands.output import JSON, TEXT, YAML, say, written
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, NotFound
from signer.kube.leases.own import monotonic
from signer.kube.leases.record import LEASES, LONGEST_DURATION, Sighting, sight
from signer.kube.resource import Resource
from signer.settings.values import Settings

_WAIT, _EVERY_SECONDS = "90s", 1.0
_NEXT = """\
next: install cert-manager, with its definitions over ours, and remove what is left of mesh-signer (docs/setups/cert-manager.md).
From now on nobody refuses a workload that asks for another tenant's CA."""
_DESCRIPTION = """\
Hand the cluster back to cert-manager: stop mesh-signer, delete its admission policies, which refuse what cert-manager writes, and
take its mark off the definitions. Certificates, issuers, Secrets and the definitions themselves stay. Without --yes it is only told
what would be done. Exit status: 0 nothing is left to do, 1 something is, 2 it could not be done.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument(
        "--wait",
        default=_WAIT,
        metavar="DURATION",
        help=f"how long to wait until mesh-signer's Pods have ended (default {_WAIT})",
    )
    add_options(parser, TEXT, JSON, YAML)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(client: ApiClient, settings: Settings) -> int:
        namespace = settings.cluster_resource_namespace
        planned = leaving(await _look(client, namespace), namespace)
        plain = options.output == TEXT
        if not options.yes:
            say(text(planned) if plain else written(_document(planned, done=False), options.output))
            return FOUND if planned.steps or planned.problems else FINE
        if planned.problems:
            raise NotFoundOut(f"{'; '.join(planned.problems)}; nothing was done")
        stops = [one for one in planned.steps if one.deed == "stop"]
        for step in stops:
            await _take(client, step, plain=plain)
        await _until_quiet(client, namespace, patience(options.wait, "--wait"))
        for step in planned.steps[len(stops) :]:
            await _take(client, step, plain=plain)
        for note in planned.notes:
            say(f"mesh-signer leave: {clean(note)}", file="stderr")
        say(_NEXT if plain else written(_document(planned, done=True), options.output))
        return FINE

    return run(options, work, lambda: patience(options.wait, "--wait"))


async def _look(client: ApiClient, namespace: str) -> Found:
    """Read what is there. Raises NotFoundOut for what may not be read: what is not seen would stay."""
    kinds: tuple[Resource, ...] = (*POLICIES, *POLICIES.values(), CUSTOM_RESOURCE_DEFINITIONS, CHALLENGES)
    deployments, *others = await asyncio.gather(
        list_all(client, DEPLOYMENTS, namespace), *(list_all(client, one) for one in kinds)
    )
    if problem := next((one.problem for one in (deployments, *others) if one.problem), ""):
        raise NotFoundOut(problem)
    found = {kind: one.items for kind, one in zip(kinds, others, strict=True)}
    admission = {kind: found[kind] for kind in (*POLICIES, *POLICIES.values())}
    return Found(deployments.items, admission, found[CUSTOM_RESOURCE_DEFINITIONS], found[CHALLENGES])


async def _until_quiet(client: ApiClient, namespace: str, seconds: float) -> None:
    """Wait until no Lease of ours is renewed; one that was left behind runs out meanwhile. Raises NotFoundOut."""
    seen: dict[str, Sighting] = {}
    until = monotonic() + seconds
    while True:
        found = await list_all(client, LEASES, namespace)
        if found.problem:
            raise NotFoundOut(found.problem)
        now = monotonic()
        seen = {
            f"{namespace}/{name_of(one)}": sight(one, seen.get(f"{namespace}/{name_of(one)}"), now, LONGEST_DURATION)
            for one in found.items
            if our_lease(one)
        }
        left = working(seen.items(), now)
        if not left:
            return
        if now >= until:
            raise NotFoundOut(
                f"mesh-signer still works here ({', '.join(left)}): its admission policies stay until it has ended; a second run "
                "goes on from here"
            )
        await asyncio.sleep(_EVERY_SECONDS)


async def _take(client: ApiClient, step: Step, *, plain: bool) -> None:
    """Take one step; what is gone by now is done. Raises NotFoundOut with the step that was stopped."""
    try:
        if step.deed == "delete":
            await client.delete(step.resource, step.name, uid=step.uid)
        else:
            await client.patch(step.resource, step.name, _body(step), namespace=step.namespace or None)
    except NotFound:
        pass
    except ApiError as error:
        raise NotFoundOut(f"{step}: {error}; a second run goes on from here") from None
    if plain:
        say(f"done: {clean(str(step))}")


def _body(step: Step) -> Json:
    metadata: dict[str, Any] = {"uid": step.uid}
    if step.deed == "stop":
        return {"metadata": metadata, "spec": {"replicas": 0}}
    return {"metadata": metadata | {"annotations": {OURS_ANNOTATION: None}, "labels": dict.fromkeys(PART_OF)}}


def text(planned: Plan) -> str:
    """Tell a person what would be done."""
    lines = [f"PROBLEM: {clean(one)}" for one in planned.problems]
    lines += [clean(str(one)) for one in planned.steps]
    lines += [f"note: {clean(one)}" for one in planned.notes]
    if not planned.steps:
        return "\n".join([*lines, "nothing of mesh-signer is in cert-manager's way"])
    return "\n".join([*lines, f"{len(planned.steps)} steps; nothing was done: --yes does it"])


def _document(planned: Plan, *, done: bool) -> Json:
    steps: Sequence[Json] = [
        {"deed": one.deed, "object": {"kind": one.resource.kind, "namespace": one.namespace, "name": one.name}}
        for one in planned.steps
    ]
    return {"steps": steps, "problems": [*planned.problems], "notes": [*planned.notes], "done": done}
