"""Reads live what a decision for good rests on: the view that signer/tenancy/live.py holds it against.

Lists without a resourceVersion, which the API server answers from what is stored; nothing of it goes into the world.
Policies and mesh config are read once for all who ask at the same time. Each read is bounded in objects and in time, and
one that fails is an exception: what could not be found out is never a yes. What tenants write, ProxyConfigs, is bounded for
each namespace, so that what one has written does not keep others waiting (signer/mesh/proxy_configs.py). Used on the loop only.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from signer.api.configmap import CONFIG_MAPS
from signer.api.issuer import IssuerRef
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SIGNER_BINDINGS
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.api.signerrecord import SIGNER_RECORDS
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.encoding.framing import CodecError
from signer.kube.errors import NotFound, Unreachable
from signer.kube.paging import pages
from signer.kube.resource import Resource
from signer.mesh.proxy_configs import ProxyConfigReads
from signer.mesh.reading import BINDING_CODEC, NAMESPACE_CODEC, POLICY_CODEC, RECORD_CODEC, config_map_codec
from signer.mesh.reread import Shared
from signer.tenancy.index import Index
from signer.tenancy.live import LiveConfig, LiveView, naming, read_config
from signer.tenancy.records import record_name
from signer.tenancy.world import MeshConfig

# For all reads of one decision (seconds), and objects of one kind.
_LONGEST = 20.0
_MOST = 50_000


class LiveReads:
    """Reads through `client`; `index` has what is known, `find` tells how ProxyConfigs are served.

    `crowded` is called with the namespaces of which not all ProxyConfigs were read, when another becomes an owner.
    """

    def __init__(
        self,
        client: ApiClient,
        index: Index,
        find: Callable[[], Awaitable[Resource | None]],
        *,
        shared: str = "",
        crowded: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self.proxy_configs = ProxyConfigReads(client, index.proxy_configs.of, crowded=crowded)
        self._client = client
        self._index = index
        self._settings = index.world.settings
        self._find = find
        self._shared = shared
        self._config = LiveConfig(MeshConfig(), frozenset())
        self._policies: tuple[SignerPolicy, ...] = ()
        self._read_config = Shared(self._config_now)
        self._read_policies = Shared(self._policies_now)

    async def for_owner(self, signer: IssuerRef, namespace: str) -> LiveView:
        """Read what makes a namespace the owner of a ClusterIssuer. Raises ApiError, Unreachable."""
        async with _in_time():
            spaces = await self._namespaces({namespace, signer.name})
            named = any(space.metadata.name == signer.name for space in spaces)
            # A signer that has nobody's name is the only claimant's, so nobody else may be overlooked.
            view = await self._view(spaces, namespace, rivals_for=None if named else signer)
            return replace(view, record=await self._one(SIGNER_RECORDS, RECORD_CODEC, record_name(signer)))

    async def for_grant(self, signer: IssuerRef, namespace: str) -> LiveView:
        """Read what a certificate rests on. Raises ApiError, Unreachable."""
        async with _in_time():
            spaces = await self._namespaces({namespace, signer.name} if signer.kind == "ClusterIssuer" else {namespace})
            view = await self._view(spaces, namespace)
            owned = self._index.world.bindings.items()
            view = replace(view, others={one: b for one, b in owned if b.namespace == namespace and one != signer})
            if signer.kind != "ClusterIssuer":
                return view
            found = await self._one(SIGNER_BINDINGS, BINDING_CODEC, signer.name)
            return replace(view, binding=found)

    async def for_request(self, namespace: str) -> LiveView:
        """Read what a certificate for a CertificateRequest rests on. Raises ApiError, Unreachable."""
        async with _in_time():
            spaces, _ = await asyncio.gather(self._namespaces({namespace}), self._read_policies(""))
            known = LiveConfig(self._index.world.config, frozenset())
            return LiveView(self._settings, known, spaces, policies=self._policies)

    async def uid(self, namespace: str) -> str | None:
        """Read a namespace's uid, None when there is none. Raises ApiError, Unreachable."""
        async with _in_time():
            found = await self._one(NAMESPACES, NAMESPACE_CODEC, namespace)
            return found.metadata.uid if found is not None else None

    async def _view(
        self, spaces: tuple[NamespaceObject, ...], namespace: str, *, rivals_for: IssuerRef | None = None
    ) -> LiveView:
        await asyncio.gather(self._read_config(""), self._read_policies(""))
        mesh, policies = self._config, self._policies
        resource = await self._find()
        found: list[ProxyConfig] = []
        if resource is not None:
            own = sorted({namespace, mesh.config.root_namespace})
            for part in await asyncio.gather(
                *(self.proxy_configs.of(resource, one) for one in own), self._rivals(resource, rivals_for, own)
            ):
                found += part
        known = self._index.world.had_default
        had = {name: known[name] for one in spaces if (name := one.metadata.name) in known}
        return LiveView(self._settings, mesh, spaces, tuple(found), policies, had_default=had)

    async def _rivals(self, resource: Resource, signer: IssuerRef | None, without: list[str]) -> list[ProxyConfig]:
        if signer is None:
            return []
        return naming(await self.proxy_configs.elsewhere(resource, without), signer, self._settings.signer_domain)

    async def _namespaces(self, names: set[str]) -> tuple[NamespaceObject, ...]:
        found = await asyncio.gather(*(self._one(NAMESPACES, NAMESPACE_CODEC, name) for name in sorted(names)))
        return tuple(one for one in found if one is not None)

    async def _config_now(self, _all: str) -> None:
        found = await self._all(CONFIG_MAPS, config_map_codec(self._shared), self._settings.istio_namespace)
        texts = {obj.metadata.name: obj.data for obj in found}
        index = self._index
        self._config = read_config(texts, index.config_maps, index.world.config, self._settings, self._shared)

    async def _policies_now(self, _all: str) -> None:
        try:
            self._policies = tuple(await self._all(SIGNER_POLICIES, POLICY_CODEC, None))
        except NotFound:
            self._policies = ()  # without the definition there are none

    async def _one(self, resource: Resource, codec: JsonCodec[Any], name: str) -> Any:
        # A get needs a right of its own; this is answered from one key as well.
        found = await self._all(resource, codec, None, f"metadata.name={name}")
        return found[0] if found else None

    async def _all(
        self, resource: Resource, codec: JsonCodec[Any], namespace: str | None, selector: str = ""
    ) -> list[Any]:
        found: list[Any] = []
        query = {"fieldSelector": selector} if selector else {}
        try:
            async for page, _ in pages(self._client, resource.path(namespace), codec, query=query):
                found.extend(page.whole()[0])
                if page.continue_token and len(found) > _MOST:
                    raise Unreachable(f"more than {_MOST} {resource.plural} are too many for a live read")
        except CodecError as error:
            raise Unreachable(str(error)) from error
        return found


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Limit the time; its end is told as what it is: no answer."""
    try:
        async with asyncio.timeout(_LONGEST):
            yield
    except TimeoutError:
        raise Unreachable(f"a live read took more than {_LONGEST:.0f} s") from None
