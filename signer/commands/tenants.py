"""`mesh-signer tenants`: who has which signer and why, policies for what is shared, and the release of a signer."""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from signer.api.meta import to_rfc3339
from signer.api.namespace import NAMESPACES
from signer.api.signerbinding import SIGNER_BINDINGS
from signer.api.signername import signer_name_of
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, run, say
from signer.commands.holders import Tenancy, manifest, proposals, tenancies
from signer.commands.live import list_all, read_mesh
from signer.commands.signers import parse_signer
from signer.commands.tables import ago, clean, table
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.settings.values import Settings
from signer.tenancy.bindings import binding_name

_DESCRIPTION = """\
List each namespace with each signer that it claims, owns or is given, where the grant comes from, when the CA ends and
when a certificate was last issued. `tenants --propose` prints SignerPolicies for signers that several namespaces use;
`tenants release SIGNER` lets another namespace own a signer; `tenants readmit NAMESPACE` gives a namespace that was
deleted and made again what SignerPolicies gave to the earlier one by name. Exit status: 0 every claim is granted, 1 one is refused,
2 it could not be determined.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "action",
        nargs="*",
        metavar="release SIGNER | readmit NAMESPACE",
        help="delete the SignerBinding of this signer; let SignerPolicies that name this namespace mean the one of now",
    )
    parser.add_argument("--propose", action="store_true", help="print SignerPolicies for signers that are shared")
    parser.add_argument("--yes", action="store_true", help="release or readmit without asking")
    add_options(parser)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(client: ApiClient, settings: Settings) -> int:
        action = options.action
        actions = {"release": _release, "readmit": _readmit}
        if action and (action[0] not in actions or len(action) != 2 or options.propose):
            usage = "usage: tenants [--propose], tenants release SIGNER [--yes], or tenants readmit NAMESPACE [--yes]"
            raise NotFoundOut(usage)
        if action:
            return await actions[action[0]](client, settings, action[1], yes=options.yes)
        now = datetime.now(UTC)
        mesh = (await read_mesh(client, settings, now=now)).require()
        if mesh.world.unsynced:
            raise NotFoundOut(f"mesh-signer decides nothing before this can be read: {mesh.world.unsynced}")
        if options.propose:
            found = proposals(mesh.world)
            say(manifest(found) if found else "# no signer is claimed by several namespaces without a SignerPolicy")
            return FINE
        rows = tenancies(mesh, now)
        as_json = options.output == "json"
        say(json.dumps([_document(row) for row in rows], indent=2) if as_json else _table(rows, now))
        claims = mesh.world.claims.values()
        for problem in (*mesh.world.config.problems, *mesh.remarks, *(one for each in claims for one in each.problems)):
            say(f"mesh-signer tenants: {clean(problem)}", file="stderr")
        return FOUND if any(row.refused for row in rows) else FINE

    return run(options, work)


def _table(rows: list[Tenancy], now: datetime) -> str:
    if not rows:
        return "no namespace has a signer: none claims one, and the mesh has no default"
    head = ("NAMESPACE", "SIGNER", "STATUS", "CA ENDS", "LAST ISSUED", "WHY")
    return table(
        head,
        [
            (
                row.namespace or (f"({row.others} others)" if row.others else "-"),
                f"{row.signer.namespace}.{row.signer.name}" if row.signer.namespace else row.signer.name,
                row.status if row.enforced else f"{row.status} (audit)",
                ago(row.ca_ends, now),
                ago(row.last_issued, now),
                row.source,
            )
            for row in rows
        ],
    )


def _document(row: Tenancy) -> dict[str, Any]:
    found: dict[str, Any] = {
        "namespace": row.namespace,
        "signer": signer_name_of(row.signer),
        "status": row.status,
        "refused": row.refused,
        "enforced": row.enforced,
        "why": row.source,
        "caEnds": to_rfc3339(row.ca_ends) if row.ca_ends else None,
        "lastIssued": to_rfc3339(row.last_issued) if row.last_issued else None,
    }
    return found | ({"others": row.others} if row.others else {})


async def _release(client: ApiClient, settings: Settings, text: str, *, yes: bool) -> int:
    signer = parse_signer(text, settings.cert_signer_domain)
    try:
        name = binding_name(signer)
        obj = await client.get(SIGNER_BINDINGS, name)
    except ValueError as error:
        raise NotFoundOut(str(error)) from None
    except NotFound:
        raise NotFoundOut(f"{signer} has no SignerBinding: nobody owns it") from None
    spec = obj.get("spec") if isinstance(obj.get("spec"), dict) else {}
    owner = clean(str((spec or {}).get("namespace", "nobody that can be read")))
    question = (
        f"{signer} belongs to namespace {owner}. Once released, the next namespace that claims it may own it, and its "
        f"workloads will be trusted by those that {owner} still runs."
    )
    if not await _agreed(question, "release", yes=yes):
        return FOUND
    await client.delete(SIGNER_BINDINGS, name, uid=str(obj["metadata"]["uid"]))
    say(f"{signer} is released: namespace {owner} no longer owns it")
    return FINE


async def _readmit(client: ApiClient, _settings: Settings, namespace: str, *, yes: bool) -> int:
    try:
        uid = str((await client.get(NAMESPACES, namespace))["metadata"]["uid"])
    except NotFound:
        raise NotFoundOut(f"there is no namespace {clean(namespace)}") from None
    listed = await list_all(client, SIGNER_POLICIES)
    if listed.problem:
        raise NotFoundOut(f"SignerPolicies could not be read: {listed.problem}")
    objects = [msgspec.convert(one, SignerPolicy) for one in listed.items]
    remade = [one for one in objects if one.status.namespace_uids.get(namespace, uid) != uid]
    if not remade:
        raise NotFoundOut(f"no SignerPolicy gave anything to an earlier namespace {clean(namespace)}")
    names = ", ".join(one.metadata.name for one in remade)
    question = (
        f"SignerPolicy {names} gave signers to an earlier namespace {clean(namespace)}. Once readmitted, the one of now "
        f"(uid {uid}) has them, and is trusted by what the policy covers besides."
    )
    if not await _agreed(question, "readmit", yes=yes):
        return FOUND
    for one in remade:
        body = {
            "metadata": {"resourceVersion": one.metadata.resource_version, "uid": one.metadata.uid},
            "status": {"namespaceUIDs": {namespace: uid}},
        }
        await client.patch(SIGNER_POLICIES, one.metadata.name, body, subresource="status")
    say(f"namespace {clean(namespace)} is readmitted by SignerPolicy {names}")
    return FINE


async def _agreed(question: str, action: str, *, yes: bool) -> bool:
    """Ask whether to go on, unless `yes`. Raises NotFoundOut when nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise NotFoundOut(f"{question} Nothing was done: use --yes to {action} it")
    answer = await asyncio.to_thread(input, f"{question}\n{action.capitalize()} it? [y/N] ")
    if answer.strip().lower() in {"y", "yes"}:
        return True
    say("nothing was done")
    return False
