"""dns-persist-01: one TXT record for good, which lets one account of one CA have certificates for a name. Nothing is written here.

Whoever has the zone writes `_validation-persist.HOST` once; after that no certificate needs a change of the zone, and no
credentials for it. What is bound is the account: who has its key has the names, for as long as the record stands.
Behind a field of the solver (`persistent`): the CAs have it for tests only so far. Used on the loop, in the leader.
Sources: draft-ietf-acme-dns-persist-01; RFC 8659, 4.2 (the record's grammar).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from signer.api.challenge import Challenge
from signer.api.text import shown
from signer.edge.challenges.presenter import Cause, Found, Left
from signer.edge.dns01.queries import NoAnswer, Questions
from signer.edge.dns01.record import Answered, apex, classify
from signer.edge.issuers.dns01_spec import Dns01, Persistent, read_dns01
from signer.edge.orders.values import issuer_of
from signer.edge.proxies.reach import Reach
from signer.kube.clock import utc_now
from signer.tenancy.verdict import Reason, Refuse

_PREFIX = "_validation-persist."
_STEP_SECONDS = 20.0
_WILDCARD = "wildcard"
_MOST_PARTS = 16


def persistent_name(dns_name: str) -> str:
    """Return the name of the record for a host; a wildcard's is its apex's."""
    return f"{_PREFIX}{apex(dns_name)}"


def persistent_record(issuer: str, account: str, *, wildcard: bool) -> str:
    """Return what is to be written there, for an account's URL at the CA with this domain name. Pure."""
    return f"{issuer}; accounturi={account}" + (f"; policy={_WILDCARD}" if wildcard else "")


def proves(value: str, issuer: str, account: str, now: datetime, *, wildcard: bool) -> bool:
    """Tell whether a record proves a name to a CA, as the CA reads it; `now` is aware UTC. Pure."""
    name, *parts = (one.strip(" \t") for one in value.split(";", _MOST_PARTS))
    if name.lower() != issuer.lower():
        return False
    found: dict[str, str] = {}
    for part in parts:
        tag, equals, text = part.partition("=")
        key = tag.strip(" \t").lower()
        if not equals or not key or key in found:
            return False
        found[key] = text.strip(" \t")
    until = found.get("persistuntil")
    if until is not None and not (
        until.isascii() and until.isdigit() and len(until) < 16 and int(until) >= now.timestamp()
    ):
        return False
    return found.get("accounturi") == account and (not wildcard or found.get("policy", "").lower() == _WILDCARD)


class PersistPresenter:
    """Looks whether the record is there, and says which one is missing."""

    def __init__(
        self,
        questions: Questions,
        *,
        reach: Reach | None = None,
        recursive_only: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._questions = questions
        self._reach = reach or Reach()
        self._recursive_only = recursive_only
        self._clock = clock

    async def present(self, challenge: Challenge) -> Reason | None:
        """Nothing: the record is written by whoever has the zone."""
        return _settings(challenge)[1]

    async def check(self, challenge: Challenge) -> Found:
        """Ask every server of the record's zone, once; the first that lacks the record is told."""
        name, issuer = persistent_name(challenge.spec.dns_name), _settings(challenge)[0]
        ref, spec = issuer_of(challenge), challenge.spec
        if ref is None or issuer is None:
            return Found(Cause.NOT_PROPAGATED, "its issuer is not one of ours")
        wanted = persistent_record(issuer, spec.key, wildcard=spec.wildcard)
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                end = await self._questions.delegated(name)
                if isinstance(end, Refuse):
                    return _waiting(name, wanted, end.message)
                if self._recursive_only:
                    answers = await self._questions.at_recursive_servers(end)
                else:
                    answers = await self._questions.at_all_servers(end, self._reach.of(ref))
        except NoAnswer as error:
            return _waiting(name, wanted, str(error), Cause.NOT_RESOLVED)
        except TimeoutError:
            why = f"the name servers did not finish within {_STEP_SECONDS:.0f} s"
            return _waiting(name, wanted, why, Cause.NOT_RESOLVED)
        now = self._clock()

        def seen(one: Answered) -> Answered:
            there = any(proves(value, issuer, spec.key, now, wildcard=spec.wildcard) for value in one.values)
            return Answered(one.server, frozenset({wanted} if there else ()), one.problem)

        found = classify(end, wanted, [seen(one) for one in answers])
        return found if found.passed else _waiting(name, wanted, found.message.rpartition(f"TXT {end}: ")[2])

    async def clean_up(self, _challenge: Challenge) -> Left | None:
        """Nothing: the record stays."""
        return None


def _waiting(name: str, wanted: str, why: str, cause: Cause = Cause.NOT_PROPAGATED) -> Found:
    return Found(cause, f'Waiting for the record TXT {name} "{wanted}", which is to be written once: {why}')


def _settings(challenge: Challenge) -> tuple[str | None, Reason | None]:
    """The CA's domain name that a Challenge's solver says, or what is wrong with it."""
    settings: Any = challenge.spec.solver.get("dns01")
    found = read_dns01(settings, "spec.solver.dns01", cluster_wide=False)
    if isinstance(found, Dns01) and isinstance(found.provider, Persistent):
        return found.provider.issuer, None
    why = "; ".join(found) if isinstance(found, tuple) else f"{shown(str(settings))[:200]} is not for dns-persist-01"
    return None, Reason("InvalidConfiguration", why)
