"""ACME issuers: their account keys, their accounts, and their status in cert-manager's words.

Runs on the loop, in the leader. The key is made and stored before the account is; an account is found by its key, so a
restart at any point registers nothing twice. The status names the account's URL: a restart asks no server for it.
Sources: RFC 8555, 7.3; cert-manager v1.20, pkg/issuer/acme/setup.go (reasons).
"""

import base64
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization

from issuers.acme.account import (
    AccountKey,
    BadAccount,
    ExternalAccount,
    Registration,
    external_account,
    generate_key,
    load_key,
    read_emails,
)
from issuers.acme.client import Session, Sessions
from issuers.acme.errors import AcmeError, ForbiddenTarget, RateLimited, judge
from issuers.acme.targets import same_origin
from signer.api.acmeissuer import read_acme_status
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.api.meta import find_condition, set_condition
from signer.api.secret import SECRETS, Secret
from signer.authorities.registry import Registry
from signer.edge.accounts import Account, Accounts
from signer.edge.challenge_routes import PART_OF
from signer.edge.issuer_spec import AcmeIssuer, judge_acme
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from signer.kube.queue import WorkQueue
from signer.observe.events import EventRecorder, ObjectReference
from signer.tenancy.verdict import Refuse

log = logging.getLogger(__name__)

READY = "Ready"
REGISTERED = "ACMEAccountRegistered"
NOT_REGISTERED = "ErrRegisterACMEAccount"
NOT_VERIFIED = "ErrVerifyACMEAccount"
INVALID = "InvalidConfiguration"
_REGISTERED_MESSAGE = "The ACME account was registered with the ACME server"
# What is refused for good is asked again once in a while, for people who mend it at the CA.
_FATAL_RECHECK = 3600.0
_SECRET_RECHECK = 10.0


