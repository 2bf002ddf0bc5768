"""Which Secrets are ours, by a record of our own: in the status of a HostClaim, which only mesh-signer writes.

A label or an annotation of a Secret says nothing: whoever may write Secrets could set it. A record names the Secret's UID;
before the Secret is made, it names the public key that it will hold, so that a process that is killed in between knows it
again by the private key, which nobody else has. It lies on the claim of one of the hosts that the Secret is for.
Used on the loop, in the leader.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm

from signer.api.certificaterequest import CertificateRequest
from signer.api.hostclaim import HOST_CLAIMS, HostClaim, SecretRecord
from signer.api.secret import Secret
from signer.api.tls_secret import key_pair, leaf_of, public_key_hash
from signer.edge.hosts.decide import Asker
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.reflector import Change, Reflector

Key = tuple[str, str]
WriteStatus = Callable[[HostClaim, Mapping[str, Any]], Awaitable[HostClaim]]
MOST_SECRETS = 64
"""On one claim; as the CustomResourceDefinition says."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record, on the HostClaim of that name, for a namespace and the UID that it had."""

    record: SecretRecord
    claim: str
    namespace: str
    namespace_uid: str

    @property
    def key(self) -> Key:
        """Where the Secret is."""
        return self.record.namespace, self.record.name


def proves(record: SecretRecord, secret: Secret) -> bool:
    """Tell whether a Secret is the recorded one: by its UID; or, where that could not be noted any more, by its keys."""
    if record.uid:
        return record.uid == secret.metadata.uid
    return bool(record.public_key) and key_pair(secret) == record.public_key


def answers(request: CertificateRequest, public_key: str) -> bool:
    """Tell whether a request was answered with a certificate for this public key."""
    leaf = leaf_of(request.status.certificate)
    try:
        return leaf is not None and public_key_hash(leaf) == public_key
    except (ValueError, UnsupportedAlgorithm):
        return False


