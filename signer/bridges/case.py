"""What is to be of one TenantBridge, from what is known without asking anybody: a bridge with all it is made of, or why none. Pure.

The controller asks it of what it watches, `mesh-signer explain` of what it has read just now (signer/commands/explanations/bridge.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from issuers.authority import Authority
from issuers.request import SigningRequest
from signer.api.destinationrule import DestinationRule, Subset
from signer.api.issuer import IssuerRef
from signer.api.tenantbridge import TenantBridge
from signer.authorities.state import IssuerState
from signer.bridges.decide import Denied, allowed
from signer.bridges.read import BridgePolicy, Wish, read_bridge
from signer.bridges.server import server_of, signer_of
from signer.bridges.step import Wanted
from signer.tenancy.bridge import BRIDGE_USAGES
from signer.tenancy.verdict import Bridge, Claim, Reason
from signer.tenancy.world import World

CLIENT_CHANGED = "ClientChanged"
READING_ACCOUNTS = "ReadingServiceAccounts"
NO_RULES = "Istio's DestinationRules are not served here: a bridge is made of them"
_MAX_SUBSETS = 64


@dataclass(frozen=True, slots=True)
class Around:
    """What is known around a bridge.

    `policies` are the admins' hands; `issuer` finds an issuer's state; `accounts` names a namespace's service accounts, None while
    they are being read; `rules` has the DestinationRules of a namespace, by name, None where that kind is not served.
    """

    world: World
    policies: Iterable[BridgePolicy]
    issuer: Callable[[IssuerRef], IssuerState | None]
    accounts: Callable[[str], tuple[str, ...] | None]
    rules: Callable[[str], Iterable[DestinationRule]] | None


@dataclass(frozen=True, slots=True)
class Case:
    """One bridge in one look: `denied` says why it is not to stand, else the other three are there."""

    obj: TenantBridge
    wish: Wish
    denied: Denied | None = None
    bridge: Bridge | None = None
    signer: IssuerRef | None = None
    wanted: Wanted | None = None


def bridge_case(obj: TenantBridge, around: Around, now: datetime) -> Case:
    """Say what is wanted of a bridge."""
    wish = read_bridge(obj)
    if obj.metadata.deletion_timestamp is not None:
        return Case(obj, wish, Denied(Reason("Deleted", "it is being deleted")))
    place = obj.status.client_namespace
    if place and wish.client_namespace and place != wish.client_namespace:
        text = f"it was built in namespace {place}: spec.client.namespace cannot be changed; make another TenantBridge"
        return Case(obj, wish, Denied(Reason(CLIENT_CHANGED, text)))
    world = around.world
    found = allowed(
        wish,
        around.policies,
        world.namespaces,
        world.config.trust_domains,
        built_for=obj.status.client_namespace_uid,
        now=now,
    )
    if isinstance(found, Denied):
        return Case(obj, wish, found)
    if around.rules is None:
        return Case(obj, wish, Denied(Reason("NoDestinationRules", NO_RULES), waits=True))
    signer = signer_of(world, wish.namespace, now=now)
    if isinstance(signer, Reason):
        return Case(obj, wish, Denied(signer))
    server = server_of(around.issuer(signer), signer, world)
    if isinstance(server, Reason):
        # A CA that is being read, or mended, takes no bridge away: what stands ends with its certificate.
        return Case(obj, wish, Denied(server, waits=True))
    accounts = wish.accounts or around.accounts(wish.namespace)
    if accounts is None:
        text = f"the service accounts of namespace {wish.namespace} are being read"
        return Case(obj, wish, Denied(Reason(READING_ACCOUNTS, text), waits=True))
    rules = tuple(around.rules(wish.namespace))
    subsets = {host: subsets_of(rules, wish.namespace, host) for host in wish.hosts}
    return Case(obj, wish, None, found, signer, Wanted(found, server, accounts, subsets))


def bridge_claim(bridge: Bridge, signer: IssuerRef, authority: Authority | None, request: SigningRequest) -> Claim:
    """Return what the wall is asked for a bridge's certificate."""
    return Claim(
        requester="",
        signer=signer,
        ca_key_id=authority.key_id if authority is not None else "",
        request=request,
        usages=BRIDGE_USAGES,
        is_ca=False,
        lifetime=None,
        resource="TenantBridge",
        namespace=bridge.server,
        ca_not_after=authority.not_after if authority is not None else None,
        root_key_id=authority.root_key_id if authority is not None else "",
        chain=authority.chain if authority is not None else None,
        bridge=bridge,
    )


def subsets_of(rules: Iterable[DestinationRule], namespace: str, host: str) -> tuple[Subset, ...]:
    """Return the subsets that the server's own rules have for a host, the first of each name, by the rules' names.

    A rule for all services hides each of theirs, so it has the subsets of all.
    """
    short = host.split(".", 1)[0]
    every = host.startswith("*.")
    found: dict[str, Subset] = {}
    for rule in rules:
        if every or rule.spec.host in (host, short, f"{short}.{namespace}", f"{short}.{namespace}.svc"):
            for subset in rule.spec.subsets:
                found.setdefault(subset.name, subset)
    return tuple(found.values())[:_MAX_SUBSETS]
