"""What stands around a bridge and would make its requests fail, or let others use it: read live, now and then.

Used on the loop. Nothing is decided by it but two conditions for people; what may not be read is left out, and said. Each list is
bounded by the client (signer/kube/objects.py).
"""

from typing import Any

from signer.api.accessreview import SUBJECT_ACCESS_REVIEWS, groups_of, is_allowed, review
from signer.api.serviceaccount import SERVICE_ACCOUNTS
from signer.bridges.defects import Facts, Hosted, Protection, Sidecar, as_map, as_texts, protection_of, sidecar_of
from signer.bridges.read import Wish
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, NotFound
from signer.kube.objects import Json
from signer.kube.resource import Resource

PEER_AUTHENTICATIONS = Resource("security.istio.io", "v1", "peerauthentications", "PeerAuthentication", namespaced=True)
SIDECARS = Resource("networking.istio.io", "v1", "sidecars", "Sidecar", namespaced=True)
SERVICE_ENTRIES = Resource("networking.istio.io", "v1", "serviceentries", "ServiceEntry", namespaced=True)
SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
_EXPORT_TO = "networking.istio.io/exportTo"


class FactReads:
    """Reads for one bridge at a time; no state of its own. Raises Unreachable; what is refused is None."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def read(self, wish: Wish, root_namespace: str) -> Facts:
        """Read what stands around a bridge now."""
        own = await self._list(PEER_AUTHENTICATIONS, wish.namespace)
        root = await self._list(PEER_AUTHENTICATIONS, root_namespace)
        entries = await self._list(SERVICE_ENTRIES, wish.namespace)
        sidecars = await self._list(SIDECARS, wish.client_namespace)
        labels = ",".join(f"{key}={value}" for key, value in sorted(wish.client_labels.items()))
        pods = await self._list(PODS, wish.client_namespace, labels)
        hosted = {host: await self._hosted(wish, host, entries) for host in wish.hosts if not host.startswith("*.")}
        return Facts(
            protection=Protection(None, ()) if own is None or root is None else protection_of(own, root),
            hosted={host: one for host, one in hosted.items() if one is not None},
            sidecars=_sidecars(sidecars) if _go_by_sidecars(pods) else (),
            root_namespace=root_namespace,
            lists_own=await self._may_list(wish, wish.client_namespace),
            lists_all=await self._may_list(wish, ""),
            client_accounts=_accounts(pods),
            missing_accounts=await self._missing_accounts(wish),
        )

    async def _list(
        self, resource: Resource, namespace: str, labels: str | None = None, *, name: str = ""
    ) -> list[Json] | None:
        try:
            return await self._client.list(resource, namespace, labels, name=name)
        except NotFound:
            return []  # the kind is not defined here
        except ApiError:
            return None

    async def _hosted(self, wish: Wish, host: str, entries: list[Json] | None) -> Hosted | None:
        """Find what stands behind a host; None: that may not be read."""
        for entry in entries or ():
            spec = as_map(entry.get("spec"))
            if host in as_texts(spec.get("hosts")):
                ports = [as_map(one) for one in spec.get("ports") or ()]
                kinds = tuple(str(one.get("protocol", "")) for one in ports)
                return Hosted("ServiceEntry", as_texts(spec.get("exportTo")), kinds)
        name = host.split(".", 1)[0]
        try:
            found = await self._client.list(SERVICES, wish.namespace, name=name)
        except ApiError:
            return None
        if not found:
            return None if entries is None else Hosted("", (), ())
        notes = as_map(as_map(found[0].get("metadata")).get("annotations"))
        told = str(notes.get(_EXPORT_TO, "")).split(",") if notes.get(_EXPORT_TO) else []
        ports = [as_map(one) for one in as_map(found[0].get("spec")).get("ports") or ()]
        kinds = tuple(str(one.get("appProtocol") or str(one.get("name", "")).split("-", 1)[0]) for one in ports)
        return Hosted("Service", tuple(one.strip() for one in told), kinds)

    async def _missing_accounts(self, wish: Wish) -> tuple[str, ...]:
        """Name the accounts that a bridge names and that are not there; one that may not be read is not missed."""
        named = [(wish.client_namespace, wish.client_account)]
        client = await self._list(SERVICE_ACCOUNTS, wish.client_namespace, name=wish.client_account)
        there = {wish.client_namespace: client}
        if wish.accounts:
            named += [(wish.namespace, one) for one in wish.accounts]
            there[wish.namespace] = await self._list(SERVICE_ACCOUNTS, wish.namespace)
        names = {
            place: {str(as_map(one.get("metadata")).get("name")) for one in found}
            for place, found in there.items()
            if found is not None
        }
        return tuple(f"{place}/{name}" for place, name in named if place in names and name not in names[place])

    async def _may_list(self, wish: Wish, namespace: str) -> bool | None:
        """Ask whether the client's account may list Secrets, in a namespace or ("") in all."""
        attributes = {"verb": "list", "resource": "secrets", "group": ""} | (
            {"namespace": namespace} if namespace else {}
        )
        user = f"system:serviceaccount:{wish.client_namespace}:{wish.client_account}"
        try:
            answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, review(user, groups_of(user), attributes))
        except ApiError:
            return None
        return is_allowed(answer)


def _accounts(pods: list[Json] | None) -> tuple[str, ...] | None:
    """Name the accounts that Pods run as; those that have ended are left out. None: that could not be read of all."""
    if pods is None:
        return None
    running = [one for one in pods if as_map(one.get("status")).get("phase") not in ("Succeeded", "Failed")]
    found = [as_map(one.get("spec")).get("serviceAccountName") for one in running]
    names = {one for one in found if isinstance(one, str)}
    return tuple(sorted(names)) if all(isinstance(one, str) for one in found) else None


def _go_by_sidecars(pods: list[Json] | None) -> bool:
    """Whether one of the client's Pods goes by Sidecars, which a gateway does not: its agent is told to be a router."""
    return any(not _routes(one) for one in pods or ())


def _routes(pod: Json) -> bool:
    containers: list[Any] = [one for one in as_map(pod.get("spec")).get("containers") or () if isinstance(one, dict)]
    return any("router" in as_texts(one.get("args")) for one in containers)


def _sidecars(found: list[Json] | None) -> tuple[Sidecar, ...]:
    return tuple(sidecar_of(one) for one in found or ())
