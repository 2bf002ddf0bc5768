"""Reads what the public hosts of a cluster rest on, for `edge` and `ui`, and writes a host as programs get it.

Used on the loop of one command.
"""

import argparse
import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate, IssuerReference
from signer.api.challenge import CHALLENGES, Challenge
from signer.api.edgepolicy import EDGE_POLICIES, EdgePolicy
from signer.api.gateway import API_GATEWAYS, GATEWAYS, APIGateway, Gateway
from signer.api.hostclaim import HOST_CLAIMS, HostClaim
from signer.api.httproute import HTTP_ROUTES, HTTPRoute
from signer.api.ingress import INGRESSES, Ingress
from signer.api.issuer import GROUP
from signer.api.meta import find_condition, to_rfc3339
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.order import ORDERS, Order
from signer.api.virtualservice import VIRTUAL_SERVICES, VirtualService
from signer.commands.command import NotFoundOut
from signer.commands.live import Listing, list_all
from signer.edge import overview
from signer.edge.gateways.served.step import SERVED
from signer.edge.hosts.decide import EdgeWorld, read_claim
from signer.edge.hosts.policy import read_edge_policy
from signer.edge.hosts.proven import unproven
from signer.edge.overview import Objects
from signer.kube.client import ApiClient
from signer.kube.resource import Resource
from signer.settings.options import add_arguments
from signer.settings.values import Settings

T = TypeVar("T")
Lists = Mapping[Resource, Listing]

READ = (
    GATEWAYS,
    API_GATEWAYS,
    INGRESSES,
    VIRTUAL_SERVICES,
    HTTP_ROUTES,
    NAMESPACES,
    CERTIFICATES,
    HOST_CLAIMS,
    EDGE_POLICIES,
    ORDERS,
    CHALLENGES,
)
_NEEDED = (CERTIFICATES, HOST_CLAIMS, EDGE_POLICIES)


def add_default_issuer(parser: argparse.ArgumentParser) -> None:
    """Add the controllers' options that say which issuer a host has that names none."""
    group = parser.add_argument_group("settings of the controllers")
    add_arguments(group, ("default-issuer-name", "default-issuer-kind"))


def default_issuer(options: argparse.Namespace, settings: Settings) -> IssuerReference | None:
    """Return the issuer of hosts that name none, by the options or the environment."""
    name = options.default_issuer_name or settings.edge.default_issuer_name
    kind = options.default_issuer_kind or settings.edge.default_issuer_kind
    return IssuerReference(name=name, kind=kind, group=GROUP) if name else None


async def read_lists(client: ApiClient) -> Lists:
    """List all that hosts rest on. Raises nothing for what may not be read: each listing says so itself."""
    lists = await asyncio.gather(*(list_all(client, resource) for resource in READ))
    return dict(zip(READ, lists, strict=True))


def objects_of(lists: Lists) -> Objects:
    """Put together what was listed; raises NotFoundOut where something is missing: what is not known must not look like nothing."""
    for resource, listing in lists.items():
        if listing.problem:
            raise NotFoundOut(listing.problem)
        if listing.absent and resource in _NEEDED:
            raise NotFoundOut(f"the CustomResourceDefinition {resource} is not installed (manifests/crds)")
    stored = list(_typed(lists[HOST_CLAIMS], HostClaim))
    found = (read_claim(one) for one in stored)
    conditions = ((one.metadata.name, find_condition(one.status.conditions, SERVED)) for one in stored)
    failing = ((one.metadata.name, unproven(one.status.conditions)) for one in stored)
    world = EdgeWorld(
        {claim.host.claim_name: claim for claim in found if claim is not None},
        [read_edge_policy(one) for one in _typed(lists[EDGE_POLICIES], EdgePolicy)],
    )
    return Objects(
        (
            *_typed(lists[GATEWAYS], Gateway),
            *_typed(lists[API_GATEWAYS], APIGateway),
            *_typed(lists[INGRESSES], Ingress),
        ),
        tuple(_typed(lists[VIRTUAL_SERVICES], VirtualService)),
        {one.metadata.name: one for one in _typed(lists[NAMESPACES], NamespaceObject)},
        tuple(_typed(lists[CERTIFICATES], Certificate)),
        world,
        {name: condition for name, condition in conditions if condition is not None},
        {name: condition for name, condition in failing if condition is not None},
        tuple(_typed(lists[ORDERS], Order)),
        tuple(_typed(lists[CHALLENGES], Challenge)),
        tuple(_typed(lists[HTTP_ROUTES], HTTPRoute)),
    )


def _typed(listing: Listing, kind: type[T]) -> Iterable[T]:
    return [msgspec.convert(item, kind) for item in listing.items]


def document(row: overview.Row) -> dict[str, Any]:
    """Return what programs get of a host."""
    source = row.source
    return {
        "host": row.host,
        "wantedBy": {"kind": source.kind, "namespace": source.namespace, "name": source.name},
        "issuer": row.issuer,
        "state": row.state,
        "where": row.where,
        "secret": row.secret,
        "served": {"True": True, "False": False}.get(row.served),
        "ends": to_rfc3339(row.expires) if row.expires else None,
        "renewal": to_rfc3339(row.renewal) if row.renewal else None,
        "why": row.why,
    }
