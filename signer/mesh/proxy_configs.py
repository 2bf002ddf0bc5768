"""Reads live what namespaces claim: their ProxyConfigs as they are stored, of no namespace more than its share.

Tenants write them, and before somebody becomes the owner of a signer, those of all namespaces count. So their metadata is
listed, and what is known in the same version is not read again: uid and resourceVersion stand for all that an object says,
also for that it is too large to be read. The others are read one by one, some at once, those of a namespace one after the other.

What is read of one namespace is bounded (ADR 53). One that has more is *crowded*. For itself it is as if nothing could be
read. Where another becomes an owner, it claims what is known of it or was read within its share, and no more: nobody waits for
it, and whoever fills a namespace hurts that one alone. Used on the loop only.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import msgspec

from signer.api.meta import ObjectMeta
from signer.api.proxyconfig import ProxyConfig
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import LARGEST, Withheld
from signer.kube.encoding.framing import CodecError
from signer.kube.errors import TooMuch, Unreachable
from signer.kube.fair_lists import Portion, Version, Versions, list_versions
from signer.kube.resource import Resource
from signer.mesh.reading import PROXY_CONFIG_CODEC

Known = Callable[[str], Collection[ProxyConfig]]
"""The ProxyConfigs of a namespace as they were read before, by the watch or live."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is read of one namespace: of how many objects the metadata is `listed`, and how many that are not known are `read`."""

    listed: Portion
    read: Portion


OTHERS = Bounds(listed=Portion(2_000, 4 * 1024 * 1024), read=Portion(200, 4 * 1024 * 1024))
"""Of each namespace but those that a decision is about."""
OWN = Bounds(listed=Portion(50_000, 16 * 1024 * 1024), read=Portion(2_000, 16 * 1024 * 1024))
"""Of the namespace that a decision is about, which nobody else waits for, and of the root namespace, which is administrators'."""
# Seconds for one object. No namespace has a share of time: silence is not its fault, and then nothing is decided.
_ANSWER = 10.0
_AT_ONCE = 8
# Of the namespaces that had more than a share before, so many are looked at again, and with so many pages in memory.
_AGAIN, _PAGES = 8, 4
# More than what the API server writes around one object of a list.
_AROUND = 4096
_TOO_LARGE = f"it has more than {LARGEST} bytes, and no more are read; make it smaller"


