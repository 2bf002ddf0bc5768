"""Which Challenges are worked on now: at most so many, one for each name and kind, the oldest first. Pure.

Two proofs of one name and kind at once would fight for one place: one DNS record, one route.
"""

from collections.abc import Iterable

from signer.api.challenge import Challenge
from signer.api.order import FINAL_STATES

MAX_CONCURRENT = 60
"""As cert-manager: enough for a start from nothing, and few enough for the limits of a CA."""


def scheduled(challenges: Iterable[Challenge], limit: int = MAX_CONCURRENT) -> tuple[tuple[str, str], ...]:
    """Return (namespace, name) of those to set `processing` on now. Those that are finished or going count for nothing."""
    alive = [one for one in challenges if not one.problem and one.status.state not in FINAL_STATES]
    running = [one for one in alive if one.status.processing]
    # One that is being deleted still has its place until it is cleaned up, but begins nothing.
    waiting = [one for one in alive if not one.status.processing and not one.metadata.deletion_timestamp]
    taken = {_place(one) for one in running}
    free = limit - len(running)
    found = []
    for one in sorted(waiting, key=_age):
        if free <= 0:
            break
        if _place(one) in taken:
            continue
        taken.add(_place(one))
        found.append((one.metadata.namespace, one.metadata.name))
        free -= 1
    return tuple(found)


def _place(challenge: Challenge) -> tuple[str, str]:
    return challenge.spec.dns_name.lower(), challenge.spec.type


def _age(challenge: Challenge) -> tuple[str, str, str]:
    # RFC 3339 in UTC sorts as text.
    meta = challenge.metadata
    return meta.creation_timestamp or "", meta.namespace, meta.name
