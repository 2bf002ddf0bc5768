"""Reads a cluster once into the World that the signer keeps by watching: same readers, same index, so same answers.

What may not be read is kept as a sentence beside what could be: the commands decide whether that ends them.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from issuers.authority import Authority, load_authority
from issuers.errors import InvalidAuthority
from signer.api.configmap import CONFIG_MAPS, ConfigMap
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.proxyconfig import PROXY_CONFIGS, ProxyConfig
from signer.api.secret import SECRETS
from signer.api.signerbinding import SIGNER_BINDINGS, SignerBinding
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.api.signerrecord import SIGNER_RECORDS, SignerRecord
from signer.authorities.state import CASecret, IssuerState, NeedsSecret, SecretMissing, judge_ca, judge_spec
from signer.commands.command import NotFoundOut
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Forbidden, NotFound, Unreachable
from signer.kube.resource import Resource
from signer.kube.served import locate_newest
from signer.mesh.default_grace import DefaultGrace
from signer.settings.values import Settings
from signer.tenancy.index import Index
from signer.tenancy.policies import to_record
from signer.tenancy.world import Namespace, World

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list gave. `problem` says why it could not be read; `absent`: the API server knows no such resource."""

    items: tuple[Json, ...] = ()
    problem: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Mesh:
    """The wall's world as it is at one moment, with the issuers, and `gaps`: what could not be read, a sentence each.

    `texts` are the mesh configs as they stand in the ConfigMaps; `unread` the issuers whose Secret may not be read.
    """

    world: World
    index: Index
    issuers: dict[IssuerRef, IssuerState]
    texts: dict[str, str]
    gaps: tuple[str, ...] = ()
    unread: frozenset[IssuerRef] = frozenset()
    remarks: tuple[str, ...] = ()
    proxy_configs: tuple[ProxyConfig, ...] = ()

    def require(self) -> "Mesh":
        """Return this if all of it could be read. Raises NotFoundOut: what is not known must not look like a refusal."""
        if self.gaps:
            raise NotFoundOut("; ".join(self.gaps))
        return self

    def authority(self, ref: IssuerRef) -> Authority | None:
        """Return the CA of an issuer that is ready."""
        state = self.issuers.get(ref)
        return state.authority if state is not None else None


@dataclass(slots=True)
class _Sources:
    gaps: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def read(self, listing: Listing, kind: type[T]) -> list[T]:
        """Read what was listed; an object that cannot be read is told and skipped, as by the signer."""
        if listing.problem:
            self.gaps.append(listing.problem)
        found = []
        for item in listing.items:
            try:
                found.append(msgspec.convert(item, kind))
            except msgspec.ValidationError as error:
                self.remarks.append(f"{item.get('kind', 'an object')} cannot be read: {error}")
        return found


async def list_all(client: ApiClient, resource: Resource, namespace: str | None = None) -> Listing:
    """List objects; never raises for what the API server or the network says."""
    where = f" in namespace {namespace}" if namespace else ""
    try:
        return Listing(tuple(await client.list(resource, namespace, whole=True)))
    except NotFound:
        return Listing(absent=True)
    except Forbidden as error:
        return Listing(problem=f"{resource}{where} may not be read: {error.message}")
    except (ApiError, Unreachable) as error:
        return Listing(problem=f"{resource}{where} could not be read: {error}")


async def list_proxy_configs(client: ApiClient) -> Listing:
    """List the ProxyConfigs of all namespaces in whatever version is served."""
    try:
        found = await locate_newest(PROXY_CONFIGS)(client)
    except (ApiError, Unreachable) as error:
        return Listing(problem=f"the versions of ProxyConfigs could not be read: {error}")
    return Listing(absent=True) if found is None else await list_all(client, found)


