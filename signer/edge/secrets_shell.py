"""The Secrets of gateways: a placeholder first, never over what is there; kept for a while when nobody wants them.

Used on the loop. What there is is read live where the watch does not show it: only our own Secrets are watched.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.secret import SECRETS, TLS_CERT, TLS_TYPE, Secret
from signer.edge.keep import KEPT, Fate, fate
from signer.edge.made import (
    CERTIFICATE_NAME,
    EDGE_LABEL,
    PLACEHOLDER,
    SOURCE_NAMESPACE,
    SOURCE_NAMESPACE_UID,
    UNUSED_SINCE,
    placeholder_secret,
)
from signer.edge.placeholder import is_placeholder, placeholder
from signer.edge.reserved import Existing, in_the_way
from signer.edge.wish import Wish
from signer.kube.client import ApiClient
from signer.kube.codec import JsonCodec
from signer.kube.errors import Conflict, NotFound
from signer.kube.reflector import Change, Reflector
from signer.tenancy.verdict import Reason

Key = tuple[str, str]
_LONGEST = timedelta(hours=1)
"""Timers follow the monotonic clock, dates the wall clock: longer waits are looked at in between."""


class GatewaySecrets:
    """Our Secrets, by where they are and by who wanted them. `is_ca_secret` tells which an issuer signs with."""

    def __init__(
        self,
        client: ApiClient,
        is_ca_secret: Callable[[str, str], bool],
        *,
        clock: Callable[[], datetime],
        on_restart: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._is_ca_secret = is_ca_secret
        self._clock = clock
        self.of_namespace: dict[str, set[Key]] = {}
        self.watch = Reflector(
            client,
            SECRETS,
            JsonCodec(Secret),
            label_selector=f"{EDGE_LABEL}=true",
            on_restart=lambda _: on_restart(SECRETS.plural),
        )
        self.watch.subscribe(self._changed)

    async def prepare(self, wish: Wish, target: str, source_uid: str) -> Reason | None:
        """Have a Secret of ours for the wish in the target namespace; or tell what is in the way.

        Raises ApiError (Conflict: somebody was faster, ask again), Unreachable.
        """
        key = (target, wish.secret_name)
        secret = self.watch.store.get(key) or await self._read(key)
        is_ca = self._is_ca_secret(*key)
        if secret is None:
            if (why := in_the_way(wish.secret_name, None, None, issuers_ca=is_ca)) is not None:
                return why
            await self._create(wish, target, source_uid)
            return None
        mine = secret.metadata.uid if is_ours(secret, wish.sources[0].namespace, source_uid) else None
        why = in_the_way(wish.secret_name, existing(secret), mine, issuers_ca=is_ca)
        if why is None:
            await self._note_used(secret)
        return why

    async def settle(
        self, namespace: str, wanted: Callable[[Secret], bool], used: Callable[[Key], bool]
    ) -> float | None:
        """Note which Secrets of a namespace nobody wants, and remove those long unused. `used`: a Certificate names it.

        Returns after how many seconds to look again, None for never.
        """
        again: float | None = None
        for key in sorted(self.of_namespace.get(namespace, ())):
            secret = self.watch.store.get(key)
            if secret is None or secret.metadata.deletion_timestamp:
                continue
            meta, now = secret.metadata, self._clock()
            since = from_rfc3339(meta.annotations.get(UNUSED_SINCE))
            is_wanted = wanted(secret)
            match fate(wanted=is_wanted, unused_since=since, now=now):
                case Fate.NOTE_UNUSED:
                    await self._annotate(secret, {UNUSED_SINCE: to_rfc3339(now)})
                    again = _LONGEST.total_seconds()
                case Fate.NOTE_USED:
                    await self._annotate(secret, {UNUSED_SINCE: None})
                case Fate.REMOVE if not used(key) and _made_by_us(secret):
                    await self._remove(secret)
                case Fate.STAYS if not is_wanted and since is not None:
                    left = min(max(since + KEPT - now, timedelta(seconds=1)), _LONGEST).total_seconds()
                    again = left if again is None else min(again, left)
                case _:
                    pass
        return again

    async def _create(self, wish: Wish, target: str, source_uid: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock()
        certificate = placeholder(wish.hosts, key, now=now, serial=1 + secrets.randbits(120))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        body = placeholder_secret(wish, target, source_namespace_uid=source_uid, certificate=certificate, key=pem)
        await self._client.create(SECRETS, body)

    async def _read(self, key: Key) -> Secret | None:
        try:
            return msgspec.convert(await self._client.get(SECRETS, key[1], key[0]), Secret)
        except NotFound:
            return None

    async def _note_used(self, secret: Secret) -> None:
        """Take away what is no longer true: that it is unused, and that it is a placeholder."""
        notes = secret.metadata.annotations
        over: dict[str, str | None] = {}
        if UNUSED_SINCE in notes:
            over[UNUSED_SINCE] = None
        if PLACEHOLDER in notes and not await asyncio.to_thread(holds_placeholder, secret):
            over[PLACEHOLDER] = None
        if over:
            await self._annotate(secret, over)

    async def _annotate(self, secret: Secret, annotations: dict[str, str | None]) -> None:
        meta = secret.metadata
        body = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": annotations}}
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
        for secret, present in ((change.old, False), (change.new, True)):
            if secret is None:
                continue
            namespace = secret.metadata.labels.get(SOURCE_NAMESPACE, "")
            keys = self.of_namespace.setdefault(namespace, set())
            (keys.add if present else keys.discard)(change.key)
            if not keys:
                del self.of_namespace[namespace]


def is_ours(secret: Secret, source: str, source_uid: str) -> bool:
    """Tell whether a Secret was made for this namespace.

    Who may write Secrets of the namespace that it is in could say so falsely, and could as well write any certificate
    there.
    """
    meta = secret.metadata
    return (
        _made_by_us(secret)
        and meta.labels.get(SOURCE_NAMESPACE) == source
        and meta.annotations.get(SOURCE_NAMESPACE_UID) == source_uid
    )


def _made_by_us(secret: Secret) -> bool:
    meta = secret.metadata
    return (
        secret.type == TLS_TYPE
        and meta.labels.get(EDGE_LABEL) == "true"
        and bool(meta.annotations.get(SOURCE_NAMESPACE_UID))
        and meta.annotations.get(CERTIFICATE_NAME) == meta.name
    )


def holds_placeholder(secret: Secret) -> bool:
    """Tell whether a placeholder is what a Secret holds."""
    leaf = _leaf(secret)
    return leaf is not None and is_placeholder(leaf)


def existing(secret: Secret) -> Existing:
    """See a Secret as the rules do."""
    meta = secret.metadata
    leaf = _leaf(secret)
    return Existing(meta.uid, secret.type, _is_ca(leaf), leaf is not None, meta.labels)


def _leaf(secret: Secret) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificates(secret.data.get(TLS_CERT, b""))[0]
    except (ValueError, IndexError):
        return None


def _is_ca(leaf: x509.Certificate | None) -> bool:
    if leaf is None:
        return False
    try:
        return leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