class SecretRecords:
    """The records of all claims, by Secret. `write` writes fields of a claim's status, as Claims does.

    What was noted last is remembered beside what the watch shows: that may come late, and a claim may be released by an
    administrator while its Secret is still ours.
    """

    def __init__(self, client: ApiClient, hosts: Reflector[HostClaim], write: WriteStatus) -> None:
        self._client = client
        self._hosts = hosts
        self._write_status = write
        self._of: dict[Key, dict[str, Kept]] = {}
        self._noted: dict[Key, Kept] = {}
        hosts.subscribe(self._changed)

    def find(self, key: Key, asker: Asker, secret: Secret) -> Kept | None:
        """The record by which this Secret was made for this namespace; None when it was not."""
        for kept in self._about(key):
            if (kept.namespace, kept.namespace_uid) == (asker.namespace, asker.uid) and proves(kept.record, secret):
                return kept
        return None

    def stands(self, key: Key, uid: str, claims: Collection[str]) -> bool:
        """Whether one of these claims, as the watch shows them, has the record of this Secret."""
        return any(kept.claim in claims and kept.record.uid == uid for kept in self._of.get(key, {}).values())

    def earlier(self, key: Key, asker: Asker) -> Kept | None:
        """The record of a Secret of this name that was made for this namespace, whatever became of it."""
        found = (
            kept for kept in self._about(key) if (kept.namespace, kept.namespace_uid) == (asker.namespace, asker.uid)
        )
        return next(found, None)

    def uid(self, key: Key, asker: Asker) -> str:
        """The UID of the Secret of this name that was made for this namespace; "" when it is not known."""
        noted = self._noted.get(key)
        mine = noted is not None and (noted.namespace, noted.namespace_uid) == (asker.namespace, asker.uid)
        kept = noted if mine else self.earlier(key, asker)
        return kept.record.uid if kept is not None else ""

    def of_namespace(self, namespace: str) -> list[Kept]:
        """What was made for namespaces of this name, by Secret."""
        keys = sorted({*self._of, *self._noted})
        return [kept for key in keys for kept in self._about(key) if kept.namespace == namespace]

    def made_for(self, key: Key, uid: str) -> str:
        """The UID of the namespace for which the Secret of this name and UID was made by us; "" when it was not."""
        return next((kept.namespace_uid for kept in self._about(key) if kept.record.uid == uid), "")

    def sources(self, key: Key) -> set[str]:
        """The namespaces for which a Secret was made, by what is recorded."""
        return {kept.namespace for kept in self._about(key)}

    def full(self, claim: str) -> bool:
        """Whether a claim has no room for another record."""
        obj = self._hosts.store.get(("", claim))
        return obj is not None and len(obj.status.secrets) >= MOST_SECRETS

    async def announce(self, claim: str, key: Key, public_key: str) -> HostClaim:
        """Note which Secret will be made; returns the claim as written.

        Raises ApiError (Conflict: ask again; NotFound: the claim went), Unreachable.
        """
        # Read live where the watch may not show yet what was created just now.
        stored = self._hosts.store.get(("", claim)) or await self._read(claim)
        return await self._write(stored, key, SecretRecord(namespace=key[0], name=key[1], public_key=public_key))

    async def made(self, claim: HostClaim, key: Key, uid: str) -> None:
        """Note which it is. Raises as `announce`."""
        await self._write(claim, key, SecretRecord(namespace=key[0], name=key[1], uid=uid))

    async def move(self, kept: Kept, claim: str, uid: str) -> None:
        """Have a record on another claim, and with the UID. Raises as `announce`."""
        await self.made(await self._read(claim), kept.key, uid)
        if kept.claim != claim:
            await self._remove(kept)

    async def forget(self, kept: Kept) -> None:
        """Take a record away. Raises ApiError (Conflict: ask again), Unreachable."""
        self._noted.pop(kept.key, None)
        await self._remove(kept)

    def given_back(self, claim: HostClaim) -> None:
        """A claim became that of a namespace made again: so do the Secrets on it, before the watch tells."""
        self._noted |= {one.key: one for one in _records(claim)}

    def _about(self, key: Key) -> Iterator[Kept]:
        found = self._of.get(key, {})
        yield from (found[claim] for claim in sorted(found))
        if key in self._noted:
            yield self._noted[key]

    async def _read(self, claim: str) -> HostClaim:
        return msgspec.convert(await self._client.get(HOST_CLAIMS, claim), HostClaim)

    async def _remove(self, kept: Kept) -> None:
        try:
            await self._write(await self._read(kept.claim), kept.key, None)
        except NotFound:
            return

    async def _write(self, obj: HostClaim, key: Key, record: SecretRecord | None) -> HostClaim:
        before = obj.status.secrets
        after = [one for one in before if (one.namespace, one.name) != key]
        if record is not None:
            after.append(record)
            self._noted[key] = Kept(record, obj.metadata.name, obj.spec.namespace, obj.spec.namespace_uid)
        if tuple(after) == before:
            return obj
        return await self._write_status(obj, {"secrets": msgspec.to_builtins(after)})

    def _changed(self, change: Change[HostClaim]) -> None:
        if change.kind == "synced":
            return
        if change.old is not None:
            self._note(change.old, present=False)
            if change.new is None:
                self._noted |= {one.key: one for one in _records(change.old) if one.key not in self._noted}
        if change.new is not None:
            self._note(change.new, present=True)

    def _note(self, obj: HostClaim, *, present: bool) -> None:
        for kept in _records(obj):
            found = self._of.setdefault(kept.key, {})
            if present:
                found[kept.claim] = kept
            else:
                found.pop(kept.claim, None)
            if not found:
                del self._of[kept.key]


def _records(obj: HostClaim) -> list[Kept]:
    spec = obj.spec
    return [Kept(one, obj.metadata.name, spec.namespace, spec.namespace_uid) for one in obj.status.secrets]
