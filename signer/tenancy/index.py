"""Keeps a World from the objects of the cluster, at a cost that follows what changed and not how much there is.

Objects are put and removed one by one (ProxyConfigs by `proxy_configs`, ConfigMaps by `config_maps`); `settle` works in
what changed since the last call. No network, no clock of its own, one owner at a time: the watcher (signer/mesh) calls
it on the loop, commands once over a list.

What is deleted or broken never makes the wall lower: the last readable mesh config of a ConfigMap stays in force while
it cannot be read, a signer that has a SignerBinding is a mesh signer whatever the mesh config says, and a CA key that
a mesh signer signed with stays behind the wall after a change of the key. What no other object says of that is in a
SignerRecord (records.py), so a restart forgets nothing.
"""

from collections import OrderedDict, defaultdict
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from issuers.chain import Chain
from signer.api.issuer import IssuerRef
from signer.api.namespace import NamespaceObject
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.tenancy.bindings import read_binding
from signer.tenancy.ca_keys import CAKeys
from signer.tenancy.claims import read_claims
from signer.tenancy.meshconfig.config_maps import ConfigMaps
from signer.tenancy.policies import read_policy
from signer.tenancy.proxy_configs import ProxyConfigs
from signer.tenancy.records import Known, Record, read_record, status_to_write
from signer.tenancy.world import (
    LABEL_PREFIX,
    NO_CLAIMS,
    Binding,
    Claims,
    MeshConfig,
    Namespace,
    Policy,
    Settings,
    World,
)

# What is known of a binding's newest certificate is to the minute (Binding.last_issued).
_ISSUED_STEP = timedelta(minutes=1)
# A SignerPolicy that is replaced is gone for a moment: nobody must become the owner of its signers meanwhile.
SETTLING = timedelta(minutes=10)
_REMEMBERED = 1024
K = TypeVar("K")


