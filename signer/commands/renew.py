"""`mesh-signer renew`: has Certificates issued again now, as `cmctl renew` does.

It sets the condition that an issuance begins by, and nothing else; whatever waited after failures waits no longer. A write
that meets another one (409) is made again from what is there then.
Source: cert-manager v1.20, cmctl pkg/renew (the condition's reason and message).
"""

import argparse
from datetime import datetime

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.meta import has_condition, set_condition
from signer.api.names import is_subdomain
from signer.api.text import shown
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, checked_namespace, namespace_of, run
from signer.commands.live import time_there
from signer.commands.output import say
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.settings.values import Settings

_TRIES = 5
ISSUING, REASON, MESSAGE = "Issuing", "ManuallyTriggered", "Certificate re-issuance manually triggered"
_DESCRIPTION = """\
Have Certificates issued again now, also those that wait after a failure: the condition Issuing is set, as `cmctl renew`
does. What the issuer refuses stays refused. Exit status: 0 all begin, 1 one of them is not there, 2 it could not be done.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("names", nargs="*", metavar="NAME", help="of Certificates")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("-n", "--namespace", metavar="NAMESPACE", help="where they are (default: the context's)")
    chosen.add_argument("-A", "--all-namespaces", action="store_true", help="with --all: in all namespaces")
    parser.add_argument("--all", action="store_true", help="all Certificates of the namespace")
    add_options(parser, wall=False)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    names = list(options.names)

    def check() -> None:
        if bool(names) == options.all:
            raise NotFoundOut("name Certificates, or say --all")
        if options.all_namespaces and not options.all:
            raise NotFoundOut("--all-namespaces: it goes with --all, and a name with --namespace")
        if options.namespace is not None:
            checked_namespace(options.namespace)
        for name in names:
            if not is_subdomain(name):
                raise NotFoundOut(f"{shown(name)} is no Certificate's name: such a name is a DNS name in lower case")

    async def work(client: ApiClient, _settings: Settings) -> int:
        namespace = None if options.all_namespaces else namespace_of(client, options.namespace)
        chosen = [(namespace or "", name) for name in names]
        if options.all:
            metas = [one["metadata"] for one in await client.list(CERTIFICATES, namespace)]
            chosen = [(meta["namespace"], meta["name"]) for meta in metas]
        now = await time_there(client)
        found = [await _renew(client, *one, now=now) for one in chosen]
        if not found:
            say(f"there are no Certificates{f' in namespace {clean(namespace)}' if namespace else ''}")
        return FINE if all(found) else FOUND

    return run(options, work, check)


async def _renew(client: ApiClient, namespace: str, name: str, *, now: datetime) -> bool:
    """Begin one issuance; False when there is no such Certificate. Raises ApiError, Unreachable."""
    what = f"Certificate {clean(namespace)}/{clean(name)}"
    for left in reversed(range(_TRIES)):
        try:
            certificate = msgspec.convert(await client.get(CERTIFICATES, name, namespace), Certificate)
            if has_condition(certificate.status.conditions, ISSUING):
                say(f"{what} is being issued already")
                return True
            meta = certificate.metadata
            conditions = set_condition(
                certificate.status.conditions,
                ISSUING,
                "True",
                reason=REASON,
                message=MESSAGE,
                now=now,
                generation=meta.generation,
            )
            body = {
                "metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid},
                "status": {"conditions": msgspec.to_builtins(conditions)},
            }
            await client.patch(CERTIFICATES, name, body, namespace=namespace, subresource="status")
        except NotFound:
            say(f"{what}: there is none", file="stderr")
            return False
        except Conflict:
            if not left:
                raise
            continue
        break
    say(f"{what} is issued again")
    return True
