"""The Certificates that are made for gateways: created once, kept as they should be, removed when nobody wants them.

Used on the loop. All Certificates are watched: one that a user wrote keeps its host and its Secret from us.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate, ends_by_itself, request_waits
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.api.meta import find_condition, has_condition
from signer.api.notes import text_note
from signer.api.text import shown
from signer.edge.gateways.bodies import certificate_body
from signer.edge.gateways.placeholder import waits
from signer.edge.gateways.wish import Wish
from signer.edge.host import Host, read_host
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.reflector import Change, Reflector
from signer.tenancy.verdict import Reason

Key = tuple[str, str]
Name = TypeVar("Name")
_OPTIONAL = ("commonName", "duration", "renewBefore", "revisionHistoryLimit")


class EdgeCertificates:
    """Certificates by who wanted them and by namespace. `changed` is called with a namespace to look at again.

    `gateway_namespaces`: where administrators alone write; elsewhere no Certificate says that another namespace wants it.
    """

    def __init__(
        self,
        client: ApiClient,
        watch: Reflector[Certificate],
        changed: Callable[[str], None],
        gateway_namespaces: Collection[str] = (),
    ) -> None:
        self._client = client
        self._gateway_namespaces = frozenset(gateway_namespaces)
        self._changed = changed
        self.of_source: dict[str, set[Key]] = {}
        self.of_namespace: dict[str, set[Key]] = {}
        self.by_hand: dict[str, set[Key]] = {}
        self._for_secret: dict[Key, set[Key]] = {}
        self.watch = watch
        self.watch.subscribe(self._noticed)

    async def prepare(self, wish: Wish, target: str, source_uid: str, secret_uid: str) -> Reason | bool:
        """Have the Certificate for a wish as it should be; whether it was created now, or what is in the way.

        Raises ApiError (Conflict: another writer was faster, ask again), Unreachable.
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

    def in_the_way(self, wish: Wish, target: str, source_uid: str, there: Certificate | None = None) -> Reason | None:
        """Tell when the Secret, or the name of its Certificate, is not ours for this namespace."""
        key = (target, wish.secret_name)
        there = there or self.watch.store.get(key)
        beside = (self.watch.store.get(one) for one in sorted(self._for_secret.get(key, ())))
        return kept_by_another(wish, target, source_uid, there, [one for one in beside if one is not None])

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
        return bool(self._for_secret.get(key))

    def issuing(self, key: Key) -> bool:
        """Tell whether a Certificate asks for a certificate now."""
        certificate = self.watch.store.get(key)
        return certificate is not None and has_condition(certificate.status.conditions, "Issuing")

    def trouble(self, key: Key) -> Reason | None:
        """Why there is no new certificate under this name, as its Certificate says: where people must do something."""
        certificate = self.watch.store.get(key)
        return why_not_issued(certificate) if certificate is not None else None

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
            _note(self._for_secret, (change.key[0], certificate.spec.secret_name), change.key, present=present)
            labels = certificate.metadata.labels
            if labels.get(EDGE_LABEL) == "true":
                source = wanted_by(certificate, self._gateway_namespaces)
                _note(self.of_source, source, change.key, present=present)
            else:
                _note(self.by_hand, change.key[0], change.key, present=present)
        if _unchanged(change.old, change.new):
            return
        for certificate in (change.old, change.new):
            if certificate is not None:
                self._changed(wanted_by(certificate, self._gateway_namespaces))


def wanted_by(certificate: Certificate, gateway_namespaces: Collection[str]) -> str:
    """The namespace that wants a Certificate: what its label says, where that is its own or only administrators write. Pure.

    Anybody may set our labels in his own namespace, and would have another's worked on for each of his Certificates.
    """
    own = certificate.metadata.namespace
    return certificate.metadata.labels.get(SOURCE_NAMESPACE) or own if own in gateway_namespaces else own


def why_not_issued(certificate: Certificate) -> Reason | None:
    """What a Certificate says that its request waits for, or why the last one failed; None for what ends by itself. Pure."""
    name = f"Certificate {certificate.metadata.namespace}/{certificate.metadata.name}"
    request, message = request_waits(certificate)
    if request and not ends_by_itself(message):
        return Reason("RequestWaits", f"{name} has no new certificate: CertificateRequest {request}: {message}")
    issuing = find_condition(certificate.status.conditions, "Issuing")
    if issuing is not None and issuing.status == "False" and certificate.status.failed_issuance_attempts:
        return Reason(issuing.reason or "Failed", f"{name}: {issuing.message}")
    return None


def kept_by_another(
    wish: Wish, target: str, source_uid: str, there: Certificate | None, beside: Iterable[Certificate]
) -> Reason | None:
    """Tell what keeps a wish from a Certificate of ours in the namespace `target`; None for nothing. Pure.

    `there` has the name that ours has or would have, `beside` name its Secret, under whatever name. Which namespace has
    a Secret's name in a gateways' namespace is decided by the Certificate that is there: it is created, never applied,
    so whoever was first has it, and says so by its annotation. One that somebody wrote keeps its Secret, and serves the
    Gateways of its own namespace; others do not learn whose it is.
    """
    source = wish.sources[0].namespace
    if there is not None and there.metadata.labels.get(EDGE_LABEL) == "true":
        known = (
            there.metadata.labels.get(SOURCE_NAMESPACE),
            text_note(there.metadata.annotations, SOURCE_NAMESPACE_UID),
        )
        if known == (source, source_uid):
            return None
        message = f"Secret {shown(wish.secret_name)} in namespace {target} is for another namespace's Gateway"
        return Reason("SecretConflict", f"{message}; name another Secret")
    by_hand = [one for one in beside if one.metadata.labels.get(EDGE_LABEL) != "true"]
    if source != target and (by_hand or there is not None):
        message = f"Secret {shown(wish.secret_name)} in namespace {target} is for a Certificate that somebody wrote"
        return Reason("SecretConflict", f"{message}; name another Secret")
    if by_hand:
        name = f"{target}/{by_hand[0].metadata.name}"
        message = f"Certificate {shown(name)} was written by somebody for Secret {shown(wish.secret_name)}"
        return Reason("CertificateExists", f"{message}: it stays as it is; name another Secret, or delete it")
    if there is not None:
        name = f"{target}/{there.metadata.name}"
        message = f"Certificate {shown(name)} was written by somebody, for another Secret"
        return Reason("CertificateExists", f"{message}: it stays as it is; name another Secret, or delete it")
    return None


def _unchanged(old: Certificate | None, new: Certificate | None) -> bool:
    """Whether only the status differs, which changes often: here it counts only when it begins or ends to wait, and why."""
    if old is None or new is None or waits(old) != waits(new) or why_not_issued(old) != why_not_issued(new):
        return False
    mine, yours = old.metadata, new.metadata
    return (old.raw_spec, mine.labels, mine.annotations, mine.owner_references, mine.deletion_timestamp) == (
        new.raw_spec,
        yours.labels,
        yours.annotations,
        yours.owner_references,
        yours.deletion_timestamp,
    )


def _note(index: dict[Name, set[Key]], name: Name, key: Key, *, present: bool) -> None:
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
