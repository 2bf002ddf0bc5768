"""ACME issuers: their account keys, their accounts, and their status in cert-manager's words.

Runs on the loop, in the leader. The key is made and stored before the account is; an account is found by its key, so a
restart at any point registers nothing twice. The status names the account's URL: a restart asks no server for it.
Sources: RFC 8555, 7.3; cert-manager v1.20, pkg/issuer/acme/setup.go (reasons).
"""

import asyncio
import base64
import hashlib
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import serialization

from issuers.acme.account import (
    AccountKey,
    BadAccount,
    Registration,
    load_key,
)
from issuers.acme.answers import Account as Registered
from issuers.acme.client import Session
from issuers.acme.errors import AcmeError, Fatal, ForbiddenTarget, judge
from signer.api.acmeissuer import AcmeStatus, read_acme_status
from signer.api.event import ObjectReference, reference_to
from signer.api.issuer import Issuer, IssuerRef
from signer.authorities.registry import Registry
from signer.edge.issuers.accounts import Account
from signer.edge.issuers.secrets import INVALID, NOT_REGISTERED, NOT_VERIFIED, AccountSecrets, Unusable
from signer.edge.issuers.shares import BUSY_RECHECK, Shares
from signer.edge.issuers.spec import AcmeIssuer, judge_acme
from signer.edge.issuers.status import AcmeIssuerStatus
from signer.edge.issuers.term import Term
from signer.kube.queue import WorkQueue
from signer.tenancy.verdict import Refuse

log = logging.getLogger(__name__)

REGISTERED = "ACMEAccountRegistered"
_REGISTERED_MESSAGE = "The ACME account was registered with the ACME server"
# What is refused for good is asked again once in a while, for people who mend it at the CA.
_FATAL_RECHECK = 3600.0
# The cache is behind (seconds): its change comes, and brings the issuer back.
_BEHIND = 0.2


@dataclass(frozen=True, slots=True)
class _Pause:
    """Not before `until`, unless spec or key change: our own writes bring the issuer back here much sooner."""

    spec: AcmeIssuer
    pem: bytes = field(repr=False)
    until: datetime
    why: Unusable


