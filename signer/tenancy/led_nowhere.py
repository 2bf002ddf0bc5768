"""Why a namespace gets nothing by a signer that is routed by identity, for those who are told of it. Pure.

A decision says the same when somebody asks; here it is asked for a namespace, before anybody does: for the status of the
policies that lead there. What another moment brings by itself (a policy that is not recorded yet) is no refusal.
"""

from collections.abc import Callable
from datetime import datetime

from signer.api.issuer import IssuerRef
from signer.tenancy.decide import entitlement
from signer.tenancy.grants import NotGranted
from signer.tenancy.mesh_cas import CA
from signer.tenancy.routes import ROOT_NOT_KNOWN, route
from signer.tenancy.verdict import Reason
from signer.tenancy.world import World

FindCA = Callable[[IssuerRef], tuple[CA, bool] | None]
"""Gives an issuer's CA, and whether the root above it is known; None for one that has none, which is told elsewhere."""


def refusal(world: World, asked: IssuerRef, namespace: str, find: FindCA, now: datetime) -> Reason | None:
    """Tell why the workloads of a namespace get nothing where `asked`, one of `world.routed`, is asked; None when they get it."""
    way = route(world, asked, namespace, now=now)
    if way is None:
        return None
    if isinstance(way, NotGranted):
        return None if way.waits else way.reason
    found = find(way.signer)
    if found is None:
        return None
    ca, rooted = found
    best = entitlement(ca, namespace, world, now=now, routed=True)
    if isinstance(best, NotGranted):
        return best.reason
    if rooted:
        return None
    return Reason(
        ROOT_NOT_KNOWN, f"the root above the CA of {way.signer} is not known: put it into ca.crt of its Secret"
    )
