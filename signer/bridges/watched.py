"""What bridges rest on, watched: both kinds of ours, DestinationRules, what we made, and the servers' service accounts.

Used on the loop. Namespaces, signers and trust domains are the mesh's (signer/mesh). Of Secrets only the metadata of those with
our label is watched, of ServiceAccounts only names, and those only where a bridge accepts all of a namespace.
"""

import asyncio
from collections.abc import Callable, Iterator

import msgspec

from signer.api.destinationrule import DESTINATION_RULES, DestinationRule, Subset
from signer.api.labels import BRIDGE_UID
from signer.api.meta import ObjectMeta
from signer.api.parts import only_what_is_read
from signer.api.secret import SECRETS
from signer.api.serviceaccount import SERVICE_ACCOUNTS, ServiceAccount, slim_account
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy
from signer.bridges.read import BridgePolicy, read_bridge_policy
from signer.kube.client import ApiClient
from signer.kube.discovery.served import Served, locate_newest
from signer.kube.encoding.codec import JsonCodec, MetadataCodec
from signer.kube.reflector import Change, Reflector

Key = tuple[str, str]
"""(namespace, name) of a TenantBridge."""
NO_RULES = "Istio's DestinationRules are not served here: a bridge is made of them"
_LOOKS = 0.05
_MAX_SUBSETS = 64


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret by its metadata alone."""

    metadata: ObjectMeta


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
        self.rules: dict[Key, DestinationRule] = {}
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

    def subsets(self, namespace: str, host: str) -> tuple[Subset, ...]:
        """Return the subsets that the server's own rules have for a host, the first of each name, by the rules' names."""
        short = host.split(".", 1)[0] if not host.startswith("*.") else host
        found: dict[str, Subset] = {}
        for rule in self.rules_in(namespace):
            if rule.spec.host in (host, short, f"{short}.{namespace}", f"{short}.{namespace}.svc"):
                for subset in rule.spec.subsets:
                    found.setdefault(subset.name, subset)
        return tuple(found.values())[:_MAX_SUBSETS]

    def rules_in(self, namespace: str) -> Iterator[DestinationRule]:
        """The DestinationRules of a namespace, by name."""
        return (rule for key, rule in sorted(self.rules.items()) if key[0] == namespace)

    def made_versions(self, bridge: str) -> frozenset[str]:
        """The versions of all that has the label of a bridge (uid): another set of them means that somebody wrote."""
        metas = [one.metadata for one in self.secrets.store.values()]
        metas += [one.metadata for one in self.rules.values()]
        return frozenset(f"{one.uid}/{one.resource_version}" for one in metas if one.labels.get(BRIDGE_UID) == bridge)

    def _enqueue_namespace(self, namespace: str) -> None:
        for key in tuple(self.bridges.store):
            if key[0] == namespace:
                self.enqueue(key)

    def _bridge_changed(self, change: Change[TenantBridge]) -> None:
        if change.kind == "synced":
            return
        self.enqueue(change.key)
        if change.new is None:
            namespace = change.key[0]
            if not any(one == namespace for one, _ in self.bridges.store) and namespace in self._accounts:
                self._accounts.pop(namespace)[1].cancel()

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
        for one in (change.old, change.new):
            if one is not None:
                self._enqueue_uid(one.metadata.labels.get(BRIDGE_UID, ""))

    def _rule_changed(self, change: Change[DestinationRule]) -> None:
        if change.kind == "synced":
            return
        if change.new is None:
            self.rules.pop(change.key, None)
        else:
            self.rules[change.key] = change.new
        for one in (change.old, change.new):
            if one is not None:
                self._enqueue_uid(one.metadata.labels.get(BRIDGE_UID, ""))
        for key, bridge in tuple(self.bridges.store.items()):
            if change.key[0] in (key[0], bridge.spec.client.namespace):
                self.enqueue(key)

    def _no_rules(self) -> None:
        self.rules.clear()
        self.enqueue_all()

    def _enqueue_uid(self, uid: str) -> None:
        if uid:
            for key, bridge in tuple(self.bridges.store.items()):
                if bridge.metadata.uid == uid:
                    self.enqueue(key)
