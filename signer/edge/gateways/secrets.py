"""The Secrets of gateways: a placeholder first, never over what is there; kept for a while when nobody wants them.

Used on the loop. What there is is read live where the watch does not show it: only our own Secrets are watched.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec
from cryptography import x509

from issuers.x509 import loading, parts
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.notes import text_note
from signer.api.secret import SECRETS, TLS_CERT, Secret, read_secret
from signer.api.tls_secret import is_ca, is_placeholder, key_pair, public_key_hash, read_leaf
from signer.edge.gateways.bodies import FAO_LABEL, PLACEHOLDER, UNUSED_SINCE, gateway_secret
from signer.edge.gateways.placeholder import new_placeholder, still_good, wait_for_issuance
from signer.edge.gateways.wish import Wish
from signer.edge.hosts.decide import Asker
from signer.edge.hosts.proven import InUse
from signer.edge.hosts.retention import KEPT, Fate, fate
from signer.edge.hosts.secret_records import (
    MOST_SECRETS,
    Kept,
    SecretRecords,
    answers,
    proves,
)
from signer.edge.reserved import Existing, in_the_way
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.errors import Conflict, NotFound
from signer.kube.reflector import Change, Reflector
from signer.kube.room import SPARE
from signer.tenancy.verdict import Reason

Key = tuple[str, str]
_LONGEST = timedelta(hours=1)
"""Timers follow the monotonic clock, dates the wall clock: longer waits are looked at in between."""


class GatewaySecrets:
    """Our Secrets. `is_ca_secret` tells which an issuer signs with; `records` which were made by us.

    `certificate` gives the Certificate that we made beside a Secret, if there is one.
    """

    def __init__(
        self,
        client: ApiClient,
        is_ca_secret: Callable[[str, str], bool],
        records: SecretRecords,
        certificate: Callable[[Key], Certificate | None],
        *,
        clock: Callable[[], datetime],
        on_restart: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._is_ca_secret = is_ca_secret
        self._records = records
        self._certificate = certificate
        self._clock = clock
        # Of our Secrets that somebody deleted: what they held, when they went, and the UID of the namespace that had them.
        self._lost: dict[Key, tuple[Secret, datetime, str]] = {}
        self.watch = Reflector(
            client,
            SECRETS,
            JsonCodec(Secret),
            label_selector=f"{EDGE_LABEL}=true",
            rank=lambda _: SPARE,
            on_restart=lambda _: on_restart(SECRETS.plural),
        )
        self.watch.subscribe(self._changed)

    async def prepare(self, wish: Wish, target: str, asker: Asker, *, issuing: bool) -> Reason | float | None:
        """Have a Secret of ours for the wish in the target namespace.

        `issuing`: its Certificate has begun to ask for another certificate. Returns what is in the way; or after how
        many seconds to ask again; or None. Raises ApiError (Conflict: another writer was faster, ask again), Unreachable.
        """
        key = (target, wish.secret_name)
        secret = self.watch.store.get(key) or await self._read(key)
        is_ca = self._is_ca_secret(*key)
        if secret is None:
            if (why := in_the_way(wish.secret_name, None, None, issuers_ca=is_ca)) is not None:
                return why
            return await self._create(wish, target, asker, issuing=issuing)
        self._lost.pop(key, None)
        kept = self._records.find(key, asker, secret) or await self._issued(key, asker, secret)
        mine = secret.metadata.uid if kept is not None else None
        why = in_the_way(wish.secret_name, existing(secret), mine, issuers_ca=is_ca)
        if why is None and kept is not None:
            claims = [host.claim_name for host in wish.hosts]
            if not self._records.stands(key, secret.metadata.uid, claims):
                await self._records.move(kept, claims[0], secret.metadata.uid)
            await self._mend(secret, asker)
        return why

    async def in_use(self, keys: Iterable[Key], now: datetime) -> InUse | None:
        """What is served from these Secrets: of several the one that ends first, None where one has nothing valid."""
        found: list[InUse] = []
        for key in keys:
            secret = self.watch.store.get(key)
            leaf = await asyncio.to_thread(read_leaf, secret) if secret is not None else None
            if leaf is None or is_placeholder(leaf) or leaf.not_valid_after_utc <= now:
                return None
            found.append(InUse(frozenset(dns_names(leaf)), leaf.not_valid_before_utc, leaf.not_valid_after_utc))
        return min(found, key=lambda one: one.end, default=None)

    async def settle(self, asker: Asker, stays: Callable[[Key], bool], used: Callable[[Key], bool]) -> float | None:
        """Note which Secrets that were made for a namespace nobody wants, and remove those long unused.

        `stays`: the namespace wants it; `used`: a Certificate names it. A namespace that is gone has the UID "".
        Returns after how many seconds to look again, None for never.
        """
        again: float | None = None
        for kept in self._records.of_namespace(asker.namespace):
            key, now = kept.key, self._clock()
            is_wanted = kept.namespace_uid == asker.uid and stays(key)
            secret = self.watch.store.get(key) or (None if is_wanted else await self._read(key))
            if not is_wanted:
                self._lost.pop(key, None)
            if secret is None or not proves(kept.record, secret):
                if not is_wanted:
                    await self._records.forget(kept)
                continue
            if secret.metadata.deletion_timestamp:
                continue
            since = from_rfc3339(text_note(secret.metadata.annotations, UNUSED_SINCE))
            match fate(wanted=is_wanted, unused_since=since, now=now):
                case Fate.NOTE_UNUSED:
                    await self._annotate(secret, {UNUSED_SINCE: to_rfc3339(now)})
                    again = _LONGEST.total_seconds()
                case Fate.NOTE_USED:
                    await self._annotate(secret, {UNUSED_SINCE: None})
                case Fate.REMOVE if not used(key):
                    await self._remove(secret)
                    self._lost.pop(key, None)
                    await self._records.forget(kept)
                case Fate.STAYS if not is_wanted and since is not None:
                    left = min(max(since + KEPT - now, timedelta(seconds=1)), _LONGEST).total_seconds()
                    again = left if again is None else min(again, left)
                case _:
                    pass
        return again

    async def _issued(self, key: Key, asker: Asker, secret: Secret) -> Kept | None:
        """The record of an earlier Secret of this name, if the Certificate that we made wrote this one in its place.

        That is so when it holds a key pair for which that Certificate's own request was answered.
        """
        before = self._records.earlier(key, asker)
        certificate = self._certificate(key)
        if before is None or certificate is None or (holds := await asyncio.to_thread(key_pair, secret)) is None:
            return None
        for one in await self._client.list(CERTIFICATE_REQUESTS, key[0]):
            request = msgspec.convert(one, CertificateRequest)
            if request.metadata.owned_by(certificate.metadata, CERTIFICATES) and answers(request, holds):
                return before
        return None

    async def _create(self, wish: Wish, target: str, asker: Asker, *, issuing: bool) -> Reason | float | None:
        """Make it: with what it held before, if it was deleted; else with a placeholder."""
        key, now = (target, wish.secret_name), self._clock()
        claim = wish.hosts[0].claim_name
        if self._records.full(claim):
            return Reason("TooManySecrets", f"{wish.hosts[0]} is the first host of {MOST_SECRETS} Secrets already")
        data = None
        if key in self._lost and self._lost[key][2] != asker.uid:
            # An earlier namespace of this name had it, or another one whose proxies run here: its key is nobody else's.
            del self._lost[key]
        if key in self._lost:
            lost, since, _ = self._lost[key]
            if (left := wait_for_issuance(since, now, issuing=issuing)) is not None:
                return left
            data = await asyncio.to_thread(still_good, lost, now)
        placeholder = data is None
        if data is None:
            data = await asyncio.to_thread(new_placeholder, wish.hosts, now)
        body = gateway_secret(wish, target, source_namespace_uid=asker.uid, data=data, placeholder=placeholder)
        leaf = loading.certificates(data[TLS_CERT])[0]  # what we made, or read before
        noted = await self._records.announce(claim, key, public_key_hash(leaf))
        created = await self._client.create(SECRETS, body)
        await self._records.made(noted, key, created["metadata"]["uid"])
        self._lost.pop(key, None)
        return None

    async def _read(self, key: Key) -> Secret | None:
        try:
            return read_secret(await self._client.get(SECRETS, key[1], key[0]))
        except NotFound:
            return None

    async def _mend(self, secret: Secret, asker: Asker) -> None:
        """Take away what is no longer true (unused, a placeholder); put back what we know it by."""
        meta = secret.metadata
        over: dict[str, str | None] = {}
        if UNUSED_SINCE in meta.annotations:
            over[UNUSED_SINCE] = None
        if PLACEHOLDER in meta.annotations and not await asyncio.to_thread(holds_placeholder, secret):
            over[PLACEHOLDER] = None
        if meta.annotations.get(SOURCE_NAMESPACE_UID) != asker.uid:
            over[SOURCE_NAMESPACE_UID] = asker.uid
        wanted = {EDGE_LABEL: "true", SOURCE_NAMESPACE: asker.namespace, FAO_LABEL: "true"}
        labels = {name: value for name, value in wanted.items() if meta.labels.get(name) != value}
        if over or labels:
            await self._annotate(secret, over, labels)

    async def _annotate(
        self, secret: Secret, annotations: dict[str, str | None], labels: dict[str, str] | None = None
    ) -> None:
        meta = secret.metadata
        metadata = {"uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": annotations}
        body = {"metadata": metadata | {"labels": labels or {}}}
        try:
            await self._client.patch(SECRETS, meta.name, body, namespace=meta.namespace)
        except NotFound:
            return

    async def _remove(self, secret: Secret) -> None:
        meta = secret.metadata
        try:
            await self._client.delete(
                SECRETS, meta.name, meta.namespace, uid=meta.uid, resource_version=meta.resource_version
            )
        except (NotFound, Conflict):
            return

    def _changed(self, change: Change[Secret]) -> None:
        if change.new is None and change.old is not None:
            owner = self._records.made_for(change.key, change.old.metadata.uid)
            if owner:
                self._lost[change.key] = (change.old, self._clock(), owner)


def dns_names(leaf: x509.Certificate) -> list[str]:
    """The DNS names of a certificate, in lower case."""
    names = parts.alt_names(leaf)
    return [name.lower() for name in names.dns_names] if names is not None else []


def holds_placeholder(secret: Secret) -> bool:
    """Tell whether a placeholder is what a Secret holds."""
    leaf = read_leaf(secret)
    return leaf is not None and is_placeholder(leaf)


def existing(secret: Secret) -> Existing:
    """See a Secret as the rules do."""
    meta = secret.metadata
    leaf = read_leaf(secret)
    return Existing(meta.uid, secret.type, leaf is not None and is_ca(leaf), meta.labels)
