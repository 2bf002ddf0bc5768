"""Does what is stored right now bear a decision that was made on watches? Pure: what a live read found goes in.

Watches lag, each by itself: one may be seconds behind the others, and nobody can tell. So what is for good (who owns a
signer), and a namespace's first certificate, is decided twice: on the world, and on a view that was read for it alone.
The view never goes into the world, where a watch that is behind would undo it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from signer.api.issuer import IssuerRef
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.tenancy.claims import signer_of
from signer.tenancy.grants import Claimable, Granted, NotGranted, granted
from signer.tenancy.index import Index
from signer.tenancy.meshconfig.config_maps import ConfigMaps
from signer.tenancy.routes import route
from signer.tenancy.verdict import Bind, Confirm
from signer.tenancy.world import Binding, HadDefault, MeshConfig, Policy, Settings, World

Texts = Mapping[str, Mapping[str, str]]


class LiveConfig(msgspec.Struct, frozen=True):
    """The mesh config of now, and all mesh signers that it names or named (ConfigMaps.signers)."""

    config: MeshConfig
    signers: frozenset[IssuerRef]


class LiveView(msgspec.Struct, frozen=True):
    """What was read, all of it after the decision was made.

    `namespaces` are those of the claimant and of the signer's name that exist; `proxy_configs` those of the claimant and the
    root namespace, and where the signer has nobody's name of every namespace that names it. `had_default` is what is known of these
    namespaces' earlier certificates: no watch tells it, and it counts for the uid that it was noted with. `others` are what the
    claimant owns beside the signer, as the watch shows it: they tell since when it has a signer of its own, and give nothing.
    """

    settings: Settings
    mesh: LiveConfig
    namespaces: tuple[NamespaceObject, ...] = ()
    proxy_configs: tuple[ProxyConfig, ...] = ()
    policies: tuple[SignerPolicy, ...] = ()
    binding: SignerBinding | None = None
    record: SignerRecord | None = None
    had_default: Mapping[str, HadDefault] = msgspec.field(default_factory=dict)
    others: Mapping[IssuerRef, Binding] = msgspec.field(default_factory=dict)


def read_config(texts: Texts, known: ConfigMaps, now: MeshConfig, settings: Settings, shared: str) -> LiveConfig:
    """Read the mesh config from what the ConfigMaps say now, where `known` ones were read before, as `now` says.

    As for the world, a text that cannot be read now counts as it was when it could be.
    """
    if dict(texts) == known.texts:
        return LiveConfig(now, known.signers)  # a large one takes long to read
    config_maps = ConfigMaps(settings, shared=shared)
    for name, data in known.texts.items():
        config_maps.put(name, data)
    for name in {*known.texts, *texts}:
        config_maps.put(name, texts.get(name))
    return LiveConfig(config_maps.take() or MeshConfig(), config_maps.signers)


def naming(objects: Iterable[ProxyConfig], signer: IssuerRef, domain: str) -> list[ProxyConfig]:
    """Keep the ProxyConfigs of namespaces that name a signer in one of them: no other claims it, and ten thousand take long."""
    listed = list(objects)
    names = {obj.metadata.namespace for obj in listed if signer_of(obj.cert_signer, domain) == signer}
    return [obj for obj in listed if obj.metadata.namespace in names]


def against_owner(view: LiveView, bind: Bind, now: datetime) -> str:
    """Say why a namespace must not become the owner of a signer after all; "" when the view bears it."""
    index = _index(view, now)
    if bind.namespace in index.terminating:
        return f"namespace {bind.namespace} is being deleted"
    return _differs(index.world, Claimable, bind, now)


def against_grant(view: LiveView, confirm: Confirm, now: datetime) -> str:
    """Say why a namespace must not have a certificate of a signer after all; "" when the view bears it."""
    return _differs(_index(view, now).world, Granted, confirm, now)


def against_request(view: LiveView, confirm: Confirm, known: Policy | None, now: datetime) -> str:
    """Say why a CertificateRequest must not be signed by the policy that it was decided by; "" when the view bears it.

    `known` is that policy as the watches show it: what is stored must be the same in all that it grants.
    """
    world = _index(view, now).world
    exists = world.namespaces.get(confirm.namespace)
    if wrong := another_namespace(exists.uid if exists else None, confirm.namespace, confirm.namespace_uid):
        return wrong
    stored = next((one for listed in world.policies.values() for one in listed if one.name == confirm.policy), None)
    if stored is None:
        return f"SignerPolicy {confirm.policy} is gone"
    # Whom it was given to counts for this namespace alone.
    if known is None or replace(stored, namespace_uids={}) != replace(known, namespace_uids={}):
        return f"SignerPolicy {confirm.policy} was changed"
    if not stored.covers(confirm.namespace, exists):
        return f"SignerPolicy {confirm.policy} does not cover namespace {confirm.namespace}"
    return ""


def another_namespace(found: str | None, namespace: str, uid: str) -> str:
    """Say that the namespace of this name, by the uid that was found, is not the one decided about; "" when it is."""
    if found is None:
        return f"namespace {namespace} is gone"
    return f"namespace {namespace} was made again" if found != uid else ""


def _differs(world: World, wanted: type[Claimable | Granted], asked: Bind | Confirm, now: datetime) -> str:
    exists = world.namespaces.get(asked.namespace)
    uid = exists.uid if exists is not None else None
    if wrong := another_namespace(uid, asked.namespace, asked.namespace_uid):
        return wrong
    if isinstance(asked, Confirm) and asked.asked is not None:
        way = route(world, asked.asked, asked.namespace, now=now) if asked.asked in world.routed else None
        if isinstance(way, NotGranted):
            return way.reason.message
        if way is None or way.signer != asked.signer:
            return f"{asked.asked} is not signed by {asked.signer} there"
    found = granted(world, asked.namespace, asked.signer, now=now)
    if isinstance(found, wanted):
        return ""
    if isinstance(found, Granted):
        return f"it needs no owner: {found.source}"
    return "it belongs to nobody" if isinstance(found, Claimable) else found.reason.message


def _index(view: LiveView, now: datetime) -> Index:
    index = Index(view.settings, keys=False)
    index.world.unsynced = ""
    index.world.had_default = dict(view.had_default)
    index.put_config(view.mesh.config, view.mesh.signers)
    for namespace in view.namespaces:
        index.put_namespace(namespace)
    for proxy_config in view.proxy_configs:
        index.proxy_configs.put(proxy_config)
    for policy in view.policies:
        index.put_policy(policy)
    if view.binding is not None:
        index.put_binding(view.binding)
    if view.record is not None:
        index.put_record(view.record)
    index.settle(now)
    for signer, binding in view.others.items():
        index.world.bindings.setdefault(signer, binding)
    return index