class Index:
    """Objects in, `world` out. `world.unsynced` and `world.stale` are its owner's to set.

    `touched`, which `settle` returns, are the signers whose ownership may have to be looked at again. Without `keys`
    nothing is known of CAs, for who only asks who owns what.
    """

    def __init__(self, settings: Settings, *, shared: str = "", keys: bool = True) -> None:
        self.world = World(settings=settings)
        self.proxy_configs = ProxyConfigs()
        self.config_maps = ConfigMaps(settings, shared=shared)
        self.bindings: dict[IssuerRef, SignerBinding] = {}
        self.terminating: set[str] = set()
        # By uid, of SignerBindings and SignerRecords.
        self._released: OrderedDict[str, None] = OrderedDict()
        self._policies: dict[str, Policy] = {}
        self._stored: dict[IssuerRef, Binding] = {}
        self.records: dict[IssuerRef, SignerRecord] = {}
        self._read_records: dict[IssuerRef, Record] = {}
        self._given_out: set[IssuerRef] = set()
        self._to_record: set[IssuerRef] = set()
        self._owned: dict[str, set[IssuerRef]] = defaultdict(set)
        self._claimants: dict[IssuerRef, set[str]] = defaultdict(set)
        self._with_keys = keys
        self._keys = CAKeys(every=settings.mode == "audit")
        self._issued: dict[IssuerRef, datetime] = {}
        self._ended: dict[IssuerRef, datetime] = {}
        self._unspoken: set[IssuerRef] = set()
        self._touched: set[IssuerRef] = set()
        self._read_anew: set[str] = set()
        self._regathered = True
        self._rekeyed = True
        self._rechained: set[IssuerRef] = set()

    # Objects.

    def put_namespace(self, obj: NamespaceObject) -> None:
        """Take a namespace, new or changed."""
        name = obj.metadata.name
        (self.terminating.add if obj.metadata.deletion_timestamp else self.terminating.discard)(name)
        self._set_namespace(name, Namespace(obj.metadata.uid, obj.labels_under(LABEL_PREFIX)))

    def remove_namespace(self, name: str) -> None:
        """Forget a namespace."""
        self.terminating.discard(name)
        self._set_namespace(name, None)

    def _set_namespace(self, name: str, new: Namespace | None) -> None:
        if new is None:
            self.world.namespaces.pop(name, None)
        else:
            self.world.namespaces[name] = new
        self._touched.add(IssuerRef("ClusterIssuer", "", name))
        self._touched |= self._owned.get(name, set())
        self._touched.update(self.world.claims.get(name, NO_CLAIMS).signers)

    def put_policy(self, obj: SignerPolicy) -> Policy:
        """Take a SignerPolicy, new or changed; returns what it says."""
        policy = read_policy(obj)
        if policy != self._policies.get(policy.name):  # else its status alone has changed
            self._set_policy(policy.name, policy)
        return policy

    def remove_policy(self, name: str) -> None:
        """Forget a SignerPolicy."""
        self._set_policy(name, None)

    def policies(self) -> frozenset[str]:
        """Name the SignerPolicies that are known."""
        return frozenset(self._policies)

    def _set_policy(self, name: str, new: Policy | None) -> None:
        old = self._policies.pop(name, None)
        if new is not None:
            self._policies[name] = new
        self._by_namespace(old, new)
        for signer in (old.signers if old else frozenset()) | (new.signers if new else frozenset()):
            others = [policy for policy in self.world.policies.get(signer, ()) if policy.name != name]
            if new is not None and signer in new.signers:
                others.append(new)
            if others:
                self.world.policies[signer] = tuple(sorted(others, key=lambda policy: policy.name))
            elif self.world.policies.pop(signer, None) is not None:
                self._unspoken.add(signer)
            self._touched.add(signer)
            self._to_record.add(signer)
            # Without a wall there are no tenants.
            routes = self.world.settings.mode != "off" and any(policy.by_identity for policy in others)
            if routes != (signer in self.world.routed):
                self.world.routed = self.world.routed ^ {signer}
        self._regathered = True

    def _by_namespace(self, old: Policy | None, new: Policy | None) -> None:
        """Keep the policies by the namespaces that they are about, for who asks what a namespace is given."""
        world = self.world
        if old is not None:
            for name in old.namespaces:
                _without(world.naming, name, old.name)
            if old.namespace_labels:
                keys, values = _labels(old)
                _without(world.labelling[keys], values, old.name)
                if not world.labelling[keys]:
                    del world.labelling[keys]
        if new is not None:
            for name in new.namespaces:
                world.naming.setdefault(name, {})[new.name] = new
            if new.namespace_labels:
                keys, values = _labels(new)
                world.labelling.setdefault(keys, {}).setdefault(values, {})[new.name] = new

    def put_binding(self, obj: SignerBinding) -> Binding:
        """Take a SignerBinding, new or changed; returns what it says."""
        binding = read_binding(obj)
        signer = binding.signer
        old = self._stored.get(signer)
        if old is not None:
            self._owned[old.namespace].discard(signer)
        elif signer not in self.world.signers or signer in self.world.defaults:
            self._regathered = True
        self.bindings[signer] = obj
        self._stored[signer] = binding
        self._owned[binding.namespace].add(signer)
        # At once: whoever asked for it decides again with it.
        self.world.bindings[signer] = binding
        self._touched.add(signer)
        return binding

    def remove_binding(self, name: str, uid: str) -> None:
        """Forget a SignerBinding, unless another of its name is known by now."""
        signer = IssuerRef("ClusterIssuer", "", name)
        found = self.bindings.get(signer)
        if found is None or found.metadata.uid != uid:
            return
        del self.bindings[signer]
        self._release(uid)
        self._owned[self._stored.pop(signer).namespace].discard(signer)
        self.world.bindings.pop(signer, None)
        for known in (self._issued, self._ended):
            known.pop(signer, None)
        self._touched.add(signer)
        self._regathered = True

    def put_record(self, obj: SignerRecord) -> None:
        """Take a SignerRecord, new or changed."""
        record = read_record(obj)
        if record is None:
            return
        self.records[record.signer], self._read_records[record.signer] = obj, record
        self._recorded(record.signer, record)

    def remove_record(self, name: str, uid: str) -> None:
        """Forget a SignerRecord, unless another of its name is known by now."""
        for signer, obj in list(self.records.items()):
            if obj.metadata.name == name and obj.metadata.uid == uid:
                del self.records[signer], self._read_records[signer]
                self._release(uid)
                self._recorded(signer, None)

    def _recorded(self, signer: IssuerRef, record: Record | None) -> None:
        (self._given_out.add if record is not None and record.given_out else self._given_out.discard)(signer)
        self._rekeyed = self._keys.recorded(signer, record) or self._rekeyed
        before = self.config_maps.signers
        self.config_maps.record(signer, record.mesh_configs if record is not None else frozenset())
        self._regathered = self._regathered or self.config_maps.signers != before
        if record is not None and record.given_out_until is not None:
            self._settle_until(signer, record.given_out_until + SETTLING)
        self._touched.add(signer)
        self._to_record.add(signer)

    def _settle_until(self, signer: IssuerRef, until: datetime) -> None:
        self.world.settling[signer] = max(until, self.world.settling.get(signer, until))
        self._to_record.add(signer)

    def unrecorded(self, signer: IssuerRef, now: datetime, *, signs: bool = True) -> dict[str, Any] | None:
        """Return the status that a signer's SignerRecord lacks; None when it lacks nothing.

        A CA is recorded when it signs for the mesh, and not because a Secret was named for a while.
        """
        obj, record = self.records.get(signer), self._read_records.get(signer)
        if record is None and signer not in self.world.signers:
            return None
        signs = signs or self.world.settings.mode == "audit"  # what is only told in audit mode asks for no record
        chains = self._keys.chains(signer) if signs and signer in self.world.signers else ()
        ends = self.world.settling.get(signer, now)
        until = ends - SETTLING if ends > now else None
        known = Known(chains, signer in self.world.policies, self.config_maps.naming(signer), until)
        return status_to_write(obj, record, known, now)

    def take_unrecorded(self) -> frozenset[IssuerRef]:
        """Return the signers whose SignerRecord may have to be written since the last call."""
        found, self._to_record = frozenset(self._to_record), set()
        return found

    def released(self, uid: str) -> bool:
        """Tell whether an object was deleted: an answer to a write of ours may come after the watch told so."""
        return uid in self._released

    def _release(self, uid: str) -> None:
        self._released[uid] = None
        if len(self._released) > _REMEMBERED:
            self._released.popitem(last=False)

    def put_key(self, signer: IssuerRef, key_id: str, chain: Chain | None = None) -> bool:
        """Take the SHA-256 of the key that an issuer's CA has now, and its chain; whether it is new.

        Of a mesh signer earlier ones stay known by its SignerRecord.
        """
        new = self._keys.put(signer, key_id, chain)
        if new:
            self._rechained.add(signer)
            self._to_record.add(signer)
        return new

    def forget_keys(self, signer: IssuerRef) -> None:
        """Forget an issuer that went away; what a mesh signer signed with is recorded, and not free because of that."""
        if signer in self.world.signers:
            self._keys.gone(signer)
            self._rekeyed = True
        else:
            self._keys.forget(signer)

    def issued(self, signer: IssuerRef, namespace: str, now: datetime) -> bool:
        """Remember that a signer's owner was given a certificate; tell whether that is worth remembering for longer."""
        binding = self._stored.get(signer)
        if binding is None or binding.namespace != namespace:
            return False
        last = self._issued.get(signer) or binding.last_issued
        if last is not None and now < last + _ISSUED_STEP:
            return False
        self._issued[signer] = now
        self._show(signer, now)
        return True

    # What follows from them.

    def touch_all(self) -> None:
        """Have every signer that somebody owns or claims looked at again."""
        self._touched.update(self._stored, self._claimants)

    def settle(self, now: datetime) -> frozenset[IssuerRef]:
        """Work in what was put since the last call; the signers whose ownership may have to be looked at again."""
        dirty = self.proxy_configs.due(now)
        self._read_anew |= dirty
        for signer in self._unspoken - self.world.policies.keys():
            self._settle_until(signer, now + SETTLING)
        self._unspoken.clear()
        if not self.world.unsynced:
            self._remember_policies(now)
        for namespace in dirty:
            self._read_claims(namespace)
        if (config := self.config_maps.take()) is not None:
            self._set_mesh_config(config)
        if self._regathered or self.world.config.root_namespace in dirty:
            self._gather()
        if (self._rekeyed or self._rechained) and self._with_keys:
            # A tenant may change his own Issuer's CA all the time: that costs a look at this one alone.
            found = self._keys.look_at(self._rechained) if not self._rekeyed else None
            found = found or self._keys.look(self.world.signers, self.world.config.authorities)
            self._rekeyed = False
            self._rechained.clear()
            self.world.keys, self.world.key_since, self.world.roots = found.keys, found.since, found.roots
            self.world.root_keys, self.world.below, self.world.judged = found.above, found.below, found.judged
            self.world.tops = found.tops
        touched, self._touched = frozenset(self._touched), set()
        for signer in touched:
            self._show_claimants(signer)
            self._show(signer, now)
        return touched

    def _remember_policies(self, now: datetime) -> None:
        """A policy that is recorded, and that was deleted while nobody looked, is as if it had been deleted now."""
        for signer in self._given_out - self.world.policies.keys():
            self._to_record.add(signer)
            if self.world.settling.get(signer, now) <= now:
                self._settle_until(signer, now + SETTLING)

    def take_read_anew(self) -> frozenset[str]:
        """Return the namespaces whose claims were read anew since the last call."""
        found, self._read_anew = frozenset(self._read_anew), set()
        return found

    @property
    def pending(self) -> bool:
        """Whether something was put off: `settle` is to be called again in a while."""
        return self.proxy_configs.pending

    def _read_claims(self, namespace: str) -> None:
        objects = self.proxy_configs.of(namespace)
        new = read_claims(objects, self.world.settings.signer_domain) if objects else NO_CLAIMS
        old: Claims = self.world.claims.get(namespace, NO_CLAIMS)
        if objects:
            self.world.claims[namespace] = new
        else:
            self.world.claims.pop(namespace, None)
        for signer in old.signers.keys() - new.signers.keys():
            self._claimants[signer].discard(namespace)
            self._touched.add(signer)
        for signer in new.signers.keys() - old.signers.keys():
            self._claimants[signer].add(namespace)
            self._touched.add(signer)

    def put_config(self, config: MeshConfig, signers: frozenset[IssuerRef]) -> None:
        """Take a mesh config that was read elsewhere, in place of ConfigMaps, and the signers that it names or named."""
        self.config_maps.stand_for(signers)
        self._set_mesh_config(config)

    def _set_mesh_config(self, config: MeshConfig) -> None:
        world = self.world
        self._to_record |= config.signers ^ world.config.signers
        self._to_record |= self._read_records.keys()
        self._rekeyed = self._rekeyed or config.authorities != world.config.authorities
        self._regathered = True
        world.config = config
        world.requesters = world.settings.istiod_accounts or istiod_accounts(world.settings, config)
        world.domains = {istiod_account(world.settings, name): domains for name, domains in config.domains.items()}

    def _gather(self) -> None:
        """Put the mesh together: mesh config, default of the root namespace, policies, and what is owned."""
        self._regathered = False
        world = self.world
        root = world.claims.get(world.config.root_namespace, NO_CLAIMS).whole
        wanted = world.config.defaults | ({root} if root is not None else set())
        refused = {signer: why for signer in sorted(wanted) if (why := self._not_for_everybody(signer))}
        defaults = wanted - refused.keys()
        signers = world.config.signers.union(wanted, world.policies, self._stored, self.config_maps.signers)
        self._touched |= (signers ^ world.signers) | (defaults ^ world.defaults)
        self._to_record |= signers ^ world.signers
        self._rekeyed = self._rekeyed or signers != world.signers
        world.defaults, world.signers, world.no_default = defaults, signers, refused

    def _not_for_everybody(self, signer: IssuerRef) -> str:
        """Say why a signer does not become the mesh default; "" when it does.

        A tenant's never does by a ProxyConfig that was applied in the wrong namespace, nor while the tenant owns it: whoever
        trusts it would trust everybody.
        """
        world = self.world
        space = world.config.root_namespace
        if signer not in world.config.defaults and not world.config.open_default:
            named = ", ".join(map(str, sorted(world.config.defaults))) or "one that is no issuer"
            return (
                f"a ProxyConfig of the root namespace {space} names {signer} for the whole mesh, and "
                f"meshConfig.defaultConfig.proxyMetadata names {named}: that counts. Was another namespace meant for the "
                "ProxyConfig?"
            )
        owner = self._stored.get(signer)
        if owner is None or signer in world.policies or owner.namespace in {space, world.settings.istio_namespace}:
            return ""
        return (
            f"{signer} is named for the whole mesh and belongs to namespace {owner.namespace} (SignerBinding "
            f"{signer.name}): it is nobody else's. An admin names another default, gives it out with a SignerPolicy, or runs "
            f"`mesh-signer tenants release {signer.name}`"
        )

    def _show_claimants(self, signer: IssuerRef) -> None:
        if found := self._claimants.get(signer):
            self.world.claimants[signer] = frozenset(found)
        else:
            self._claimants.pop(signer, None)
            self.world.claimants.pop(signer, None)

    def claims(self, binding: Binding) -> bool:
        """Tell whether the owner of a signer claims it now: the very namespace that it was given to."""
        exists = self.world.namespaces.get(binding.namespace)
        if exists is None or exists.uid != binding.namespace_uid:
            return False
        return binding.signer in self.world.claims.get(binding.namespace, NO_CLAIMS).signers

    def _show(self, signer: IssuerRef, now: datetime) -> None:
        """Show a binding with what its status does not say yet."""
        stored = self._stored.get(signer)
        if stored is None:
            return
        ended, last = stored.claim_ended, stored.last_issued
        if self.claims(stored):
            self._ended.pop(signer, None)
        elif ended is None and not self.world.unsynced:
            ended = self._ended.setdefault(signer, now)
        if (known := self._issued.get(signer)) is not None and (last is None or known > last):
            last = known
        if (ended, last) != (stored.claim_ended, stored.last_issued):
            self.world.bindings[signer] = replace(stored, claim_ended=ended, last_issued=last)
        else:
            self.world.bindings[signer] = stored


def _labels(policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of the labels that a policy asks for, in order, and their values: a namespace that it covers has all of them."""
    keys = tuple(sorted(policy.namespace_labels))
    return keys, tuple(policy.namespace_labels[key] for key in keys)


def _without(policies: dict[K, dict[str, Policy]], key: K, name: str) -> None:
    del policies[key][name]
    if not policies[key]:
        del policies[key]


def istiod_accounts(settings: Settings, config: MeshConfig) -> frozenset[str]:
    """Name the users that istiod has: its service account, and that of each known revision."""
    return frozenset(istiod_account(settings, revision) for revision in ("", *config.revisions))


def istiod_account(settings: Settings, revision: str) -> str:
    """Name the user that a revision's istiod is, by Istio's chart; "" is the revision without a name."""
    return f"system:serviceaccount:{settings.istio_namespace}:istiod{'-' if revision else ''}{revision}"
