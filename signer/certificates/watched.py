"""The objects that Certificates depend on, and which Certificates a change concerns.

Everything runs on one loop: reflectors call the handlers here, which keep small indexes and put keys into the queue.
Secrets are watched by cert-manager's label, so that the process does not hold every Secret of the cluster.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest, compact
from signer.api.secret import NEXT_KEY_LABEL, SECRETS, Secret
from signer.certificates.secrets.keystores import password_secrets
from signer.certificates.well_known import FAO_LABEL
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource
from signer.kube.room import FIRST, SPARE, USUAL

Key = tuple[str, str]
"""(namespace, name)."""
Owned = TypeVar("Owned", CertificateRequest, Secret)


def watch_certificates(client: ApiClient, on_restart: Callable[[str], None]) -> Reflector[Certificate]:
    """Make the one watch of Certificates: all that the leader runs subscribes to it, and the leader runs it."""
    return Reflector(
        client, CERTIFICATES, JsonCodec(Certificate), on_restart=lambda _why: on_restart(CERTIFICATES.plural)
    )


class Watched:
    """Certificates, and reflectors of CertificateRequests and labelled Secrets, with indexes by owner and Secret name.

    `certificates` is run by whoever made it. `enqueue` is called with the key of each Certificate that must be looked at
    again; `on_restart` with a resource's name when its watch was opened again.
    """

    def __init__(
        self, client: ApiClient, certificates: Reflector[Certificate], *, on_restart: Callable[[str], None]
    ) -> None:
        def restarted(resource: Resource) -> Callable[[str], None]:
            return lambda _why: on_restart(resource.plural)

        self.certificates = certificates
        self.requests = Reflector(
            client,
            CERTIFICATE_REQUESTS,
            JsonCodec(CertificateRequest, keep=compact),
            rank=_rank_of_request,
            on_restart=restarted(CERTIFICATE_REQUESTS),
        )
        self.secrets = Reflector(
            client,
            SECRETS,
            JsonCodec(Secret),
            label_selector=f"{FAO_LABEL}=true",
            rank=_rank_of_secret,
            on_restart=restarted(SECRETS),
        )
        self.enqueue: Callable[[Key], None] = lambda _key: None
        self._users: dict[Key, set[str]] = defaultdict(set)
        self._password_users: dict[Key, set[str]] = defaultdict(set)
        self._by_uid: dict[str, Key] = {}
        self._requests_of: dict[str, set[Key]] = defaultdict(set)
        self._keys_of: dict[str, set[Key]] = defaultdict(set)
        self.certificates.subscribe(self._certificate_changed)
        self.requests.subscribe(self._request_changed)
        self.secrets.subscribe(self._secret_changed)

    def rivals(self, certificate: Certificate) -> list[Certificate]:
        """The other Certificates that name the same Secret; those on their way out do not count."""
        meta = certificate.metadata
        users = self._users.get((meta.namespace, certificate.spec.secret_name), set())
        found = [self.certificates.store.get((meta.namespace, name)) for name in users if name != meta.name]
        return [one for one in found if one is not None and not one.metadata.deletion_timestamp]

    @property
    def passwords(self) -> int:
        """How many passwords of keystores are looked for in Secrets, by all Certificates."""
        return sum(map(len, self._password_users.values()))

    def requests_of(self, certificate: Certificate) -> list[CertificateRequest]:
        """The CertificateRequests that this Certificate controls."""
        return _owned(certificate, self._requests_of, self.requests)

    def key_secrets_of(self, certificate: Certificate) -> list[Secret]:
        """The Secrets with a next private key that this Certificate controls."""
        return _owned(certificate, self._keys_of, self.secrets)

    def _certificate_changed(self, change: Change[Certificate]) -> None:
        if change.kind == "synced":
            return
        namespace, name = change.key
        old = (namespace, change.old.spec.secret_name) if change.old is not None else None
        new = (namespace, change.new.spec.secret_name) if change.new is not None else None
        if change.old is not None:
            self._by_uid.pop(change.old.metadata.uid, None)
        if change.new is not None:
            self._by_uid[change.new.metadata.uid] = change.key
        if old is not None and old != new:
            _discard(self._users, old, name)
        if new is not None:
            self._users[new].add(name)
        for secret in _password_keys(change.old):
            _discard(self._password_users, secret, name)
        for secret in _password_keys(change.new):
            self._password_users[secret].add(name)
        self.enqueue(change.key)
        leaving = change.new is None or change.new.metadata.deletion_timestamp is not None
        if old != new or leaving:
            for used in {old, new} - {None}:
                self._enqueue_users(used)

    def _request_changed(self, change: Change[CertificateRequest]) -> None:
        self._owned_changed(change, self._requests_of)

    def _secret_changed(self, change: Change[Secret]) -> None:
        if change.kind == "synced":
            return
        self._enqueue_users(change.key)
        for name in self._password_users.get(change.key, ()):
            self.enqueue((change.key[0], name))
        either = change.new or change.old
        if either is not None and NEXT_KEY_LABEL in either.metadata.labels:
            self._owned_changed(change, self._keys_of)

    def _owned_changed(self, change: Change[CertificateRequest] | Change[Secret], index: dict[str, set[Key]]) -> None:
        for obj in (change.old, change.new):
            for owner in obj.metadata.owner_references if obj is not None else ():
                if not owner.controller or not owner.uid:
                    continue
                if change.new is None:
                    _discard(index, owner.uid, change.key)
                else:
                    index[owner.uid].add(change.key)
                key = self._by_uid.get(owner.uid)
                if key is not None and key[0] == change.key[0]:
                    self.enqueue(key)

    def _enqueue_users(self, secret: Key | None) -> None:
        if secret is not None:
            for name in self._users.get(secret, ()):
                self.enqueue((secret[0], name))


def _rank_of_request(request: CertificateRequest) -> int:
    """A Certificate's request is young when an old Certificate is renewed, and of no use once the certificate is in its Secret.

    Without the request of what was issued, the certificate itself is held against the spec, as after it was deleted.
    """
    if request.status.certificate:
        return SPARE
    return FIRST if any(owner.names(CERTIFICATES) for owner in request.metadata.owner_references) else USUAL


def _rank_of_secret(secret: Secret) -> int:
    """A key of an issuance under way is looked for here only; a Certificate's Secret is read when it is not here."""
    return FIRST if NEXT_KEY_LABEL in secret.metadata.labels else SPARE


def _owned(certificate: Certificate, index: dict[str, set[Key]], watched: Reflector[Owned]) -> list[Owned]:
    """What names the Certificate as its owner and is its own: in its namespace."""
    meta = certificate.metadata
    found = (watched.store.get(key) for key in sorted(index.get(meta.uid, ())))
    return [one for one in found if one is not None and one.metadata.owned_by(meta, CERTIFICATES)]


def _password_keys(certificate: Certificate | None) -> set[Key]:
    if certificate is None:
        return set()
    return {(certificate.metadata.namespace, name) for name in password_secrets(certificate.spec)}


def _discard(index: dict[Any, set[Any]], key: object, value: object) -> None:
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]
