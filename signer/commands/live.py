"""Reads a cluster once into the World that the signer keeps by watching: same codecs, same index, so same answers.

What may not be read is kept as a sentence beside what could be: the commands decide whether that ends them.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from issuers.authority import Authority
from issuers.errors import InvalidAuthority
from signer.api.configmap import CONFIG_MAPS
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.api.namespace import NAMESPACES
from signer.api.proxyconfig import PROXY_CONFIGS, ProxyConfig
from signer.api.secret import SECRETS
from signer.api.signerbinding import SIGNER_BINDINGS
from signer.api.signerpolicy import SIGNER_POLICIES
from signer.api.signerrecord import SIGNER_RECORDS
from signer.authorities.ca_secret import UNFORESEEN, load_ca
from signer.authorities.state import (
    CASecret,
    IssuerState,
    NeedsSecret,
    SecretMissing,
    judge_ca,
    judge_spec,
    not_found,
    slim_secret,
)
from signer.commands.command import NotFoundOut
from signer.commands.output import say
from signer.commands.tables import clean
from signer.csr.evaluate import at_best
from signer.csr.inquiries import INQUIRY_FAILED
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.discovery.served import locate_newest
from signer.kube.encoding.codec import Codec, JsonCodec, Problem, named
from signer.kube.encoding.depth import TOO_DEEP, deeper
from signer.kube.encoding.framing import CodecError
from signer.kube.errors import ApiError, Forbidden, NotFound, Unreachable
from signer.kube.paging import pages
from signer.kube.resource import Resource
from signer.kube.skew import skew_between
from signer.mesh.default_grace import CONFIG_MAP, DefaultGrace
from signer.mesh.reading import (
    BINDING_CODEC,
    NAMESPACE_CODEC,
    POLICY_CODEC,
    PROXY_CONFIG_CODEC,
    RECORD_CODEC,
    config_map_codec,
)
from signer.mesh.sources import NO_CRDS
from signer.settings.values import Settings
from signer.tenancy.decide import entitlement
from signer.tenancy.grants import Claimable, Granted, NotGranted
from signer.tenancy.index import Index
from signer.tenancy.mesh_cas import CA
from signer.tenancy.routes import route
from signer.tenancy.verdict import Reason, Refuse, Route, Unready, Wait
from signer.tenancy.world import NO_CLAIMS, World

Json = dict[str, Any]
AtBest = Granted | Claimable | NotGranted | Wait | Unready | Refuse
"""What a namespace gets of a signer at best: the first two are grants."""
T = TypeVar("T")

_ca_secret = msgspec.json.Decoder(CASecret)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list gave. `problem` says why it could not be read; `absent`: the API server knows no such resource.

    `unreadable` names the objects that cannot be read.
    """

    items: tuple[Json, ...] = ()
    problem: str = ""
    absent: bool = False
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Read(Generic[T]):
    """What a list gave, read as the signer reads it. `unreadable` names the objects that cannot be."""

    items: Sequence[T] = ()
    problem: str = ""
    absent: bool = False
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mesh:
    """The wall's world as it is at one moment, with the issuers, and `gaps`: what could not be read, a sentence each.

    `texts` are the mesh configs as they stand in the ConfigMaps; `unread` the issuers whose Secret may not be read;
    `issuer_gaps` are those of `gaps` that are about issuers; `grace_unread` says why it is not known who had the mesh's default before a claim, "" where it is.
    """

    world: World
    index: Index
    issuers: dict[IssuerRef, IssuerState]
    texts: dict[str, str]
    gaps: tuple[str, ...] = ()
    unread: frozenset[IssuerRef] = frozenset()
    remarks: tuple[str, ...] = ()
    ca_secrets: frozenset[tuple[str, str]] = frozenset()
    grace_unread: str = ""
    issuer_gaps: tuple[str, ...] = ()

    def require(self) -> "Mesh":
        """Return this if all of it could be read. Raises NotFoundOut: what is not known must not look like a refusal."""
        if self.gaps:
            raise NotFoundOut("; ".join(self.gaps))
        return self

    def require_issuers(self) -> "Mesh":
        """Return this if issuers could be read. Raises NotFoundOut: what may not be read is not what is not there."""
        if self.issuer_gaps:
            raise NotFoundOut("; ".join(self.issuer_gaps))
        return self

    def authority(self, ref: IssuerRef) -> Authority | None:
        """Return the CA of an issuer that is ready."""
        state = self.issuers.get(ref)
        return state.authority if state is not None else None

    def at_best(self, namespace: str, ref: IssuerRef, now: datetime) -> AtBest:
        """Tell what workloads of a namespace get of a signer at best, as the signer would.

        Raises NotFoundOut where that hangs on what may not be read.
        """
        if ref in self.world.routed and (way := route(self.world, ref, namespace, now=now)) is not None:
            return way if isinstance(way, NotGranted) else self._routed(way, now)
        state = self.issuers.get(ref)
        if ref in self.unread:
            # As `explain` does: by the issuer's own status, and its CA by the mesh config.
            key_id = next((key for key, signers in self.world.keys.items() if ref in signers), "unread")
            found: AtBest = entitlement(CA(ref, key_id), namespace, self.world, now=now)
        else:
            found = at_best(ref, state, namespace, self.world, now=now)
        if isinstance(found, Claimable) and namespace in self.index.terminating:
            return Unready(Reason(INQUIRY_FAILED, f"namespace {namespace} is being deleted, and becomes no owner"))
        if isinstance(found, NotGranted) and self.grace_unread and hangs_on_grace(self.world, namespace, ref):
            raise NotFoundOut(self.grace_unread)
        return found

    def _routed(self, way: Route, now: datetime) -> AtBest:
        """As `at_best`, of the signer that identity leads to; its grant says which that is."""
        ref, world = way.signer, self.world
        if ref in self.unread:
            key_id = next((key for key, signers in world.keys.items() if ref in signers), "unread")
            found: AtBest = entitlement(CA(ref, key_id), way.namespace, world, now=now, routed=True)
        else:
            found = at_best(ref, self.issuers.get(ref), way.namespace, world, now=now, routed=True)
        return Granted(f"by identity {ref}: {found.source}", found.policies) if isinstance(found, Granted) else found

    def is_ca_secret(self, namespace: str, name: str) -> bool:
        """Tell whether a `ca` issuer signs with this Secret, as the registry does."""
        return (namespace, name) in self.ca_secrets


