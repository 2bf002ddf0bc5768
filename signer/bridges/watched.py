"""What bridges rest on, watched: both kinds of ours, DestinationRules, what we made, and the servers' service accounts.

Used on the loop. Namespaces, signers and trust domains are the mesh's (signer/mesh). Of Secrets only the metadata of those with
our label is watched, of ServiceAccounts only names, and those only where a bridge accepts all of a namespace.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from signer.api.destinationrule import DESTINATION_RULES, DestinationRule
from signer.api.labels import BRIDGE_UID
from signer.api.meta import ObjectMeta
from signer.api.parts import only_what_is_read
from signer.api.secret import SECRETS
from signer.api.serviceaccount import SERVICE_ACCOUNTS, ServiceAccount, slim_account
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy
from signer.bridges.bodies import bridge_named
from signer.bridges.read import BridgePolicy, read_bridge_policy
from signer.kube.client import ApiClient
from signer.kube.discovery.served import Served, locate_newest
from signer.kube.encoding.codec import JsonCodec, MetadataCodec
from signer.kube.reflector import Change, Reflector

Key = tuple[str, str]
"""(namespace, name) of a TenantBridge."""
_LOOKS = 0.05


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret by its metadata alone."""

    metadata: ObjectMeta


class Stray(NamedTuple):
    """What has the label of a bridge (uid) that is not there."""

    kind: str
    namespace: str
    name: str
    bridge: str