class _Unusable(Exception):
    """Why there is no account now; `recheck` is in seconds, None for "with growing pauses", 0 for "when it changes"."""

    def __init__(self, reason: str, message: str, recheck: float | None = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.recheck = recheck


class AcmeIssuerController:
    """Keeps accounts and status of ACME issuers. `queue` holds issuers."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        recorder: EventRecorder,
        accounts: Accounts,
        queue: WorkQueue[IssuerRef],
        *,
        cluster_resource_namespace: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._registry = registry
        self._recorder = recorder
        self._accounts = accounts
        self._namespace = cluster_resource_namespace
        self._clock = clock
        self._users: dict[tuple[str, str], set[IssuerRef]] = {}
        self.queue = queue
        accounts.on_lost(queue.add)

    def secret_changed(self, namespace: str, name: str) -> None:
        """Look again at the issuers whose account key or binding lies in this Secret."""
        for ref in self._users.get((namespace, name), ()):
            self.queue.add(ref)

    async def reconcile(self, ref: IssuerRef) -> None:
        """Take one issuer as far as it can go now."""
        state = self._registry.get(ref)
        if state is None or state.kind != "acme" or state.issuer.metadata.deletion_timestamp:
            self._forget(ref)
            self._accounts.drop(ref)
            return
        issuer = state.issuer
        spec = judge_acme(issuer, self._namespace)
        try:
            uri, key_hash, emails = await self._usable(ref, issuer, spec)
        except _Unusable as error:
            self._accounts.drop(ref)
            await self._tell(ref, issuer, ready=False, reason=error.reason, message=str(error))
            if error.recheck is None:
                self.queue.add_backoff(ref)
            elif error.recheck:
                self.queue.add_after(ref, error.recheck)
            return
        acme = {"uri": uri, "lastRegisteredEmail": emails, "lastPrivateKeyHash": key_hash}
        await self._tell(ref, issuer, ready=True, reason=REGISTERED, message=_REGISTERED_MESSAGE, acme=acme)

    async def _usable(self, ref: IssuerRef, issuer: Issuer, spec: AcmeIssuer | Refuse) -> tuple[str, str, str]:
        """Return the account's URL, the hash of its key, and its contacts. Raises _Unusable."""
        if isinstance(spec, Refuse):
            raise _Unusable(INVALID, spec.message)
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
        pem = await self._key(spec)
        try:
            key = load_key(pem)
        except BadAccount as error:
            raise _Unusable(NOT_VERIFIED, f"Secret {spec.secret_namespace}/{spec.account_secret}: {error}") from None
        key_hash = _hash(key)
        known = self._accounts.get(ref)
        if known is not None and known.issuer == spec and known.pem == pem and known.sessions.account_url:
            return known.sessions.account_url, key_hash
        registration = await self._registration(spec)
        try:
            sessions = self._accounts.open(spec, key)
        except ForbiddenTarget as error:
            raise _Unusable(INVALID, f"spec.acme: {error}") from None
        try:
            sessions.account_url = await self._url(ref, issuer, spec, sessions, registration, key_hash)
        except AcmeError as error:
            self._accounts.retire(sessions)
            raise self._judged(error) from error
        except BaseException:
            self._accounts.retire(sessions)
            raise
        self._accounts.put(ref, Account(spec, key, sessions, pem))
        return sessions.account_url, key_hash

    async def _url(
        self,
        ref: IssuerRef,
        issuer: Issuer,
        spec: AcmeIssuer,
        sessions: Sessions,
        registration: Registration,
        key_hash: str,
    ) -> str:
        before = read_acme_status(issuer)
        emails = ",".join(spec.emails)
        if before.uri and before.last_private_key_hash == key_hash and not self._accounts.doubted(ref):
            try:
                same_origin(before.uri, spec.origin, "status.acme.uri")
            except ForbiddenTarget:
                pass  # of another server
            else:
                if before.last_registered_email == emails:
                    return before.uri
                sessions.account_url = before.uri
                await sessions.call(Session.update_account, registration)
                return before.uri
        # Finding needs no binding and changes nothing; an account that was there keeps its contacts until they are set.
        found = await sessions.call(Session.find_account)
        if found is None:
            return (await sessions.call(Session.register, registration)).url
        sessions.account_url = found.url
        if tuple(found.contact or ()) != registration.contact():
            await sessions.call(Session.update_account, registration)
        return found.url

    async def _key(self, spec: AcmeIssuer) -> bytes:
        secret = await self._secret(spec.secret_namespace, spec.account_secret)
        where = f"Secret {spec.secret_namespace}/{spec.account_secret}"
        if secret is not None:
            pem = secret.data.get(spec.account_key, b"")
            if not pem:
                raise _Unusable(NOT_VERIFIED, f"{where}: no data at key {spec.account_key}")
            return pem
        if not spec.make_key:
            message = f"{where} not found, and spec.acme.disableAccountKeyGeneration is set"
            raise _Unusable(NOT_VERIFIED, message, _SECRET_RECHECK)
        pem = generate_key()
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": spec.account_secret, "namespace": spec.secret_namespace, "labels": dict(PART_OF)},
            "type": "Opaque",
            "data": {spec.account_key: base64.b64encode(pem).decode()},
        }
        try:
            await self._client.create(SECRETS, body)
        except AlreadyExists:
            return await self._key(spec)
        except (Forbidden, Invalid, NotFound) as error:
            raise _Unusable(NOT_REGISTERED, f"{where} cannot be made: {error.message}", None) from None
        return pem

    async def _registration(self, spec: AcmeIssuer) -> Registration:
        try:
            emails = tuple(one for text in spec.emails for one in read_emails(text))
            return Registration(emails, await self._external(spec))
        except BadAccount as error:
            raise _Unusable(INVALID, f"spec.acme.{error}") from None

    async def _external(self, spec: AcmeIssuer) -> ExternalAccount | None:
        binding = spec.external
        if binding is None:
            return None
        secret = await self._secret(spec.secret_namespace, binding.secret_name)
        value = secret.data.get(binding.secret_key) if secret is not None else None
        if value is None:
            where = f"Secret {spec.secret_namespace}/{binding.secret_name}"
            message = f"spec.acme.externalAccountBinding.keySecretRef: {where} has no key {binding.secret_key}"
            raise _Unusable(NOT_REGISTERED, message, _SECRET_RECHECK)
        return external_account(binding.key_id, value)

    async def _secret(self, namespace: str, name: str) -> Secret | None:
        try:
            return msgspec.convert(await self._client.get(SECRETS, name, namespace), Secret)
        except NotFound:
            return None

    def _judged(self, error: AcmeError) -> _Unusable:
        now = self._clock()
        verdict = judge(error, now)
        message = f"Failed to register ACME account: {verdict.text}"
        if isinstance(verdict, RateLimited):
            return _Unusable(NOT_REGISTERED, message, _seconds(verdict.not_before - now))
        if (until := getattr(verdict, "not_before", None)) is not None:
            return _Unusable(NOT_REGISTERED, message, _seconds(until - now))
        fatal = type(verdict).__name__ == "Fatal"
        return _Unusable(NOT_REGISTERED, message, _FATAL_RECHECK if fatal else None)

    async def _tell(
        self,
        ref: IssuerRef,
        issuer: Issuer,
        *,
        ready: bool,
        reason: str,
        message: str,
        acme: dict[str, str] | None = None,
    ) -> None:
        """Write the status if it differs, and an Event when Ready or its reason does."""
        before = find_condition(issuer.status.conditions, READY)
        conditions = set_condition(
            issuer.status.conditions,
            READY,
            "True" if ready else "False",
            reason=reason,
            message=message,
            now=self._clock(),
            generation=issuer.metadata.generation,
        )
        status: dict[str, Any] = {"conditions": msgspec.to_builtins(conditions)}
        written = read_acme_status(issuer)
        if acme is not None and (written.uri, written.last_registered_email, written.last_private_key_hash) != tuple(
            acme.values()
        ):
            status["acme"] = acme
        elif conditions == issuer.status.conditions:
            return
        resource = CLUSTER_ISSUERS if ref.kind == "ClusterIssuer" else ISSUERS
        body = {"metadata": {"resourceVersion": issuer.metadata.resource_version}, "status": status}
        try:
            await self._client.patch(resource, ref.name, body, namespace=ref.namespace or None, subresource="status")
        except Conflict:
            # The cache is behind: its change comes, and brings the issuer back.
            self.queue.add_after(ref, 0.2)
            return
        except NotFound:
            return
        if before is None or (before.status == "True") != ready or before.reason != reason:
            meta = issuer.metadata
            about = ObjectReference(
                resource.api_version, resource.kind, meta.namespace, meta.name, meta.uid, meta.resource_version
            )
            self._recorder.emit(about, "Normal" if ready else "Warning", reason, message)


def _hash(key: AccountKey) -> str:
    """SHA-256 of the public key in DER, base64: as cert-manager keeps it (status.acme.lastPrivateKeyHash)."""
    public = key.jwk.public_key().key
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def _seconds(wait: timedelta) -> float:
    return max(wait.total_seconds(), 1.0)
