"""The Certificates that are made for gateways: created once, kept as they should be, removed when nobody wants them.

Used on the loop. All Certificates are watched: one that a user wrote keeps its host and its Secret from us.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.meta import has_condition
from signer.edge.gateways.bodies import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID, certificate_body
from signer.edge.gateways.first_secret import waits
from signer.edge.gateways.wish import Wish
from signer.edge.host import Host, read_host
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.reflector import Change, Reflector
from signer.tenancy.claims import shown
from signer.tenancy.verdict import Reason

Key = tuple[str, str]
K = TypeVar("K")
_HOSTS_TOLD = 3
_OPTIONAL = ("commonName", "duration", "renewBefore", "revisionHistoryLimit")


@dataclass(frozen=True, slots=True)
class Theirs:
    """A Certificate that a user wrote keeps the wish's Secret already: nothing is made. `missing`: hosts it does not name."""

    name: str
    missing: tuple[Host, ...] = ()


class EdgeCertificates:
    """Certificates by who wanted them and by namespace. `changed` is called with a namespace to look at again."""

    def __init__(
        self, client: ApiClient, changed: Callable[[str], None], *, on_restart: Callable[[str], None] = lambda _: None
    ) -> None:
        self._client = client
        self._changed = changed
        self.of_source: dict[str, set[Key]] = {}
        self.of_namespace: dict[str, set[Key]] = {}
        self.by_hand: dict[str, set[Key]] = {}
        self._by_hand_for: dict[Key, set[Key]] = {}
        self.watch = Reflector(
            client, CERTIFICATES, JsonCodec(Certificate), on_restart=lambda _: on_restart(CERTIFICATES.plural)
        )
        self.watch.subscribe(self._noticed)

    async def prepare(self, wish: Wish, target: str, source_uid: str, secret_uid: str) -> Theirs | Reason | bool:
        """Have the Certificate for a wish as it should be; whether it was created now, or what keeps us from it.

        Raises ApiError (Conflict: somebody was faster, ask again), Unreachable.
        """
        key = (target, wish.secret_name)
        body = certificate_body(wish, target, source_namespace_uid=source_uid, secret_uid=secret_uid)
        there = self.watch.store.get(key)
        if there is None:
            try:
                await self._client.create(CERTIFICATES, body)
            except AlreadyExists:
                found = await self._client.get(CERTIFICATES, key[1], key[0])
                there = msgspec.convert(found, Certificate)
            else:
                return True
        if there.metadata.deletion_timestamp:
            raise Conflict(409, "Conflict", f"Certificate {target}/{wish.secret_name} is being deleted")
        if (why := self.in_the_way(wish, target, source_uid, there)) is not None:
            return why
        over = _difference(there, body)
        if over:
            meta = {"uid": there.metadata.uid, "resourceVersion": there.metadata.resource_version}
            over["metadata"] = {**over.get("metadata", {}), **meta}
            await self._client.patch(CERTIFICATES, key[1], over, namespace=target)
        return False

    def in_the_way(
        self, wish: Wish, target: str, source_uid: str, there: Certificate | None = None
    ) -> Theirs | Reason | None:
        """Tell what keeps us from having a Certificate for this wish; see `rival`."""
        key = (target, wish.secret_name)
        found = (self.watch.store.get(one) for one in sorted(self._by_hand_for.get(key, ())))
        by_hand = [one for one in found if one is not None]
        return rival(wish, target, source_uid, there or self.watch.store.get(key), by_hand)

    async def settle(self, source: str, wanted: Callable[[Certificate], bool]) -> None:
        """Remove what was made for a namespace and is not wanted any more."""
        for key in sorted(self.of_source.get(source, ())):
            certificate = self.watch.store.get(key)
            if certificate is None or certificate.metadata.deletion_timestamp or wanted(certificate):
                continue
            try:
                await self._client.delete(CERTIFICATES, key[1], key[0], uid=certificate.metadata.uid)
            except (NotFound, Conflict):
                continue

    def names_secret(self, key: Key) -> bool:
        """Tell whether any Certificate beside it names this Secret."""
        certificates = (self.watch.store.get(one) for one in self.of_namespace.get(key[0], ()))
        return any(one is not None and one.spec.secret_name == key[1] for one in certificates)

    def issuing(self, key: Key) -> bool:
        """Tell whether a Certificate asks for a certificate now."""
        certificate = self.watch.store.get(key)
        return certificate is not None and has_condition(certificate.status.conditions, "Issuing")

    def made(self, key: Key) -> Certificate | None:
        """The Certificate of ours under this name."""
        certificate = self.watch.store.get(key)
        ours = certificate is not None and certificate.metadata.labels.get(EDGE_LABEL) == "true"
        return certificate if ours else None

    def by_hand_in(self, namespace: str) -> Iterator[Certificate]:
        """The Certificates of a namespace that users wrote."""
        for key in sorted(self.by_hand.get(namespace, ())):
            certificate = self.watch.store.get(key)
            if certificate is not None:
                yield certificate

    def hosts_by_hand(self, namespace: str) -> set[Host]:
        """The hosts that users' own Certificates of a namespace name: their claims are in use."""
        found: set[Host] = set()
        for certificate in self.by_hand_in(namespace):
            for name in (*certificate.spec.dns_names, certificate.spec.common_name):
                host = read_host(name) if name else ""
                if isinstance(host, Host):
                    found.add(host)
        return found

    def _noticed(self, change: Change[Certificate]) -> None:
        if change.kind == "synced":
            return
        for certificate, present in ((change.old, False), (change.new, True)):
            if certificate is None:
                continue
            _note(self.of_namespace, change.key[0], change.key, present=present)
            labels = certificate.metadata.labels
            if labels.get(EDGE_LABEL) == "true":
                _note(self.of_source, labels.get(SOURCE_NAMESPACE, ""), change.key, present=present)
            else:
                _note(self.by_hand, change.key[0], change.key, present=present)
                secret = (change.key[0], certificate.spec.secret_name)
                _note(self._by_hand_for, secret, change.key, present=present)
        if _unchanged(change.old, change.new):
            return
        for certificate in (change.old, change.new):
            if certificate is not None:
                self._changed(certificate.metadata.labels.get(SOURCE_NAMESPACE) or change.key[0])


