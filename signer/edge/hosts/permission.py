"""May this be ordered at all? Asked where an Order is made, whoever asks and however the names are to be proven. Pure.

A Certificate written by hand, with DNS-01, for a neighbour's host passes here like any other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from signer.api.certificate import IssuerReference
from signer.edge.host import MAX_NAMES, Host, read_host
from signer.edge.hosts.decide import Asker, EdgeWorld, Granted, Take, decide
from signer.tenancy.claims import capped
from signer.tenancy.verdict import Reason, Refuse, Unready
from signer.tenancy.world import Rate


@dataclass(frozen=True, slots=True)
class Permitted:
    """Every name is the asker's. `rates` are those of the EdgePolicies that grant them, by policy."""

    hosts: tuple[Host, ...]
    rates: tuple[tuple[str, Rate], ...] = ()


@dataclass(frozen=True, slots=True)
class TakeFirst:
    """First store these claims, each by atomic create, then ask again."""

    claims: tuple[Take, ...]


def may_order(
    names: Iterable[str], asker: Asker, issuer: IssuerReference, world: EdgeWorld, *, max_names: int = MAX_NAMES
) -> Permitted | TakeFirst | Refuse | Unready:
    """Decide about all names of one certificate at once: no claim is taken unless every name can be had."""
    hosts: list[Host] = []
    reasons: list[Reason] = []
    listed = list(dict.fromkeys(names))
    if not listed:
        return Refuse((Reason("NoHost", "there is no DNS name to order"),))
    if len(listed) > max_names:
        return Refuse((Reason("TooManyHosts", f"{len(listed)} names; a certificate has {max_names} at most"),))
    for name in listed:
        host = read_host(name)
        if isinstance(host, str):
            reasons.append(Reason("InvalidHost", host))
        else:
            hosts.append(host)
    takes: list[Take] = []
    rates: dict[str, Rate] = {}
    for host in hosts:
        verdict = decide(host, asker, issuer, world)
        match verdict:
            case Unready():
                return verdict
            case Refuse(found):
                reasons.extend(found)
            case Take():
                takes.append(verdict)
            case Granted(policy=policy, rate=rate):
                if rate is not None:
                    rates[policy] = rate
    if reasons:
        return Refuse(_bounded(reasons))
    if takes:
        return TakeFirst(tuple(takes))
    return Permitted(tuple(hosts), tuple(sorted(rates.items())))


def _bounded(reasons: list[Reason]) -> tuple[Reason, ...]:
    """The first reasons, each once: a certificate has a hundred names, and people read a few."""
    unique = list(dict.fromkeys(reasons))
    kept = len(capped([reason.message for reason in unique]))
    return tuple(unique[:kept])