def told(found: NotGranted | Wait | Unready | Refuse) -> tuple[str, str]:
    """Return code and message of why a namespace has not, or not yet, what it asks for."""
    reason = found.reasons[0] if isinstance(found, Refuse) else found.reason
    return reason.code, f"{reason.message} ({reason.others})" if reason.others else reason.message


def hangs_on_grace(world: World, namespace: str, signer: IssuerRef) -> bool:
    """Tell whether it counts who had the mesh's default before his claim."""
    return signer in world.defaults and world.claims.get(namespace, NO_CLAIMS).whole is not None


async def read_skew(client: ApiClient) -> timedelta | None:
    """Ask how far the clock here is ahead of the API server's; None where it does not answer, or gives no Date."""
    asked = utc_now()
    try:
        answer = await client.request("GET", "/version")
    except (ApiError, Unreachable):
        return None
    return skew_between(answer.headers.get("date", ""), asked, utc_now())


async def time_there(client: ApiClient) -> datetime:
    """Return the API server's time, by which what a cluster does is told; where it does not say it, the time here."""
    skew = await read_skew(client) or timedelta(0)
    return utc_now() - skew


async def list_all(client: ApiClient, resource: Resource, namespace: str | None = None) -> Listing:
    """List objects; never raises for what the API server or the network says. Those that cannot be read are named on stderr."""
    wrong: list[Problem] = []
    try:
        found = await client.list(resource, namespace, whole=wrong.append)
    except NotFound:
        return Listing(absent=True)
    except (ApiError, Unreachable) as error:
        return Listing(problem=problem_of(resource, namespace, error))
    unreadable = tuple(_unreadable(resource, one) for one in wrong)
    for one in unreadable:
        _say_once(f"mesh-signer: {clean(one)}")
    return Listing(tuple(found), unreadable=unreadable)


def _unreadable(resource: Resource, problem: Problem) -> str:
    return f"{resource.kind} {named(problem.key)} cannot be read: {problem.message}"


@lru_cache(maxsize=1000)
def _say_once(text: str) -> None:
    """Some commands look again and again."""
    say(text, file="stderr")


def problem_of(resource: Resource, namespace: str | None, error: Exception) -> str:
    """Say why a list could not be read; a right that is missing is told as such."""
    where = f" in namespace {namespace}" if namespace else ""
    if isinstance(error, Forbidden):
        return f"{resource}{where} may not be read (verb list): {error.message}"
    return f"{resource}{where} could not be read: {error}"


async def _read(client: ApiClient, resource: Resource, codec: Codec[T], namespace: str | None = None) -> _Read[T]:
    """As `list_all`, by the signer's own codec: what it skips or cuts is skipped or cut here."""
    found: list[T] = []
    wrong: list[str] = []
    try:
        async for page, _ in pages(client, resource.path(namespace), codec):
            items, problems = page.whole()
            found.extend(items)
            wrong += [_unreadable(resource, one) for one in problems]
    except NotFound:
        return _Read(absent=True)
    except (ApiError, Unreachable, CodecError) as error:
        return _Read(problem=problem_of(resource, namespace, error))
    return _Read(found, unreadable=tuple(wrong))


async def _read_proxy_configs(client: ApiClient) -> _Read[ProxyConfig]:
    """List the ProxyConfigs of all namespaces in whatever version is served."""
    try:
        found = await locate_newest(PROXY_CONFIGS)(client)
    except (ApiError, Unreachable) as error:
        return _Read(problem=f"the versions of ProxyConfigs could not be read: {error}")
    return _Read(absent=True) if found is None else await _read(client, found, PROXY_CONFIG_CODEC)


