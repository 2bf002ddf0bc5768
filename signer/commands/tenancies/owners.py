"""Gives up an owner on an administrator's word: of a signer (SignerBinding), or of a public host (HostClaim).

Each is one delete, of the object that was shown and of no later one. A person is asked first.
"""

import asyncio
import sys
from datetime import datetime

import msgspec

from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import IssuerRef
from signer.api.signerbinding import SIGNER_BINDINGS
from signer.api.signerrecord import SIGNER_RECORDS, SignerRecord
from signer.api.text import shown
from signer.commands.command import FINE, FOUND, NotFoundOut
from signer.commands.live import list_all, time_there
from signer.commands.output import say
from signer.commands.tables import clean
from signer.commands.tenancies.signers import parse_signer
from signer.edge.host import read_host
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.objects import Json
from signer.settings.values import Settings
from signer.tenancy.bindings import binding_name
from signer.tenancy.index import SETTLING
from signer.tenancy.records import read_record


async def release_signer(client: ApiClient, settings: Settings, text: str, *, yes: bool) -> int:
    """Delete the SignerBinding of a signer. Raises NotFoundOut, ApiError, Unreachable."""
    signer = parse_signer(text, settings.cert_signer_domain)
    try:
        name = binding_name(signer)
        obj = await client.get(SIGNER_BINDINGS, name)
    except ValueError as error:
        raise NotFoundOut(str(error)) from None
    except NotFound:
        raise NotFoundOut(f"{signer} has no SignerBinding: nobody owns it") from None
    owner = _owner(obj)
    question = (
        f"{signer} belongs to namespace {owner}. Once released, the next namespace that claims it may own it, and its "
        f"workloads will be trusted by those that {owner} still runs."
    )
    if not await agreed(question, "release", yes=yes):
        return FOUND
    await client.delete(SIGNER_BINDINGS, name, uid=str(obj["metadata"]["uid"]))
    say(
        f"{signer} is released: namespace {owner} no longer owns it{await _held(client, signer, await time_there(client))}"
    )
    return FINE


async def _held(client: ApiClient, signer: IssuerRef, now: datetime) -> str:
    """Say until when nobody becomes the owner since a SignerPolicy is gone, or that one gives the signer out; "" for neither."""
    listed = await list_all(client, SIGNER_RECORDS)
    if listed.problem:
        return f"; whether a SignerPolicy gave it out lately is not known: {listed.problem}"
    found = (read_record(msgspec.convert(obj, SignerRecord)) for obj in listed.items)
    record = next((one for one in found if one is not None and one.signer == signer), None)
    if record is None:
        return ""
    if record.given_out:
        return "; a SignerPolicy gives it out, so that nobody becomes its owner by a claim"
    until = record.given_out_until + SETTLING if record.given_out_until is not None else None
    if until is None or until <= now:
        return ""
    return (
        f"; a SignerPolicy gave it out until a moment ago, so that nobody becomes its owner before {until:%H:%M:%SZ} "
        "(SignerContested until then)"
    )


async def release_host(client: ApiClient, _settings: Settings, text: str, *, yes: bool) -> int:
    """Delete the HostClaim of a public host. Raises NotFoundOut, ApiError, Unreachable."""
    host = read_host(text.lower())
    if isinstance(host, str):
        raise NotFoundOut(f"{shown(text)} is no public host: {host}")
    try:
        obj = await client.get(HOST_CLAIMS, host.claim_name)
    except NotFound:
        raise NotFoundOut(f"{host} has no HostClaim: nobody has it") from None
    owner = _owner(obj)
    question = (
        f"{host} belongs to namespace {owner}. Once released, the next namespace that asks for it has it; what was ordered "
        "for it is forgotten, pauses and limits included."
    )
    if not await agreed(question, "release", yes=yes):
        return FOUND
    await client.delete(HOST_CLAIMS, host.claim_name, uid=str(obj["metadata"]["uid"]))
    say(f"{host} is released: namespace {owner} no longer has it")
    return FINE


def _owner(obj: Json) -> str:
    spec = obj.get("spec") if isinstance(obj.get("spec"), dict) else {}
    return clean(str((spec or {}).get("namespace", "nobody that can be read")))


async def agreed(question: str, action: str, *, yes: bool) -> bool:
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
