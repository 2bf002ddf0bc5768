"""`mesh-signer renew`: has Certificates issued again now, as `cmctl renew` does.

It sets the condition that an issuance begins by, and nothing else; whatever waited after failures waits no longer. A write
that meets another one (409) is made again from what is there then.
Source: cert-manager v1.20, cmctl pkg/renew (the condition's reason and message).
"""

import argparse
from datetime import UTC, datetime

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.meta import has_condition, set_condition
from signer.api.names import is_label, is_subdomain
from signer.api.text import shown
from signer.commands.command import FINE, FOUND, NotFoundOut, run, say
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.settings.options import add_arguments
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
    parser.add_argument("-n", "--namespace", required=True, help="where they are")
    parser.add_argument("--all", action="store_true", help="all Certificates of the namespace")
    add_arguments(parser, ("kubeconfig",))


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(client: ApiClient, _settings: Settings) -> int:
        namespace, names = options.namespace, list(options.names)
        if bool(names) == options.all:
            raise NotFoundOut("name Certificates, or say --all")
        if not is_label(namespace):
            raise NotFoundOut(f"{shown(namespace)} is no namespace's name")
        for name in names:
            if not is_subdomain(name):
                raise NotFoundOut(f"{shown(name)} is no Certificate's name")
        if options.all:
            names = [one["metadata"]["name"] for one in await client.list(CERTIFICATES, namespace)]
        found = [await _renew(client, namespace, name) for name in names]
        if not found:
            say(f"there are no Certificates in namespace {clean(namespace)}")
        return FINE if all(found) else FOUND

    return run(options, work)


async def _renew(client: ApiClient, namespace: str, name: str) -> bool:
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
                now=datetime.now(UTC),
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