def rival(
    wish: Wish, target: str, source_uid: str, named: Certificate | None, by_hand: Iterable[Certificate]
) -> Theirs | Reason | None:
    """Decide who has the wish's Secret in the namespace `target`; None says that we may have a Certificate for it. Pure.

    `named` is the Certificate of the Secret's name, which ours have; `by_hand` are those that users wrote for this
    Secret, whatever their names. One by hand serves the Gateways of its own namespace, whichever was first: who writes it
    knows the Secret. Between two namespaces the first has it, and no more is told of the other than it takes.
    `source_uid` is the UID of the namespace that wants it: one that was made again is another one.
    """
    source, where = wish.sources[0].namespace, f"{target}/{wish.secret_name}"
    ours = named if named is not None and named.metadata.labels.get(EDGE_LABEL) == "true" else None
    written = next((one for one in by_hand if not one.metadata.deletion_timestamp), None)
    if written is not None and target == source:
        names = {*written.spec.dns_names, written.spec.common_name}
        return Theirs(written.metadata.name, tuple(host for host in wish.hosts if not host.is_in(names)))
    if ours is not None:
        known = (ours.metadata.labels.get(SOURCE_NAMESPACE), ours.metadata.annotations.get(SOURCE_NAMESPACE_UID))
        if known == (source, source_uid):
            return None
        message = f"Secret {shown(wish.secret_name)} in namespace {target} is for another namespace's Gateway"
        return Reason("SecretConflict", f"{message}; name another Secret")
    if written is not None:
        by = f"Certificate {target}/{written.metadata.name}, which was written by hand"
        return Reason("SecretConflict", f"Secret {shown(wish.secret_name)} is kept by {by}; name another Secret")
    if named is not None:
        message = (
            f"Certificate {shown(where)} was written by somebody: it stays as it is; name another Secret, or delete it"
        )
        return Reason("CertificateExists", message)
    return None


def not_named(theirs: Theirs, target: str) -> Reason | None:
    """Say which of a Gateway's hosts a user's own Certificate does not name; None when it names all."""
    if not theirs.missing:
        return None
    hosts = ", ".join(str(host) for host in theirs.missing[:_HOSTS_TOLD])
    more = " and others" if len(theirs.missing) > _HOSTS_TOLD else ""
    message = f"Certificate {target}/{theirs.name}, which was written by hand, does not name {hosts}{more}"
    return Reason("CertificateExists", f"{message}; add them to it, name another Secret, or delete it")


def _unchanged(old: Certificate | None, new: Certificate | None) -> bool:
    """Whether only the status differs, which changes often: here it counts only when it begins or ends to wait."""
    if old is None or new is None or waits(old) != waits(new):
        return False
    mine, yours = old.metadata, new.metadata
    return (old.raw_spec, mine.labels, mine.annotations, mine.owner_references, mine.deletion_timestamp) == (
        new.raw_spec,
        yours.labels,
        yours.annotations,
        yours.owner_references,
        yours.deletion_timestamp,
    )


def _note(index: dict[K, set[Key]], name: K, key: Key, *, present: bool) -> None:
    keys = index.setdefault(name, set())
    (keys.add if present else keys.discard)(key)
    if not keys:
        del index[name]


def _difference(there: Certificate, body: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes a Certificate as it should be; {} when it is. What others added stays."""
    over: dict[str, Any] = {}
    raw = there.raw_spec if isinstance(there.raw_spec, dict) else {}
    spec = {field: value for field, value in body["spec"].items() if raw.get(field) != value}
    spec |= {field: None for field in _OPTIONAL if field in raw and field not in body["spec"]}
    if spec.get("privateKey") is not None:
        spec["privateKey"] = {**dict.fromkeys(raw.get("privateKey") or {}), **body["spec"]["privateKey"]}
    if spec:
        over["spec"] = spec
    wanted, metadata = body["metadata"], dict[str, Any]()
    for field, have in (("labels", there.metadata.labels), ("annotations", there.metadata.annotations)):
        missing = {name: value for name, value in wanted[field].items() if have.get(name) != value}
        if missing:
            metadata[field] = missing
    owners = {one["uid"] for one in wanted.get("ownerReferences", ())}
    if owners != {one.uid for one in there.metadata.owner_references}:
        metadata["ownerReferences"] = wanted.get("ownerReferences", [])
    if metadata:
        over["metadata"] = metadata
    return over
