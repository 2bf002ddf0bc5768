"""What was ordered, by HostClaim: in memory, and written to the claims' status.

Used on the loop, in the leader. What is in memory counts at once; it is read from the claims once, at the start of a term.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator

import msgspec

from issuers.acme.identifiers import identifiers, set_key
from issuers.acme.order import Wish
from signer.api.hostclaim import HostClaim
from signer.edge.host import Host
from signer.edge.hosts.claims import Claims
from signer.edge.orders.history import History, pruned, read_history, write_history
from signer.kube.errors import ApiError, Unreachable
from signer.kube.reach import loudness
from signer.kube.reflector import Change

log = logging.getLogger(__name__)

_NOT_READ = "HostClaims and EdgePolicies were not read yet"


class OrderRecords:
    """Histories by claim. `claims` gives those of this term, None before they are there; None instead: memory only.

    `on_read` is given every history with its namespace, once they were read.
    """

    def __init__(
        self,
        claims: Callable[[], Claims | None] | None,
        on_read: Callable[[list[tuple[str, History]]], None],
        *,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._claims_now = claims
        self._on_read = on_read
        self._released: list[Callable[[], None]] = []
        self._clock = clock
        self._read: Claims | None = None
        self._histories: dict[str, dict[tuple[str, str], History]] = {}

    def claims(self) -> Claims | None:
        """The claims of this term, read and counted; None where there are none. Raises Unreachable before."""
        if self._claims_now is None:
            return None
        claims = self._claims_now()
        if claims is None or claims.world.unsynced:
            raise Unreachable(_NOT_READ)
        if claims is not self._read:
            self._read = claims
            self._load(claims)
            claims.hosts.subscribe(self._claim_changed)
        return claims

    def on_released(self, handler: Callable[[], None]) -> None:
        """Call the handler when a claim was removed with its records: by an administrator, mostly."""
        self._released.append(handler)

    def owner(self, claim: str) -> str:
        """The namespace that has a claim, "" when nobody has."""
        found = self._read.claims.get(claim) if self._read is not None else None
        return found.namespace if found is not None else ""

    def history(self, claim: str, names: str, account: str) -> History:
        """What is known of one set at one account."""
        return self._histories.get(claim, {}).get((names, account)) or History(names, account)

    def of_set(self, claim: str, names: str) -> list[History]:
        """What is known of one set, at all accounts."""
        return [one for one in self._histories.get(claim, {}).values() if one.names == names]

    def of_namespace(self, namespace: str) -> Iterator[History]:
        """What is known of all sets of a namespace's hosts."""
        if self._read is not None:
            for claim in self._read.of_namespace.get(namespace, ()):
                yield from self._histories.get(claim, {}).values()

    def obtained(self, certificate_id: str) -> bool:
        """Whether a certificate with this CertID is the last of some set."""
        return any(
            one.obtained is not None and one.obtained.certificate_id == certificate_id
            for found in self._histories.values()
            for one in found.values()
        )

    def keep(self, claim: str, history: History) -> None:
        """Remember; `store` writes it."""
        self._histories.setdefault(claim, {})[history.names, history.account] = history

    async def store(self, claim: str) -> None:
        """Write the records of a claim. What cannot be written now is written with the next change: it is in memory."""
        obj = self._read.hosts.store.get(("", claim)) if self._read is not None else None
        kept = pruned(self._histories.get(claim, {}).values(), self._clock())
        self._histories[claim] = {(one.names, one.account): one for one in kept}
        records = tuple(write_history(one) for one in kept)
        if self._read is None or obj is None or obj.status.issuances == records:
            return
        # Nobody else writes this field, so that it needs no resourceVersion; the UID keeps it from a claim made anew.
        status = {"issuances": msgspec.to_builtins(records)}
        try:
            await self._read.write_status(obj, status, whatever_changed=True)
        except (ApiError, Unreachable) as error:
            log.log(loudness(error), "HostClaim %s: what was ordered could not be put on record: %s", claim, error)

    def _load(self, claims: Claims) -> None:
        found: list[tuple[str, History]] = []
        for (_, name), obj in claims.hosts.store.items():
            for record in obj.status.issuances:
                if (history := read_history(record)) is not None:
                    self.keep(name, history)
                    found.append((obj.spec.namespace, history))
        self._on_read(found)

    def _claim_changed(self, change: Change[HostClaim]) -> None:
        if change.kind != "synced" and change.new is None and change.key[1] in self._histories:
            del self._histories[change.key[1]]
            for handler in self._released:
                handler()


def claim_of(wish: Wish) -> str:
    """The claim on which a set of names is kept: that of the first of them."""
    return min(Host(one.base, one.wildcard).claim_name for one in wish.identifiers)


def named(names: Iterable[str]) -> tuple[str, str]:
    """The claim on which a set is kept, and the set's key. Raises BadIdentifier."""
    wish = Wish(identifiers(names))
    return claim_of(wish), set_key(wish.identifiers)
