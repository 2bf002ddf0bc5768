"""Lists which objects there are, in which version, and of no namespace more than its share.

Whoever writes in one namespace decides how much there is in it, and a list of all namespaces comes in the order of their
names: what one tenant writes would stand before what all others have. So as soon as a namespace is found to have more than a
share, it is left out, and the list begun anew without it. The API server sends metadata alone; but labels, annotations and
managedFields may be as large as an object, so they count.
Used on the loop; holds one page at a time, and of each object what names it.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables (PartialObjectMetadata),
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/ (metadata.namespace, of all kinds)
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from signer.kube.client import ApiClient
from signer.kube.encoding.codec import MetadataCodec
from signer.kube.encoding.depth import reader
from signer.kube.encoding.framing import CodecError
from signer.kube.errors import Unreachable
from signer.kube.paging import PAGE, Query, paged
from signer.kube.resource import Resource

MOST_LEFT_OUT = 200
"""Namespaces that one list leaves out at most: their names stand in its URL."""


class Portion(NamedTuple):
    """What is read of one namespace at most: so many objects, and bytes of their metadata."""

    objects: int
    bytes: int


class Version(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One version of an object: uid and resourceVersion together stand for all that it says."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Versions:
    """What was found: `of` has the versions of each namespace, `crowded` the namespaces that have more than their share. Pure."""

    def __init__(self, share: Portion) -> None:
        self.of: dict[str, list[Version]] = {}
        self.crowded: set[str] = set()
        self._share = share
        self._bytes: dict[str, int] = defaultdict(int)

    def take(self, version: Version, size: int) -> None:
        """Take one object, and the bytes of its metadata."""
        namespace = version.namespace
        if namespace in self.crowded:
            return
        found = self.of.setdefault(namespace, [])
        found.append(version)
        self._bytes[namespace] += size
        if len(found) > self._share.objects or self._bytes[namespace] > self._share.bytes:
            self.crowded.add(namespace)
            del self.of[namespace]


class _Item(msgspec.Struct):
    metadata: Version


class _ListMeta(msgspec.Struct):
    following: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_page = reader(msgspec.json.Decoder(_Page).decode)
_item = reader(msgspec.json.Decoder(_Item).decode)


async def list_versions(
    client: ApiClient,
    resource: Resource,
    share: Portion,
    *,
    namespace: str | None = None,
    without: Collection[str] = (),
    noted: Callable[[Collection[str]], None] = lambda _: None,
) -> Versions:
    """List a namespace's objects, or those of all namespaces but some. Raises ApiError, Unreachable.

    `crowded` of what is returned are the namespaces of which nothing is told: they have more than a share. `without` is not
    among them. `noted` is called with each that is found, at once: whoever is cut short leaves them out the next time.
    """
    crowded: set[str] = set()
    while True:
        left_out = sorted({*without, *crowded})
        if len(left_out) > MOST_LEFT_OUT:
            raise Unreachable(f"more than {MOST_LEFT_OUT} namespaces have more {resource.plural} than are read of one")
        query = {"fieldSelector": ",".join(f"metadata.namespace!={one}" for one in left_out)} if left_out else {}
        found, ended = await _list(client, resource, share, namespace, query)
        crowded |= found.crowded
        noted(found.crowded)
        if ended:
            found.crowded = crowded
            return found


async def _list(
    client: ApiClient, resource: Resource, share: Portion, namespace: str | None, query: Query
) -> tuple[Versions, bool]:
    """List until the end (True), or until what follows are a crowded namespace's: that of one namespace has come to its end."""
    found = Versions(share)
    path = resource.path(namespace)

    async def ask(asked: Query, largest: int) -> bytes:
        return (await client.request("GET", path, query=asked, accept=MetadataCodec.accept, largest=largest)).body

    try:
        async with aclosing(paged(ask, _page, lambda page: page.metadata.following, query=query, most=PAGE)) as read:
            async for page, size in read:
                last = _take(found, page.items or [], size)
                if last in found.crowded and page.metadata.following:
                    return found, namespace is not None
    except (CodecError, msgspec.DecodeError) as error:
        raise Unreachable(f"{resource.plural} cannot be listed: {error}") from error
    return found, True


def _take(found: Versions, items: list[msgspec.Raw], size: int) -> str:
    """Take the objects of a page that came as so many bytes; the namespace of the last one."""
    last = ""
    for raw in items:
        version = _item(raw).metadata
        last = version.namespace
        # What was nested too deep has been cut by now, and cost what it cost.
        found.take(version, size if len(items) == 1 else len(memoryview(raw)))
    return last
