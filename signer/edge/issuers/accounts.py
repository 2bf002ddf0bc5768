"""The ACME accounts that are registered now, and how their servers are spoken to.

Lives on the loop. What is kept here is memory only: after a restart the controller of ACME issuers fills it again, from
Secrets and status, mostly without a word to the servers.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from issuers.acme import limits
from issuers.acme.account import AccountKey
from issuers.acme.client import Exchange, Server, Session
from issuers.acme.targets import ANYWHERE, AddressRule
from signer.api.issuer import IssuerRef
from signer.edge.issuers.spec import AcmeIssuer
from signer.kube.clock import utc_now

# Names are looked up in these; all else is on the loop.
_THREADS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """One issuer's account. `pem` is the key's text, by which a changed Secret is noticed."""

    issuer: AcmeIssuer
    key: AccountKey
    session: Session
    pem: bytes = field(repr=False)

    @property
    def url(self) -> str:
        """The account's URL at its CA: what was ordered is kept by it."""
        return self.session.account_url or self.issuer.server


class Accounts:
    """The accounts by issuer.

    The servers of namespaced Issuers stand at public addresses; ClusterIssuers are the administrators' and may name any.
    `observe` is told of each exchange with a server, and whether the server is one that a tenant chose.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = utc_now,
        observe: Callable[[Exchange, bool], None] | None = None,
    ) -> None:
        self._observe = observe
        self._clock = clock
        self._names = ThreadPoolExecutor(_THREADS, thread_name_prefix="acme")
        # Name servers that tenants chose may answer slowly on purpose: they keep no thread from the administrators'.
        self._tenants_names = ThreadPoolExecutor(_THREADS, thread_name_prefix="acme-tenants")
        self._accounts: dict[IssuerRef, Account] = {}
        self._retired: list[Session] = []
        self._unknown: set[IssuerRef] = set()
        self._ready: list[Callable[[IssuerRef], None]] = []
        self._lost: list[Callable[[IssuerRef], None]] = []
        self.bounds = limits.Limits()
        self.spent: limits.State = {}

    def get(self, ref: IssuerRef) -> Account | None:
        """Return the issuer's account, None when it has none now."""
        return self._accounts.get(ref)

    def on_ready(self, handler: Callable[[IssuerRef], None]) -> None:
        """Call the handler, on the loop, with each issuer whose account can be used from now on."""
        self._ready.append(handler)

    def on_lost(self, handler: Callable[[IssuerRef], None]) -> None:
        """Call the handler with each issuer whose server no longer knows the account."""
        self._lost.append(handler)

    def open(self, issuer: AcmeIssuer, key: AccountKey) -> Session:
        """Make a conversation with an issuer's server. Let go of it by `retire`, or keep it by `put`."""
        server = Server(
            issuer.server,
            ANYWHERE if issuer.anywhere else AddressRule(),
            issuer.ca_bundle or None,
            verify=issuer.verify,
            observe=self._observer(tenants=not issuer.anywhere),
            threads=self._names if issuer.anywhere else self._tenants_names,
        )
        return Session(server, key, self._clock)

    def _observer(self, *, tenants: bool) -> Callable[[Exchange], None] | None:
        observe = self._observe
        return (lambda exchange: observe(exchange, tenants)) if observe is not None else None

    def put(self, ref: IssuerRef, account: Account) -> None:
        """The issuer's account is this one from now on."""
        self.drop(ref)
        self._accounts[ref] = account
        self._unknown.discard(ref)
        for handler in self._ready:
            handler(ref)

    def drop(self, ref: IssuerRef) -> None:
        """The issuer has no account now. Requests that are under way may still end."""
        if (old := self._accounts.pop(ref, None)) is not None:
            self.retire(old.session)

    def retire(self, session: Session) -> None:
        """Let go of a conversation; it is closed when nothing can use it any more."""
        self._retired.append(session)

    def lost(self, ref: IssuerRef) -> None:
        """The server said that it does not know the account: look again."""
        self.drop(ref)
        self._unknown.add(ref)
        for handler in self._lost:
            handler(ref)

    def doubted(self, ref: IssuerRef) -> bool:
        """Tell whether the server denied the account that the status names."""
        return ref in self._unknown

    async def close(self) -> None:
        """End all connections and threads."""
        for session in (*self._retired, *(account.session for account in self._accounts.values())):
            await session.close()
        self._accounts.clear()
        self._retired.clear()
        for executor in (self._names, self._tenants_names):
            await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