@dataclass(slots=True)
class _Sources:
    """Takes apart what was read. `missing` are definitions without which the signer decides nothing."""

    gaps: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def of(self, read: _Read[T], *, needs: str = "") -> Sequence[T]:
        """Note what is wrong with a list. `needs` is what the signer lacks where the definition is not there."""
        if read.problem:
            self.gaps.append(read.problem)
        if read.absent and needs and needs not in self.missing:
            self.missing.append(needs)
        self.remarks += read.unreadable
        return read.items


async def read_mesh(client: ApiClient, settings: Settings, *, now: datetime) -> Mesh:
    """Read all that a decision rests on. Raises nothing for what could not be read: see Mesh.gaps."""
    (cluster_issuers, own_issuers), (spaces, proxies, configs, policies, bindings, records) = await asyncio.gather(
        asyncio.gather(*(_read(client, resource, JsonCodec(Issuer)) for resource in (CLUSTER_ISSUERS, ISSUERS))),
        asyncio.gather(
            _read(client, NAMESPACES, NAMESPACE_CODEC),
            _read_proxy_configs(client),
            _read(client, CONFIG_MAPS, config_map_codec(settings.shared_mesh_config), settings.istio_namespace),
            _read(client, SIGNER_POLICIES, POLICY_CODEC),
            _read(client, SIGNER_BINDINGS, BINDING_CODEC),
            _read(client, SIGNER_RECORDS, RECORD_CODEC),
        ),
    )
    sources = _Sources()
    issuers = [*sources.of(cluster_issuers, needs="issuers"), *sources.of(own_issuers, needs="issuers")]
    issuer_gaps = tuple(sources.gaps)
    index = Index(settings.tenancy(), shared=settings.shared_mesh_config)
    walled = settings.tenancy_mode != "off"
    for namespace in sources.of(spaces):
        index.put_namespace(namespace)
    for proxy_config in sources.of(proxies):
        index.proxy_configs.put(proxy_config)
    texts = {}
    for config_map in sources.of(configs):
        index.config_maps.put(config_map.metadata.name, config_map.data)
        texts[config_map.metadata.name] = config_map.data.get("mesh", "")
    for policy in sources.of(policies):
        index.put_policy(policy)
    for binding in sources.of(bindings, needs=f"SignerBindings ({NO_CRDS})" if walled else ""):
        index.put_binding(binding)
    for record in sources.of(records, needs=f"SignerRecords ({NO_CRDS})" if walled else ""):
        index.put_record(record)
    states, unread = await _judge(client, issuers, settings.cluster_resource_namespace, now)
    for ref, state in states.items():
        if state.authority is not None:
            index.put_key(ref, state.authority.key_id, state.authority.chain)
    sources.gaps.extend(index.config_maps.unreadable.values())
    index.world.unsynced = "; ".join(sources.missing)
    grace_unread = await _read_grace(client, settings, index)
    index.settle(now)
    return Mesh(
        index.world,
        index,
        states,
        {name: text for name, text in texts.items() if name in index.config_maps.texts},
        tuple(sources.gaps),
        unread,
        tuple(sources.remarks),
        frozenset(
            (needs.namespace, needs.name)
            for issuer in issuers
            if isinstance(needs := judge_spec(issuer, settings.cluster_resource_namespace), NeedsSecret)
        ),
        grace_unread,
        issuer_gaps,
    )


async def _read_grace(client: ApiClient, settings: Settings, index: Index) -> str:
    """Read who is in the grace of the mesh's default; why nobody is known to be, where that may not be read."""
    namespace = settings.cluster_resource_namespace
    try:
        await DefaultGrace(client, index.world, namespace).learn()
    except (ApiError, Unreachable) as error:
        why = (
            f"may not be read (verb get): {error.message}"
            if isinstance(error, Forbidden)
            else f"could not be read: {error}"
        )
        return f"configmaps {namespace}/{CONFIG_MAP}, which says who had the mesh's default before a claim, {why}"
    return ""


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
        if isinstance(found, _Unread):
            unread.add(issuer.ref)
        states[issuer.ref] = judge_ca(issuer, needs, found, now)

    await asyncio.gather(*map(judge, issuers))
    return states, frozenset(unread)


class _Unread(SecretMissing):
    """A Secret that is there or not: this user may not know."""


async def _load(client: ApiClient, needs: NeedsSecret, now: datetime) -> Authority | InvalidAuthority | SecretMissing:
    where = f"Secret {needs.namespace}/{needs.name}"
    try:
        answer = await client.request("GET", SECRETS.path(needs.namespace, needs.name))
        if deeper(answer.body):
            return _Unread(f"{where} cannot be read: {TOO_DEEP}")
        data = slim_secret(_ca_secret.decode(answer.body)).data
    except (NotFound, ValueError):  # ValueError: the text can be no Secret's name, or its data is none
        return not_found(needs.namespace, needs.name)
    except (ApiError, Unreachable) as error:
        return _Unread(f"{where} may not be read (verb get): {error}")
    try:
        return await asyncio.to_thread(load_ca, data, now=now)
    except Exception:  # noqa: BLE001 - as in the registry: one CA must never stop the others
        return UNFORESEEN
