"""What is watched for certificates of gateways: Istio's Gateways, the Gateway API's, Ingresses, and the routes on them.

Used on the loop. Definitions of CRDs may come late or never: then there are none of these objects.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from signer.api.gateway import API_GATEWAYS, GATEWAYS, APIGateway, Gateway
from signer.api.httproute import HTTP_ROUTES, HTTPRoute
from signer.api.ingress import INGRESSES, Ingress
from signer.api.parts import only_what_is_read
from signer.api.virtualservice import MESH, VIRTUAL_SERVICES, VirtualService
from signer.edge.gateways.routed import Route, gateways_of, said
from signer.edge.gateways.wish import Source, SourceKind
from signer.kube.client import ApiClient
from signer.kube.discovery.served import Served, locate
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import Change

Key = tuple[str, str]
_LOOKS = 0.05
"""Seconds between looks at whether all was read, at start only."""


def _on_gateways(route: VirtualService) -> VirtualService | None:
    """Most VirtualServices are for the mesh only: they are not kept."""
    return only_what_is_read(route) if any(gateway != MESH for gateway in route.spec.gateways) else None


_KINDS: Mapping[str, SourceKind] = {
    "Gateways": "Gateway",
    "Gateways of the Gateway API": "APIGateway",
    "Ingresses": "Ingress",
}


class GatewaySources:
    """The objects by namespace. `changed` is called with a namespace in which one of them changed."""

    def __init__(
        self, client: ApiClient, changed: Callable[[str], None], *, on_restart: Callable[[str], None] = lambda _: None
    ) -> None:
        self._changed = changed
        self._objects: dict[str, dict[tuple[str, str], Gateway | APIGateway | Ingress]] = {}
        self._routes: dict[str, dict[str, VirtualService]] = {}
        # By the namespace of the Gateways: the routes of others on them, and all HTTPRoutes.
        self._on: dict[str, dict[tuple[str, str, str], Route]] = {}

        def served(name: str, resource: Any, codec: Any, handler: Any, forget: Callable[[], None]) -> Served[Any]:
            return Served(name, client, locate(resource), codec, handler, on_absent=forget, on_restart=on_restart)

        self._served: list[Served[Any]] = [
            served(what, resource, JsonCodec(kind, keep=only_what_is_read), self._keeper(what), self._forgetter(what))
            for what, resource, kind in (
                ("Gateways", GATEWAYS, Gateway),
                ("Gateways of the Gateway API", API_GATEWAYS, APIGateway),
                ("Ingresses", INGRESSES, Ingress),
            )
        ]
        self._served.append(
            served(
                "VirtualServices",
                VIRTUAL_SERVICES,
                JsonCodec(VirtualService, keep=_on_gateways),
                self._route_changed,
                self._forget_routes,
            )
        )
        keep = JsonCodec(HTTPRoute, keep=only_what_is_read)
        self._served.append(
            served("HTTPRoutes", HTTP_ROUTES, keep, self._put_on_gateways, lambda: self._forget_on(HTTPRoute))
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._served:
                tasks.create_task(one.run())

    async def synced(self) -> None:
        """Wait until everything was read once, or is known not to exist."""
        while not all(one.known for one in self._served):  # noqa: ASYNC110 - Served has no event, and this is once
            await asyncio.sleep(_LOOKS)

    @property
    def namespaces(self) -> set[str]:
        """Namespaces that have such objects."""
        return set(self._objects)

    def objects(self, namespace: str) -> Iterator[Gateway | APIGateway | Ingress]:
        """The objects of one namespace, in a fixed order."""
        found = self._objects.get(namespace, {})
        return (found[key] for key in sorted(found))

    def get(self, source: Source) -> Gateway | APIGateway | Ingress | None:
        """One object, unless it is gone or another one of that name is there."""
        what = next(name for name, kind in _KINDS.items() if kind == source.kind)
        found = self._objects.get(source.namespace, {}).get((what, source.name))
        return found if found is not None and found.metadata.uid == source.uid else None

    def istio_gateways(self) -> Iterator[Gateway]:
        """Istio's Gateways of all namespaces."""
        return (one for found in self._objects.values() for one in found.values() if isinstance(one, Gateway))

    def routes(self, namespace: str) -> Iterator[VirtualService]:
        """The VirtualServices of one namespace that are on Gateways."""
        found = self._routes.get(namespace, {})
        return (found[name] for name in sorted(found))

    def routes_on(self, namespace: str) -> Iterator[Route]:
        """The VirtualServices of other namespaces, and all HTTPRoutes, that name a Gateway of this one, in a fixed order."""
        found = self._on.get(namespace, {})
        return (found[key] for key in sorted(found))

    def beside(self, namespace: str) -> set[str]:
        """The other namespaces on whose Gateways the routes of this one are."""
        return {where for where, found in self._on.items() if any(key[1] == namespace for key in found)} - {namespace}

    def _keeper(self, what: str) -> Callable[[Change[Any]], None]:
        def keep(change: Change[Any]) -> None:
            if change.kind == "synced":
                self._forget(what, {one for served in self._served if served.name == what for one in served.store})
                return
            namespace, name = change.key
            if change.new is None:
                self._drop(namespace, (what, name))
            else:
                self._objects.setdefault(namespace, {})[what, name] = change.new
            self._changed(namespace)

        return keep

    def _forgetter(self, what: str) -> Callable[[], None]:
        return lambda: self._forget(what, set())

    def _forget(self, what: str, but: set[Key]) -> None:
        """Forget all objects of a kind but those that there still are."""
        gone = [
            (namespace, key)
            for namespace, found in self._objects.items()
            for key in found
            if key[0] == what and (namespace, key[1]) not in but
        ]
        for namespace, key in gone:
            self._drop(namespace, key)
            self._changed(namespace)

    def _drop(self, namespace: str, key: Key) -> None:
        found = self._objects.get(namespace, {})
        found.pop(key, None)
        if not found:
            self._objects.pop(namespace, None)

    def _route_changed(self, change: Change[VirtualService]) -> None:
        if change.kind == "synced":
            return
        namespace, name = change.key
        routes = self._routes.setdefault(namespace, {})
        self._put_on_gateways(change)
        if change.new is None:
            routes.pop(name, None)
        else:
            routes[name] = change.new
        if not routes:
            del self._routes[namespace]
        if namespace in self._objects:
            self._changed(namespace)

    def _put_on_gateways(self, change: Change[Any]) -> None:
        """Keep it by the Gateways' namespaces too, which are looked at again only where what counts there has changed."""
        if change.kind == "synced":
            return
        old: Route | None = change.old
        new: Route | None = change.new
        before, after = (gateways_of(one) if one is not None else frozenset[str]() for one in (old, new))
        key = (type(new or old).__name__, *change.key)
        for where in before - after:
            self._drop_on(where, key)
        if new is not None:
            for where in after:
                self._on.setdefault(where, {})[key] = new
        if said(old) != said(new):
            for where in sorted(before | after):
                if where in self._objects:
                    self._changed(where)

    def _drop_on(self, where: str, key: tuple[str, str, str]) -> None:
        found = self._on.get(where, {})
        found.pop(key, None)
        if not found:
            self._on.pop(where, None)

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._forget_on(VirtualService)

    def _forget_on(self, kind: type[Route]) -> None:
        for where, key in [
            (where, key) for where, found in self._on.items() for key in found if key[0] == kind.__name__
        ]:
            self._drop_on(where, key)