async def read_mesh(client: ApiClient, settings: Settings, *, now: datetime) -> Mesh:
    """Read all that a decision rests on. Raises nothing for what could not be read: see Mesh.gaps."""
    lists = await asyncio.gather(
        list_all(client, NAMESPACES),
        list_proxy_configs(client),
        list_all(client, CONFIG_MAPS, settings.istio_namespace),
        list_all(client, SIGNER_POLICIES),
        list_all(client, SIGNER_BINDINGS),
        list_all(client, CLUSTER_ISSUERS),
        list_all(client, ISSUERS),
        list_all(client, SIGNER_RECORDS),
    )
    sources = _Sources()
    needed = (SIGNER_POLICIES, SIGNER_BINDINGS, CLUSTER_ISSUERS, SIGNER_RECORDS)
    for resource, listing in zip(needed, (*lists[3:6], lists[7]), strict=True):
        if listing.absent:
            sources.gaps.append(f"the CustomResourceDefinition {resource} is not installed (manifests/crds)")
    index = Index(settings.tenancy(), shared=settings.shared_mesh_config)
    for namespace in sources.read(lists[0], NamespaceObject):
        index.put_namespace(namespace)
    proxy_configs = sources.read(lists[1], ProxyConfig)
    for proxy_config in proxy_configs:
        index.proxy_configs.put(proxy_config)
    texts = {}
    for config_map in sources.read(lists[2], ConfigMap):
        index.config_maps.put(config_map.metadata.name, config_map.data)
        texts[config_map.metadata.name] = config_map.data.get("mesh", "")
    for policy in sources.read(lists[3], SignerPolicy):
        index.put_policy(_recorded(policy, index.world.namespaces))
    for binding in sources.read(lists[4], SignerBinding):
        index.put_binding(binding)
    for record in sources.read(lists[7], SignerRecord):
        index.put_record(record)
    issuers = [*sources.read(lists[5], Issuer), *sources.read(lists[6], Issuer)]
    states, unread = await _judge(client, issuers, settings.cluster_resource_namespace, now)
    for ref, state in states.items():
        if state.authority is not None:
            index.put_key(ref, state.authority.key_id, state.authority.chain)
    sources.gaps.extend(index.config_maps.unreadable.values())
    index.world.unsynced = ""
    await _read_grace(client, settings, index)
    index.settle(now)
    known = {name: text for name, text in texts.items() if name in index.config_maps.texts}
    gaps, remarks = tuple(sources.gaps), tuple(sources.remarks)
    return Mesh(index.world, index, states, known, gaps, unread, remarks, tuple(proxy_configs))


def _recorded(policy: SignerPolicy, namespaces: Mapping[str, Namespace]) -> SignerPolicy:
    """Return a policy with the record that mesh-signer would write by itself before the first certificate."""
    uids = policy.status.namespace_uids | {
        name: uid for name, uid in to_record(policy, namespaces).items() if uid is not None
    }
    return msgspec.structs.replace(policy, raw_status={"namespaceUIDs": uids})


async def _read_grace(client: ApiClient, settings: Settings, index: Index) -> None:
    """Read who is in the grace of the mesh's default; without the right to, nobody is known to be."""
    with contextlib.suppress(ApiError, Unreachable):
        await DefaultGrace(client, index.world, settings.cluster_resource_namespace).read()


async def _judge(
    client: ApiClient, issuers: Iterable[Issuer], cluster_resource_namespace: str, now: datetime
) -> tuple[dict[IssuerRef, IssuerState], frozenset[IssuerRef]]:
    """Judge each issuer as the signer does; those whose Secret may not be read are named."""
    limit = asyncio.Semaphore(8)
    states: dict[IssuerRef, IssuerState] = {}
    unread: set[IssuerRef] = set()

    async def judge(issuer: Issuer) -> None:
        needs = judge_spec(issuer, cluster_resource_namespace)
        if not isinstance(needs, NeedsSecret):
            states[needs.ref] = needs
            return
        async with limit:
            found = await _load(client, needs, now)
        if isinstance(found, SecretMissing) and not found.message.endswith("not found"):
            unread.add(issuer.ref)
        states[issuer.ref] = judge_ca(issuer, needs, found, now)

    await asyncio.gather(*map(judge, issuers))
    return states, frozenset(unread)


async def _load(client: ApiClient, needs: NeedsSecret, now: datetime) -> Authority | InvalidAuthority | SecretMissing:
    where = f"Secret {needs.namespace}/{needs.name}"
    try:
        data = msgspec.convert(await client.get(SECRETS, needs.name, needs.namespace), CASecret).data
    except (NotFound, ValueError):  # ValueError: the text can be no Secret's name
        return SecretMissing(f"{where} not found")
    except (ApiError, Unreachable) as error:
        return SecretMissing(f"{where} may not be read: {error}")
    try:
        return await asyncio.to_thread(load_authority, data.tls_crt, data.tls_key, data.ca_crt or None, now=now)
    except InvalidAuthority as error:
        return error
    except (NotFound, ValueError):  # ValueError: the text can be no Secret's name
        return SecretMissing(f"{where} not found")
    except (ApiError, Unreachable) as error:
        return SecretMissing(f"{where} may not be read: {error}")
