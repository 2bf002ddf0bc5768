"""What is there of Gateways, routes and Ingresses, asked for when a challenge needs it, once for many challenges.

Challenges come in bursts and are rare: watching every route of a cluster for them would cost more. Lists are shared for
a second, and forgotten when we write. Used on the loop, in the leader, who alone writes these objects.
"""

import asyncio
import time
from typing import Any

from signer.api.gateway import API_GATEWAYS, GATEWAYS
from signer.api.httproute import HTTP_ROUTES, REFERENCE_GRANTS
from signer.api.ingress import INGRESSES
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.http01.routes import SOLVER_LABEL
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.resource import Resource

Json = dict[str, Any]
Key = tuple[Resource, str | None, str | None]
"""Of a list: what, where, with which labels."""
_FRESH = 1.0
"""Seconds for which a list is shared."""


class GatewayLists:
    """Lists by resource. Each raises ApiError, Unreachable; a definition that is not there has no objects."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._known: dict[Key, tuple[float, list[Json]]] = {}
        self._asking: dict[Key, asyncio.Lock] = {}
        self._written: dict[Resource, int] = {}

    async def gateways(self) -> list[Json]:
        """Istio's Gateways, our own among them."""
        return await self._all(GATEWAYS)

    async def api_gateways(self) -> list[Json]:
        """The Gateway API's Gateways."""
        return await self._all(API_GATEWAYS)

    async def ingresses(self) -> list[Json]:
        """Ingresses, our own among them."""
        return await self._all(INGRESSES)

    async def routes(self) -> list[Json]:
        """VirtualServices, our own among them."""
        return await self._all(VIRTUAL_SERVICES)

    async def ours(self, solver_namespace: str | None) -> list[tuple[Resource, Json]]:
        """What we made for challenges, wherever that is: Ingresses and ReferenceGrants beside the solver only."""
        found: list[tuple[Resource, Json]] = []
        wanted: list[tuple[Resource, str | None]] = [(VIRTUAL_SERVICES, None), (GATEWAYS, None), (HTTP_ROUTES, None)]
        if solver_namespace is not None:
            wanted += [(REFERENCE_GRANTS, solver_namespace), (INGRESSES, solver_namespace)]
        for resource, namespace in wanted:
            listed = await self._all(resource, namespace, f"{SOLVER_LABEL}=true")
            found += [(resource, one) for one in listed]
        return found

    def wrote(self, resource: Resource) -> None:
        """Forget the lists of a resource, those under way too: we wrote one of its objects."""
        self._written[resource] = self._written.get(resource, 0) + 1
        for key in [key for key in self._known if key[0] == resource]:
            del self._known[key]

    async def _all(self, resource: Resource, namespace: str | None = None, labels: str | None = None) -> list[Json]:
        key = (resource, namespace, labels)
        async with self._asking.setdefault(key, asyncio.Lock()):
            at, known = self._known.get(key, (float("-inf"), []))
            if time.monotonic() - at < _FRESH:
                return known
            written = self._written.get(resource, 0)
            try:
                found = await self._client.list(resource, namespace, labels)
            except NotFound:
                found = []
            if self._written.get(resource, 0) == written:
                kept = self._known[key] = (time.monotonic(), found)
                asyncio.get_running_loop().call_later(_FRESH, self._forget, key, kept)
            return found

    def _forget(self, key: Key, kept: tuple[float, list[Json]]) -> None:
        """What is no longer fresh is of no use, and megabytes of what tenants write."""
        if self._known.get(key) is kept:
            del self._known[key]
