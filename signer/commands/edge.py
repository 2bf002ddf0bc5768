"""`mesh-signer edge`: each public host, who wants it, its certificate, and what is in the way, in one line."""

import argparse
import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate, IssuerReference
from signer.api.edgepolicy import EDGE_POLICIES, EdgePolicy
from signer.api.gateway import API_GATEWAYS, GATEWAYS, APIGateway, Gateway
from signer.api.hostclaim import HOST_CLAIMS, HostClaim
from signer.api.ingress import INGRESSES, Ingress
from signer.api.issuer import GROUP
from signer.api.meta import find_condition, to_rfc3339
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.virtualservice import VIRTUAL_SERVICES, VirtualService
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, run, say
from signer.commands.live import Listing, list_all
from signer.commands.tables import ago, table
from signer.edge.gateways.serving import SERVED
from signer.edge.hosts.decide import EdgeWorld, read_claim
from signer.edge.hosts.policy import read_edge_policy
from signer.edge.overview import Objects, Row, overview
from signer.kube.client import ApiClient
from signer.settings.options import add_arguments
from signer.settings.values import Settings

T = TypeVar("T")

_DESCRIPTION = """\
List each host that a Gateway or an Ingress wants a certificate for: the object, its issuer, the state (ready, issuing,
failing, waiting, refused), whether the gateway's Pods show this certificate, when it ends and is renewed, and what is in
the way. With hosts given: these only.
Exit status: 0 all are ready, 1 one is not, 2 it could not be determined.
"""
_READ = (
    GATEWAYS,
    API_GATEWAYS,
    INGRESSES,
    VIRTUAL_SERVICES,
    NAMESPACES,
    CERTIFICATES,
    HOST_CLAIMS,
    EDGE_POLICIES,
)
_SERVED = {"True": "yes", "False": "no"}
_NEEDED = (CERTIFICATES, HOST_CLAIMS, EDGE_POLICIES)


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="only these hosts")
    add_arguments(parser, ("default-issuer-name", "default-issuer-kind"))
    add_options(parser)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(client: ApiClient, settings: Settings) -> int:
        name = options.default_issuer_name or settings.edge.default_issuer_name
        kind = options.default_issuer_kind or settings.edge.default_issuer_kind
        default = IssuerReference(name=name, kind=kind, group=GROUP) if name else None
        rows = overview(await _read(client), default)
        if options.hosts:
            wanted = {host.lower() for host in options.hosts}
            rows = [row for row in rows if row.host in wanted]
        as_json = options.output == "json"
        say(json.dumps([_document(row) for row in rows], indent=2) if as_json else _table(rows, datetime.now(UTC)))
        return FOUND if any(row.state != "ready" for row in rows) else FINE

    return run(options, work)


async def _read(client: ApiClient) -> Objects:
    """Read all; raises NotFoundOut when something may not be read: what is not known must not look like nothing."""
    lists = await asyncio.gather(*(list_all(client, resource) for resource in _READ))
    for resource, listing in zip(_READ, lists, strict=True):
        if listing.problem:
            raise NotFoundOut(listing.problem)
        if listing.absent and resource in _NEEDED:
            raise NotFoundOut(f"the CustomResourceDefinition {resource} is not installed (manifests/crds)")
    gateways, api_gateways, ingresses, routes, namespaces, certificates, claims, policies = lists
    stored = list(_typed(claims, HostClaim))
    found = (read_claim(one) for one in stored)
    conditions = ((one.metadata.name, find_condition(one.status.conditions, SERVED)) for one in stored)
    world = EdgeWorld(
        {claim.host.claim_name: claim for claim in found if claim is not None},
        [read_edge_policy(one) for one in _typed(policies, EdgePolicy)],
    )
    return Objects(
        (*_typed(gateways, Gateway), *_typed(api_gateways, APIGateway), *_typed(ingresses, Ingress)),
        tuple(_typed(routes, VirtualService)),
        {one.metadata.name: one for one in _typed(namespaces, NamespaceObject)},
        tuple(_typed(certificates, Certificate)),
        world,
        {name: condition for name, condition in conditions if condition is not None},
    )


def _typed(listing: Listing, kind: type[T]) -> Iterable[T]:
    return [msgspec.convert(item, kind) for item in listing.items]


def _table(rows: list[Row], now: datetime) -> str:
    if not rows:
        return "no Gateway or Ingress wants a certificate"
    head = ("HOST", "WANTED BY", "ISSUER", "STATE", "SERVED", "ENDS", "RENEWAL", "WHY")
    return table(
        head,
        [
            (
                row.host,
                str(row.source),
                row.issuer,
                row.state,
                _SERVED.get(row.served, ""),
                ago(row.expires, now),
                ago(row.renewal, now),
                row.why,
            )
            for row in rows
        ],
    )


def _document(row: Row) -> dict[str, Any]:
    source = row.source
    return {
        "host": row.host,
        "wantedBy": {"kind": source.kind, "namespace": source.namespace, "name": source.name},
        "issuer": row.issuer,
        "state": row.state,
        "secret": row.secret,
        "served": {"True": True, "False": False}.get(row.served),
        "ends": to_rfc3339(row.expires) if row.expires else None,
        "renewal": to_rfc3339(row.renewal) if row.renewal else None,
        "why": row.why,
    }