class AcmeIssuerController:
    """Keeps accounts and status of ACME issuers. `queue` holds issuers."""

    def __init__(
        self,
        term: Term,
        registry: Registry,
        queue: WorkQueue[IssuerRef],
        *,
        cluster_resource_namespace: str,
    ) -> None:
        self._registry = registry
        self._accounts = term.accounts
        self._namespace = cluster_resource_namespace
        self._clock = term.clock
        self._shares = Shares(tenant=1)
        self._secrets = AccountSecrets(term.client)
        self._status = AcmeIssuerStatus(term.client, term.recorder, clock=term.clock)
        self._pauses: dict[IssuerRef, _Pause] = {}
        self._users: dict[tuple[str, str], set[IssuerRef]] = {}
        self.queue = queue
        term.accounts.on_lost(queue.add)

    def secret_changed(self, namespace: str, name: str) -> None:
        """Look again at the issuers whose account key or binding lies in this Secret."""
        for ref in self._users.get((namespace, name), ()):
            self.queue.add(ref)

    def about(self, ref: IssuerRef) -> list[ObjectReference]:
        """Refer to the issuer, while there is one."""
        state = self._registry.get(ref)
        return [reference_to(ref.resource, state.issuer.metadata)] if state is not None else []

    async def reconcile(self, ref: IssuerRef) -> None:
        """Take one issuer as far as it can go now."""
        state = self._registry.get(ref)
        if state is None or state.kind != "acme" or state.issuer.metadata.deletion_timestamp:
            self._forget(ref)
            self._pauses.pop(ref, None)
            self._accounts.drop(ref)
            return
        issuer = state.issuer
        spec = judge_acme(issuer, self._namespace)
        try:
            with self._shares.turn(ref) as mine:
                if not mine:
                    self.queue.add_after(ref, BUSY_RECHECK)
                    return
                uri, key_hash, emails = await self._usable(ref, issuer, spec)
        except Unusable as error:
            self._accounts.drop(ref)
            if not await self._status.tell(ref, issuer, ready=False, reason=error.reason, message=str(error)):
                self.queue.add_after(ref, _BEHIND)
                return
            if error.recheck is None:
                self.queue.add_backoff(ref)
            elif error.recheck:
                self.queue.add_after(ref, error.recheck)
            return
        acme = {"uri": uri, "lastRegisteredEmail": emails, "lastPrivateKeyHash": key_hash}
        if isinstance(spec, AcmeIssuer):
            acme |= {"lastServer": spec.server, "lastExternalAccount": _external(spec)}
        told = await self._status.tell(
            ref, issuer, ready=True, reason=REGISTERED, message=_REGISTERED_MESSAGE, acme=acme
        )
        if not told:
            self.queue.add_after(ref, _BEHIND)

    async def _usable(self, ref: IssuerRef, issuer: Issuer, spec: AcmeIssuer | Refuse) -> tuple[str, str, str]:
        """Return the account's URL, the hash of its key, and its contacts. Raises Unusable."""
        if isinstance(spec, Refuse):
            raise Unusable(INVALID, spec.message)
        self._follow(ref, spec)
        uri, key_hash = await self._account(ref, issuer, spec)
        return uri, key_hash, ",".join(spec.emails)

    def _follow(self, ref: IssuerRef, spec: AcmeIssuer) -> None:
        self._forget(ref)
        self._registry.watch_secrets(spec.secret_namespace)
        names = [spec.account_secret, *([spec.external.secret_name] if spec.external else [])]
        for name in names:
            self._users.setdefault((spec.secret_namespace, name), set()).add(ref)

    def _forget(self, ref: IssuerRef) -> None:
        for key in [key for key, users in self._users.items() if ref in users]:
            self._users[key].discard(ref)
            if not self._users[key]:
                del self._users[key]

    async def _account(self, ref: IssuerRef, issuer: Issuer, spec: AcmeIssuer) -> tuple[str, str]:
        """Return the account's URL and the hash of its key, after making it usable."""
        pem = await self._secrets.key(spec)
        try:
            key = await asyncio.to_thread(load_key, pem)
        except BadAccount as error:
            raise Unusable(NOT_VERIFIED, f"Secret {spec.secret_namespace}/{spec.account_secret}: {error}") from None
        key_hash = account_key_hash(key)
        known = self._accounts.get(ref)
        if known is not None and known.issuer == spec and known.pem == pem and known.session.account_url:
            return known.session.account_url, key_hash
        if (pause := self._pauses.get(ref)) is not None and (pause.spec, pause.pem) == (spec, pem):
            left = (pause.until - self._clock()).total_seconds()
            if left > 0:
                raise Unusable(pause.why.reason, str(pause.why), left)
        registration = await self._secrets.registration(spec)
        try:
            session = self._accounts.open(spec, key)
        except ForbiddenTarget as error:
            raise Unusable(INVALID, f"spec.acme: {error}") from None
        try:
            session.account_url = await self._url(ref, issuer, spec, session, registration, key_hash)
        except AcmeError as error:
            self._accounts.retire(session)
            why, until = self._judged(error)
            if until is not None:
                self._pauses[ref] = _Pause(spec, pem, until, why)
            raise why from error
        except BaseException:
            self._accounts.retire(session)
            raise
        self._pauses.pop(ref, None)
        self._accounts.put(ref, Account(spec, key, session, pem))
        return session.account_url, key_hash

    async def _url(
        self,
        ref: IssuerRef,
        issuer: Issuer,
        spec: AcmeIssuer,
        session: Session,
        registration: Registration,
        key_hash: str,
    ) -> str:
        before = read_acme_status(issuer)
        emails = ",".join(spec.emails)
        known = before.uri and _same_account(before, spec, key_hash) and not self._accounts.doubted(ref)
        if known and await session.leads_here(before.uri):  # one of another server is none
            if before.last_registered_email == emails:
                return before.uri
            session.account_url = before.uri
            return _valid(await session.update_account(registration), spec)
        # Finding needs no binding and changes nothing; an account that was there keeps its contacts until they are set.
        found = await session.find_account()
        if found is None:
            return _valid(await session.register(registration), spec)
        session.account_url = _valid(found, spec)
        if found.contact != registration.contact():
            await session.update_account(registration)
        return found.url

    def _judged(self, error: AcmeError) -> tuple[Unusable, datetime | None]:
        """Why there is no account, and until when the CA wants to be left alone, if it said so."""
        now = self._clock()
        verdict = judge(error, now)
        message = f"Failed to register ACME account: {verdict.text}"
        until: datetime | None = getattr(verdict, "not_before", None)
        if until is not None:
            return Unusable(NOT_REGISTERED, message, _seconds(until - now)), until
        return Unusable(NOT_REGISTERED, message, _FATAL_RECHECK if isinstance(verdict, Fatal) else None), None


def account_key_hash(key: AccountKey) -> str:
    """SHA-256 of the private key in PKCS#1 (DER), base64: as cert-manager keeps it (status.acme.lastPrivateKeyHash).

    So neither asks the CA again when the other takes over (pkg/issuer/acme/setup.go). cert-manager has RSA keys only; of
    another key it is the public one.
    """
    private = key.jwk.key
    if key.jwk.typ == "RSA":
        pkcs1 = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return base64.b64encode(hashlib.sha256(pkcs1).digest()).decode()
    public = key.jwk.public_key().key
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def _external(spec: AcmeIssuer) -> str:
    return spec.external.key_id if spec.external is not None else ""


def _same_account(before: AcmeStatus, spec: AcmeIssuer, key_hash: str) -> bool:
    """Tell whether the account in a status is the one that this spec would get: by key, directory and binding. Pure.

    cert-manager, and versions of ours before, wrote of the key alone.
    """
    if before.last_private_key_hash != key_hash:
        return False
    return not before.last_server or (before.last_server, before.last_external_account) == (
        spec.server,
        _external(spec),
    )


def _valid(account: Registered, spec: AcmeIssuer) -> str:
    """The URL of an account that may order. Raises Unusable for one that is over: its key gets no other (RFC 8555, 7.3.6)."""
    if account.valid:
        return account.url
    raise Unusable(
        NOT_REGISTERED,
        f"Secret {spec.secret_namespace}/{spec.account_secret}: the CA says that this key's account is {account.status}; delete"
        " the Secret, or name another in spec.acme.privateKeySecretRef, and a new key and account are made",
        _FATAL_RECHECK,
    )


def _seconds(wait: timedelta) -> float:
    return max(wait.total_seconds(), 1.0)