class ProxyConfigReads:
    """Reads through `client` what is not `known` in the version that is stored.

    `crowded` is called with each namespace that has more than is read of one, where another is to become an owner.
    """

    def __init__(
        self, client: ApiClient, known: Known, *, crowded: Callable[[Collection[str]], None] = lambda _: None
    ) -> None:
        self._client = client
        self._known = known
        self._tell = crowded
        self._crowded: dict[str, None] = {}  # who was looked at longest ago comes first
        self._one_by_one = asyncio.Semaphore(_AT_ONCE)
        self._lists = asyncio.Semaphore(_PAGES)

    async def of(self, resource: Resource, namespace: str) -> list[ProxyConfig]:
        """Read all of a namespace. Raises ApiError, Unreachable, also where it has more than is read of one."""
        listed = await list_versions(self._client, resource, OWN.listed, namespace=namespace)
        if listed.crowded:
            raise Unreachable(f"{_more(namespace, OWN.listed)} of their metadata, and no more are read: remove some")
        objects, new = sift(listed.of.get(namespace, ()), self._known(namespace))
        found, left = await self._read(resource, new, OWN.read)
        if left:
            many = _more(namespace, OWN.read)
            raise Unreachable(f"{many} that no watch has shown yet, and no more are read at once: {len(left)} are left")
        return objects + found

    async def elsewhere(self, resource: Resource, without: Collection[str]) -> list[ProxyConfig]:
        """Read those of all namespaces but some; of those that are crowded what is known. Raises ApiError, Unreachable."""
        before = [namespace for namespace in self._crowded if namespace not in without]
        left_out = {*without, *before}
        listed = await list_versions(self._client, resource, OTHERS.listed, without=left_out, noted=self._note)
        # Those that had more than a share before may have less by now.
        again, rest = before[:_AGAIN], before[_AGAIN:]
        for one in await asyncio.gather(*(self._alone(resource, namespace) for namespace in again)):
            listed.of.update(one.of)
            listed.crowded |= one.crowded
        listed.crowded |= set(rest)
        self._crowded = dict.fromkeys([*rest, *sorted(listed.crowded.difference(rest))])
        objects = [obj for namespace in sorted(listed.crowded) for obj in self._known(namespace)]
        new: dict[str, list[Version]] = {}
        for namespace, versions in listed.of.items():
            same, others = sift(versions, self._known(namespace))
            objects += same
            if others:
                new[namespace] = others
        parts = await asyncio.gather(*(self._read(resource, versions, OTHERS.read) for versions in new.values()))
        over: set[str] = set()
        for namespace, (found, left) in zip(new, parts, strict=True):
            objects += found
            if left:
                over.add(namespace)
                names = {version.name for version in left}
                objects += [obj for obj in self._known(namespace) if obj.metadata.name in names]
        self._tell(listed.crowded | over)
        return objects

    def _note(self, crowded: Collection[str]) -> None:
        self._crowded.update(dict.fromkeys(sorted(crowded)))

    async def _alone(self, resource: Resource, namespace: str) -> Versions:
        async with self._lists:
            return await list_versions(self._client, resource, OTHERS.listed, namespace=namespace)

    async def _read(
        self, resource: Resource, new: Iterable[Version], share: Portion
    ) -> tuple[list[ProxyConfig], list[Version]]:
        """Read one after the other, as many as a share has room for; the others are left."""
        objects: list[ProxyConfig] = []
        left: list[Version] = []
        count = total = 0
        for version in new:
            if count >= share.objects or total >= share.bytes:
                left.append(version)
                continue
            async with self._one_by_one:
                found, size = await self._one(resource, version)
            objects += found
            count, total = count + 1, total + size
        return objects, left

    async def _one(self, resource: Resource, version: Version) -> tuple[list[ProxyConfig], int]:
        """Read one object as it is now, with its bytes: none if it has gone; a stub of one that is too large for the watch too."""
        # A get needs a right of its own; this is answered from one key as well.
        query = {"fieldSelector": f"metadata.name={version.name}"}
        path, accept, most = resource.path(version.namespace), PROXY_CONFIG_CODEC.accept, LARGEST + _AROUND
        try:
            answer = await self._client.request("GET", path, query=query, accept=accept, largest=most, timeout=_ANSWER)
            return PROXY_CONFIG_CODEC.decode_list(answer.body).whole()[0], len(answer.body)
        except TooMuch:
            meta = msgspec.convert(version, ObjectMeta, from_attributes=True)
            return [ProxyConfig(metadata=meta, raw_spec=Withheld(_TOO_LARGE))], most
        except CodecError as error:
            raise Unreachable(str(error)) from error


def sift(listed: Iterable[Version], known: Iterable[ProxyConfig]) -> tuple[list[ProxyConfig], list[Version]]:
    """Tell which objects are known in the version that was listed, and which versions are not. Pure."""
    by_name = {obj.metadata.name: obj for obj in known}
    same: list[ProxyConfig] = []
    new: list[Version] = []
    for version in listed:
        obj = by_name.get(version.name)
        if obj is not None and _is(obj.metadata, version):
            same.append(obj)
        else:
            new.append(version)
    return same, new


def _is(meta: ObjectMeta, version: Version) -> bool:
    """Whether an object was read in this version: one that has neither uid nor resourceVersion may be any."""
    if not version.uid or not version.resource_version:
        return False
    return (meta.uid, meta.resource_version) == (version.uid, version.resource_version)


def _more(namespace: str, share: Portion) -> str:
    return f"namespace {namespace} has more than {share.objects} ProxyConfigs or {share.bytes} bytes"
