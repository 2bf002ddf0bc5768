"""Which Challenges are worked on now: at most so many, one for each name and kind, tenants in turn. Pure.

Two proofs of one name and kind at once would fight for one place: one DNS record, one route. Not those of dns-persist-01, for which
nothing is written here: a host and its wildcard each say which record they want, at once. A name that does not resolve
waits for as long as it takes, so what has waited long costs no place: nobody can fill the queue with such names.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from issuers.acme.order import DNS_PERSIST01
from signer.api.challenge import Challenge
from signer.api.order import FINAL_STATES
from signer.edge.challenges.step import waited

MAX_CONCURRENT = 60
"""As cert-manager: enough for a start from nothing, and few enough for the limits of a CA."""
PATIENCE = timedelta(minutes=2)
"""How long an answer is looked for before its Challenge no longer counts: it is looked for twice a minute then."""


def scheduled(
    challenges: Iterable[Challenge], now: datetime, limit: int = MAX_CONCURRENT
) -> tuple[tuple[str, str], ...]:
    """Return (namespace, name) of those to set `processing` on now. Give it genuine Challenges only (orders.step.genuine).

    Those of the namespace with the fewest under way come first, then the oldest. Those that are finished count for nothing.
    """
    alive = [one for one in challenges if not one.problem and one.status.state not in FINAL_STATES]
    running = [one for one in alive if one.status.processing]
    # One that is being deleted still has its place until it is cleaned up, but begins nothing.
    waiting = [one for one in alive if not one.status.processing and not one.metadata.deletion_timestamp]
    taken = {_place(one) for one in running}
    busy = [one for one in running if waited(one, now) < PATIENCE]
    under_way = Counter(one.metadata.namespace for one in busy)
    free = limit - len(busy)
    found = []
    for one in _in_turn(waiting, under_way):
        if free <= 0:
            break
        if _place(one) in taken:
            continue
        taken.add(_place(one))
        found.append((one.metadata.namespace, one.metadata.name))
        free -= 1
    return tuple(found)


def _in_turn(waiting: Iterable[Challenge], under_way: Counter[str]) -> list[Challenge]:
    """Each namespace's oldest first, then each one's second, with what it has under way reckoned in."""
    turns = Counter(under_way)
    ranked = []
    for one in sorted(waiting, key=_age):
        ranked.append((turns[one.metadata.namespace], _age(one), one))
        turns[one.metadata.namespace] += 1
    return [one for _, _, one in sorted(ranked, key=lambda entry: entry[:2])]


def _place(challenge: Challenge) -> tuple[str, ...]:
    kind, meta = challenge.spec.type, challenge.metadata
    if kind.lower() == DNS_PERSIST01:
        return kind, meta.namespace, meta.name
    return challenge.spec.dns_name.lower(), kind


def _age(challenge: Challenge) -> tuple[str, str, str]:
    # RFC 3339 in UTC sorts as text.
    meta = challenge.metadata
    return meta.creation_timestamp or "", meta.namespace, meta.name