class Watched:
    """The watches. `enqueue` is called with each TenantBridge that must be looked at again, `policy_changed` with a policy's name."""

    def __init__(self, client: ApiClient, on_restart: Callable[[str], None]) -> None:
        self._client = client
        self._on_restart = on_restart
        self._tasks: asyncio.TaskGroup | None = None
        self.enqueue: Callable[[Key], None] = lambda _key: None
        self.policy_changed: Callable[[str], None] = lambda _name: None
        self.bridges: Reflector[TenantBridge] = Reflector(
            client, TENANT_BRIDGES, JsonCodec(TenantBridge), on_restart=lambda _: on_restart(TENANT_BRIDGES.plural)
        )
        self.policies: Reflector[TenantBridgePolicy] = Reflector(
            client,
            TENANT_BRIDGE_POLICIES,
            JsonCodec(TenantBridgePolicy),
            on_restart=lambda _: on_restart(TENANT_BRIDGE_POLICIES.plural),
        )
        self.secrets: Reflector[Made] = Reflector(
            client,
            SECRETS,
            MetadataCodec(Made),
            label_selector=BRIDGE_UID,
            on_restart=lambda _: on_restart(SECRETS.plural),
        )
        # By namespace, then by name; what is ours by the uid of its bridge, too.
        self._rules: dict[str, dict[str, DestinationRule]] = defaultdict(dict)
        self._made: dict[str, dict[tuple[str, str, str], str]] = defaultdict(dict)
        self._places: dict[str, set[Key]] = defaultdict(set)
        self._uids: dict[str, Key] = {}
        # By the TenantBridge that an object's name says: those with a label, and its uid.
        self._named: dict[Key, dict[tuple[str, str, str], str]] = defaultdict(dict)
        self.served = Served(
            "DestinationRules",
            client,
            locate_newest(DESTINATION_RULES),
            JsonCodec(DestinationRule, keep=only_what_is_read),
            self._rule_changed,
            on_absent=self._no_rules,
            on_restart=on_restart,
        )
        self._accounts: dict[str, tuple[Reflector[ServiceAccount], asyncio.Task[None]]] = {}
        self.allowing: dict[str, BridgePolicy] = {}
        self.bridges.subscribe(self._bridge_changed)
        self.policies.subscribe(self._policy_changed)
        self.secrets.subscribe(self._secret_changed)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for run in (self.bridges.run, self.policies.run, self.secrets.run, self.served.run):
                tasks.create_task(run())

    async def synced(self) -> None:
        """Wait until everything was read once."""
        for reflector in (self.bridges, self.policies, self.secrets):
            await reflector.synced.wait()
        while not self.served.known:  # noqa: ASYNC110 - at start only
            await asyncio.sleep(_LOOKS)

    def enqueue_all(self) -> None:
        """Have every bridge looked at."""
        for key in tuple(self.bridges.store):
            self.enqueue(key)

    def accounts(self, namespace: str) -> tuple[str, ...] | None:
        """Name the service accounts of a namespace; None: they are being read, and its bridges are told when they were."""
        found = self._accounts.get(namespace)
        if found is None and self._tasks is not None:
            reflector: Reflector[ServiceAccount] = Reflector(
                self._client,
                SERVICE_ACCOUNTS,
                JsonCodec(ServiceAccount, keep=slim_account),
                namespace=namespace,
                on_restart=lambda _: self._on_restart(SERVICE_ACCOUNTS.plural),
            )
            reflector.subscribe(lambda _change: self._enqueue_namespace(namespace))
            self._accounts[namespace] = (reflector, self._tasks.create_task(reflector.run()))
        if found is None or not found[0].synced.is_set():
            return None
        return tuple(sorted(name for _, name in found[0].store))

    def rules_in(self, namespace: str) -> Iterator[DestinationRule]:
        """The DestinationRules of a namespace, by name."""
        return (rule for _, rule in sorted(self._rules.get(namespace, {}).items()))

    def made_versions(self, bridge: str) -> frozenset[str]:
        """The versions of all that has the label of a bridge (uid): another set of them means that somebody wrote."""
        return frozenset(self._made.get(bridge, {}).values())

    def rules_of(self, bridge: str, namespace: str) -> tuple[str, ...]:
        """Name the rules of a namespace that have the label of a bridge (uid)."""
        return tuple(
            name for kind, place, name in self._made.get(bridge, {}) if kind != SECRETS.kind and place == namespace
        )

    def strays(self, key: Key) -> tuple[Stray, ...]:
        """What has the name of this bridge's, and the label of another that was there before; rules first."""
        there = self.bridges.store.get(key)
        now = there.metadata.uid if there is not None else ""
        return tuple(Stray(*what, uid) for what, uid in sorted(self._named.get(key, {}).items()) if uid != now)

    def _enqueue_namespace(self, namespace: str) -> None:
        for key in tuple(self._places.get(namespace, ())):
            self.enqueue(key)

    def _bridge_changed(self, change: Change[TenantBridge]) -> None:
        if change.kind == "synced":
            return
        key = change.key
        if change.old is not None:
            self._uids.pop(change.old.metadata.uid, None)
            for place in (key[0], change.old.spec.client.namespace):
                self._places[place].discard(key)
                if not self._places[place]:
                    del self._places[place]
        if change.new is not None:
            self._uids[change.new.metadata.uid] = key
            for place in (key[0], change.new.spec.client.namespace):
                self._places[place].add(key)
        self.enqueue(key)
        if change.new is None and key[0] in self._accounts and not any(one == key[0] for one, _ in self._uids.values()):
            self._accounts.pop(key[0])[1].cancel()

    def _policy_changed(self, change: Change[TenantBridgePolicy]) -> None:
        if change.kind == "synced":
            return
        name = change.key[1]
        if change.new is None:
            self.allowing.pop(name, None)
        else:
            self.allowing[name] = read_bridge_policy(change.new)
        self.policy_changed(name)
        self.enqueue_all()

    def _secret_changed(self, change: Change[Made]) -> None:
        if change.kind != "synced":
            self._note(("Secret", *change.key), change.old, change.new)

    def _rule_changed(self, change: Change[DestinationRule]) -> None:
        if change.kind == "synced":
            return
        namespace, name = change.key
        if change.new is None:
            self._rules[namespace].pop(name, None)
            if not self._rules[namespace]:
                del self._rules[namespace]
        else:
            self._rules[namespace][name] = change.new
        self._note(("DestinationRule", namespace, name), change.old, change.new)
        self._enqueue_namespace(namespace)

    def _no_rules(self) -> None:
        self._rules.clear()
        self.enqueue_all()

    def _note(
        self, what: tuple[str, str, str], old: Made | DestinationRule | None, new: Made | DestinationRule | None
    ) -> None:
        """Keep the version of what has a bridge's label, and have that bridge looked at."""
        if (named := bridge_named(what[2], rule=what[0] != SECRETS.kind)) is not None:
            bridge = new.metadata.labels.get(BRIDGE_UID, "") if new is not None else ""
            if bridge:
                self._named[named][what] = bridge
            else:
                self._named[named].pop(what, None)
                if not self._named[named]:
                    del self._named[named]
            self.enqueue(named)
        for one in (old, new):
            uid = one.metadata.labels.get(BRIDGE_UID, "") if one is not None else ""
            if not uid:
                continue
            if one is new and new is not None:
                self._made[uid][what] = f"{new.metadata.uid}/{new.metadata.resource_version}"
            else:
                self._made[uid].pop(what, None)
                if not self._made[uid]:
                    del self._made[uid]
            if (key := self._uids.get(uid)) is not None:
                self.enqueue(key)
