"""HostClaims and EdgePolicies as they are stored, and how a host is taken: by atomic create, one at a time.

Used on the loop, in the one process that leads; whoever orders a certificate asks the same `Claims`, so that a wildcard
and a name below it are never taken at once by two namespaces.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from signer.api.certificate import IssuerReference
from signer.api.edgepolicy import EDGE_POLICIES, EdgePolicy
from signer.api.event import reference_to
from signer.api.hostclaim import HOST_CLAIMS, HostClaim
from signer.api.meta import Condition, find_condition, from_rfc3339, set_condition, slim_metadata, to_rfc3339
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.edge.host import Host, public_suffixes, read_host
from signer.edge.hosts.decide import (
    Asker,
    ClaimIndex,
    EdgeWorld,
    HostVerdict,
    Permitted,
    Take,
    TakeFirst,
    decide,
    may_order,
    new_claim,
    over,
    read_claim,
)
from signer.edge.hosts.policy import HostPolicy, Policies, read_edge_policy, to_record
from signer.edge.hosts.remade import whom_it_means
from signer.edge.hosts.retention import Fate, fate
from signer.edge.hosts.secret_records import SecretRecords
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import LARGEST_STORED, JsonCodec, weightless
from signer.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from signer.kube.reflector import Change, Reflector
from signer.observe.write_errors import WRITE_FAILED, WriteErrors
from signer.tenancy.verdict import Reason, Refuse, Unready
from signer.tenancy.world import LABEL_PREFIX

CONFLICT = "Conflict"
# What gateways/opt_in.py reads of a namespace; a value cut here is longer than any name may be, so it stays wrong.
_ASKING = frozenset(f"cert-manager.io/{name}" for name in ("cluster-issuer", "issuer", "issuer-kind", "issuer-group"))
_LONGEST_ANNOTATION = 300
STOPPED = "Stopped"
_MOST_CONTENDERS = 16
_CONTENDERS_NAMED = 3
_NOT_READ = "HostClaims, EdgePolicies and namespaces were not read yet"


def slim_namespace(obj: NamespaceObject) -> NamespaceObject:
    """Keep of a namespace the labels that admins guard, and who it asks for certificates. Pure."""
    asked = {key: value[:_LONGEST_ANNOTATION] for key, value in obj.metadata.annotations.items() if key in _ASKING}
    labels = obj.labels_under(LABEL_PREFIX)
    return NamespaceObject(
        metadata=msgspec.structs.replace(slim_metadata(obj.metadata), labels=labels, annotations=asked)
    )


class Claims:
    """Who has which host. `claims` and `policies` are what decisions rest on; `secrets` are recorded on the claims."""

    def __init__(
        self,
        client: ApiClient,
        *,
        clock: Callable[[], datetime],
        on_restart: Callable[[str], None] = lambda _: None,
        errors: WriteErrors | None = None,
    ) -> None:
        self._client = client
        self._errors = errors
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self.claims = ClaimIndex()
        self.policies: dict[str, HostPolicy] = {}
        self._made: Policies | None = None
        self._contending: dict[str, set[str]] = {}
        self.hosts = Reflector(
            client, HOST_CLAIMS, JsonCodec(HostClaim), on_restart=lambda _: on_restart(HOST_CLAIMS.plural)
        )
        self.edge_policies = Reflector(
            client, EDGE_POLICIES, JsonCodec(EdgePolicy), on_restart=lambda _: on_restart(EDGE_POLICIES.plural)
        )
        slim = JsonCodec(NamespaceObject, keep=slim_namespace, largest=LARGEST_STORED, weigh=weightless)
        self.namespaces = Reflector(client, NAMESPACES, slim, on_restart=lambda _: on_restart(NAMESPACES.plural))
        self.secrets = SecretRecords(client, self.hosts, self.write_status)
        self.hosts.subscribe(self._claim_changed)
        self.edge_policies.subscribe(self._policy_changed)

    async def run(self) -> None:
        """Watch until cancelled."""
        await asyncio.to_thread(public_suffixes)  # read once, off the loop, before the first host is
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._reflectors:
                tasks.create_task(reflector.run())

    async def synced(self) -> None:
        """Wait until everything was read once."""
        for reflector in self._reflectors:
            await reflector.synced.wait()

    @property
    def _reflectors(self) -> tuple[Reflector[Any], ...]:
        return (self.hosts, self.edge_policies, self.namespaces)

    @property
    def _indexed(self) -> Policies:
        """The policies by their suffixes, made when they are asked for: a list brings many before anybody does."""
        if self._made is None:
            self._made = Policies(self.policies.values())
        return self._made

    @property
    def world(self) -> EdgeWorld:
        """What decisions rest on, as it is now."""
        unread = not all(reflector.synced.is_set() for reflector in self._reflectors)
        return EdgeWorld(self.claims, self._indexed, _NOT_READ if unread else "")

    @property
    def of_namespace(self) -> Mapping[str, Collection[str]]:
        """The names of claims by namespace."""
        return self.claims.of_namespace

    def now(self) -> datetime:
        """The time by which this term's claims go."""
        return self._clock()

    def asker(self, namespace: str) -> Asker | None:
        """The namespace as one that asks; None when there is none, or it is on its way out."""
        found = self.namespaces.store.get(("", namespace))
        if found is None or found.metadata.deletion_timestamp:
            return None
        return Asker(namespace, found.metadata.uid, found.labels_under(LABEL_PREFIX))

    async def acquire(self, hosts: Sequence[Host], asker: Asker, issuer: IssuerReference) -> dict[Host, HostVerdict]:
        """Decide about each host by itself, and take those that nobody has. Never returns Take. Raises ApiError, Unreachable."""
        found: dict[Host, HostVerdict] = {}
        async with self._one_at_a_time:
            await self.record_namespace(asker, hosts)
            live: EdgeWorld | None = None
            for host in hosts:
                verdict = decide(host, asker, issuer, self.world)
                if isinstance(verdict, Take):
                    live = live or await self._live(asker, hosts)
                    verdict = decide(host, asker, issuer, live)
                    if isinstance(verdict, Take):
                        await self._take(verdict)
                        verdict = decide(host, asker, issuer, live)
                found[host] = verdict
        return found

    async def permit(self, names: Iterable[str], asker: Asker, issuer: IssuerReference) -> Permitted | Refuse | Unready:
        """Decide about all names of one order, and take those that nobody has. Raises ApiError, Unreachable."""
        listed = tuple(names)
        hosts = tuple(one for one in map(read_host, listed) if isinstance(one, Host))
        async with self._one_at_a_time:
            await self.record_namespace(asker, hosts)
            verdict = may_order(listed, asker, issuer, self.world)
            if isinstance(verdict, TakeFirst):
                live = await self._live(asker, hosts)
                verdict = may_order(listed, asker, issuer, live)
                if isinstance(verdict, TakeFirst):
                    for take in verdict.claims:
                        await self._take(take)
                    verdict = may_order(listed, asker, issuer, live)
        if isinstance(verdict, TakeFirst):  # a claim vanished between the two looks: an admin is at work
            return Unready(Reason("ClaimsChange", "claims are being changed; asking again"))
        return verdict

    async def record_namespace(self, asker: Asker, hosts: Collection[Host]) -> None:
        """Write into the EdgePolicies that decide about hosts for a namespace by its name which one it is, before it has one.

        Raises ApiError (Conflict: what is known is behind; ask again), Unreachable.
        """
        found = self.namespaces.store.get(("", asker.namespace))
        for known in self._indexed.about(hosts):
            obj = self.edge_policies.store.get(("", known.name))
            if obj is not None and (stored := await self._record(known, obj, asker, found)) is not None:
                self._know(known.name, stored)

    def uids(self) -> dict[str, str]:
        """The uid of each namespace that may ask, by its name."""
        found = (self.asker(namespace) for _, namespace in self.namespaces.store)
        return {asker.namespace: asker.uid for asker in found if asker is not None}

    def meant(self, policy: HostPolicy, obj: EdgePolicy, asker: Asker, found: NamespaceObject | None) -> str:
        """The uid to write into a policy for a namespace that it names; `found` is that namespace as it was read."""
        held = (self.claims[name] for name in self.of_namespace.get(asker.namespace, ()))
        made = from_rfc3339(found.metadata.creation_timestamp) if found is not None else None
        return whom_it_means(policy, from_rfc3339(obj.metadata.creation_timestamp), asker, made, held)

    async def _record(
        self, known: HostPolicy, obj: EdgePolicy, asker: Asker, found: NamespaceObject | None
    ) -> EdgePolicy | None:
        if asker.namespace not in known.namespaces or asker.namespace in known.namespace_uids:
            return None
        mine = {asker.namespace: self.meant(known, obj, asker, found)}
        if not to_record(obj, mine).get(asker.namespace):
            return None
        meta = {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}
        body = {"metadata": meta, "status": {"namespaceUIDs": mine}}
        try:
            stored = await self._client.patch(EDGE_POLICIES, known.name, body, subresource="status")
        except NotFound:
            return None
        return msgspec.convert(stored, EdgePolicy)

    async def _live(self, asker: Asker, hosts: Collection[Host]) -> EdgeWorld:
        """The world with the EdgePolicies of now: what is taken is taken for good, and a watch may be behind.

        It never goes into the world, where a watch that is behind would undo it. Raises Conflict where the namespace is another
        by now, or its labels are others; ApiError, Unreachable.
        """
        spaces = [
            msgspec.convert(one, NamespaceObject) for one in await self._client.list(NAMESPACES, name=asker.namespace)
        ]
        found = next((one for one in spaces if one.metadata.uid == asker.uid), None)
        if found is None or found.metadata.deletion_timestamp or found.labels_under(LABEL_PREFIX) != asker.labels:
            raise Conflict(409, "Conflict", f"namespace {asker.namespace} is not what it was")
        listed = [msgspec.convert(one, EdgePolicy) for one in await self._client.list(EDGE_POLICIES)]
        objects = {one.metadata.name: one for one in listed}
        policies = {name: read_edge_policy(one) for name, one in objects.items()}
        for known in Policies(policies.values()).about(hosts):
            if (stored := await self._record(known, objects[known.name], asker, found)) is not None:
                policies[known.name] = read_edge_policy(stored)
        return EdgeWorld(self.claims, Policies(policies.values()))

    async def _take(self, take: Take) -> None:
        if take.instead_of:
            await self._take_over(take)
            return
        try:
            stored = await self._client.create(HOST_CLAIMS, new_claim(take))
        except AlreadyExists:
            stored = await self._client.get(HOST_CLAIMS, take.host.claim_name)
        self._keep(msgspec.convert(stored, HostClaim))

    async def _take_over(self, take: Take) -> None:
        """Write the namespace of now into the claim of the earlier one of its name: one write, which keeps all that it records."""
        name = take.host.claim_name
        try:
            before = msgspec.convert(await self._client.get(HOST_CLAIMS, name), HostClaim)
            claim = read_claim(before)
            if claim is not None and claim.namespace_uid == take.instead_of and claim.namespace == take.namespace:
                meta = {"uid": before.metadata.uid, "resourceVersion": before.metadata.resource_version}
                body = {"metadata": meta, **over(take, self._clock())}
                before = msgspec.convert(await self._client.patch(HOST_CLAIMS, name, body), HostClaim)
                self.secrets.given_back(before)
        except NotFound:
            self.claims.drop(name)
            return
        self._keep(before)

    async def settle(self, namespace: str, uid: str, wanted: Collection[Host]) -> float | None:
        """Note which hosts of a namespace are unused, and release those that were long enough.

        `uid` is "" for a namespace that is gone. Returns after how many seconds to look again, None for never.
        Raises ApiError (Conflict: a claim changed, ask again), Unreachable.
        """
        again: float | None = None
        for name in sorted(self.of_namespace.get(namespace, ())):
            claim, obj = self.claims.get(name), self.hosts.store.get(("", name))
            if obj is None or claim is None or claim.problem:
                continue
            now = self._clock()
            is_wanted = claim.namespace_uid == uid and claim.host in wanted
            match fate(wanted=is_wanted, unused_since=claim.unused_since, now=now):
                case Fate.NOTE_UNUSED:
                    await self._note(obj, {"unusedSince": to_rfc3339(now)})
                    again = 0.0
                case Fate.NOTE_USED:
                    await self._note(obj, {"unusedSince": None})
                case Fate.REMOVE if obj.status.secrets:
                    again = 0.0  # it says which Secret is ours, which goes first
                case Fate.REMOVE:
                    await self._remove(obj)
                case Fate.STAYS if not is_wanted:
                    again = 0.0
                case _:
                    pass
        return again

    async def contend(self, namespace: str, contended: Collection[str]) -> None:
        """Note on the claims of others that this namespace wants their hosts too, or no longer does."""
        for name in sorted({*contended, *self._contending.get(namespace, ())}):
            obj = self.hosts.store.get(("", name))
            if obj is None:
                continue
            listed = obj.status.contenders
            wants = name in contended
            if wants == (namespace in listed) or (wants and len(listed) >= _MOST_CONTENDERS):
                continue
            contenders = tuple(sorted({*listed, namespace} if wants else set(listed) - {namespace}))
            conditions = conflict(obj.status.conditions, contenders, self._clock())
            await self._note(obj, {"contenders": list(contenders), "conditions": msgspec.to_builtins(conditions)})

    async def say_stopped(self, namespace: str, texts: Mapping[str, str]) -> None:
        """Note on a namespace's claims, by their names, what the API server refuses; nothing: it goes on.

        Raises ApiError (Conflict: a claim changed, ask again), Unreachable.
        """
        for name in sorted(self.of_namespace.get(namespace, ())):
            obj = self.hosts.store.get(("", name))
            if obj is None:
                continue
            conditions = stopped(obj.status.conditions, texts.get(name, ""), self._clock())
            if conditions != obj.status.conditions:
                await self._note(obj, {"conditions": msgspec.to_builtins(conditions)})

    async def write_status(
        self, obj: HostClaim, status: Mapping[str, Any], *, whatever_changed: bool = False
    ) -> HostClaim:
        """Write these fields of a claim's status, and return the claim as stored. Nobody else writes it.

        `whatever_changed`: for a field that one alone writes, whatever else was written since `obj` was read.
        Raises ApiError (Conflict: it changed, or is another one; NotFound), Unreachable.
        """
        meta = {"uid": obj.metadata.uid}
        if not whatever_changed:
            meta["resourceVersion"] = obj.metadata.resource_version
        body = {"metadata": meta, "status": dict(status)}
        about = reference_to(HOST_CLAIMS, obj.metadata)
        try:
            stored = await self._client.patch(HOST_CLAIMS, obj.metadata.name, body, subresource="status")
        except (ApiError, Unreachable) as error:
            if self._errors is not None:
                self._errors.refused(about, error)
            raise
        if self._errors is not None:
            self._errors.fine(about)
        return msgspec.convert(stored, HostClaim)

    async def _note(self, obj: HostClaim, status: Mapping[str, Any]) -> None:
        with contextlib.suppress(NotFound):
            await self.write_status(obj, status)

    async def _remove(self, obj: HostClaim) -> None:
        meta = obj.metadata
        with contextlib.suppress(NotFound):
            await self._client.delete(HOST_CLAIMS, meta.name, uid=meta.uid, resource_version=meta.resource_version)

    def _claim_changed(self, change: Change[HostClaim]) -> None:
        if change.kind == "synced":
            return
        for one in change.old.status.contenders if change.old is not None else ():
            self._contending.get(one, set()).discard(change.key[1])
        for one in change.new.status.contenders if change.new is not None else ():
            self._contending.setdefault(one, set()).add(change.key[1])
        if change.new is not None:
            self._keep(change.new)
            return
        self.claims.drop(change.key[1])

    def _keep(self, obj: HostClaim) -> None:
        name = obj.metadata.name
        claim = read_claim(obj)
        if claim is not None:
            self.claims.put(name, claim)
        else:
            self.claims.drop(name)

    def _policy_changed(self, change: Change[EdgePolicy]) -> None:
        if change.kind == "synced":
            return
        self._know(change.key[1], change.new)

    def _know(self, name: str, policy: EdgePolicy | None) -> None:
        """Take a policy as it is now, None for one that is no more: who asks for the index next has it with this one."""
        self.policies.pop(name, None)
        if policy is not None:
            self.policies[name] = read_edge_policy(policy)
        self._made = None


def conflict(before: Sequence[Condition], contenders: Sequence[str], now: datetime) -> tuple[Condition, ...]:
    """Return a claim's conditions with what they say of other namespaces that want its host. Pure."""
    if contenders:
        more = " and others" if len(contenders) > _CONTENDERS_NAMED else ""
        message = f"wanted by {', '.join(contenders[:_CONTENDERS_NAMED])} too{more}"
        return set_condition(before, CONFLICT, "True", reason="HostContended", message=message, now=now)
    if find_condition(before, CONFLICT) is not None:
        return set_condition(before, CONFLICT, "False", reason="NoContender", message="nobody else wants it", now=now)
    return tuple(before)


def stopped(before: Sequence[Condition], text: str, now: datetime) -> tuple[Condition, ...]:
    """Return a claim's conditions with what the API server refuses to write for its host; "": nothing. Pure."""
    if text:
        return set_condition(before, STOPPED, "True", reason=WRITE_FAILED, message=text, now=now)
    if find_condition(before, STOPPED) is not None:
        return set_condition(
            before, STOPPED, "False", reason="WriteSucceeded", message="what was refused is written", now=now
        )
    return tuple(before)
