"""Reads a list page by page, as many objects at once as their size lets.

A few at first, then twice as many while pages stay small, half as many when one is large: tenants write some of what is
listed, up to 1.5 MiB each (etcd's limit), and several lists are read at once at a start, so what one tenant can put into a
page must leave room in a Pod's memory. Lists come in the order of names, so small objects of one namespace may be followed by
the largest of another: an answer that is too long for a page is not read to its end, but asked for again in smaller pages.
Used on the loop; holds one page at a time.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from signer.kube.encoding.codec import Codec, ListPage
from signer.kube.errors import TooMuch

if TYPE_CHECKING:
    from signer.kube.client import ApiClient

T = TypeVar("T")
P = TypeVar("P")
Query = Mapping[str, str | int | bool]

FIRST_PAGE, PAGE = 4, 500
_LARGE_PAGE = 1024 * 1024
LARGEST_BODY = 256 * 1024 * 1024
"""Bytes of any answer."""
LONGEST_PAGE = 4 * 1024 * 1024
"""Bytes of an answer with several objects; one object alone may be larger, as JSON writes one byte in six at worst."""
_SHRINK = 8
COSTLY = 0.01
"""Seconds: who reads something that takes longer than this waits as long again, so that half of the time is left to others."""


def next_page(size: int, read: int, most: int) -> int:
    """How many objects the next page may have, after one of `size` objects that came as `read` bytes. Pure."""
    if read > _LARGE_PAGE:
        return max(1, size // 2)
    return min(size * 2, most) if read * 2 <= _LARGE_PAGE else size


def most_bytes(size: int) -> int:
    """How many bytes of an answer with so many objects may be read. Pure."""
    return LONGEST_PAGE if size > 1 else LARGEST_BODY


def smaller(size: int) -> int:
    """How many objects to ask for where so many were too much. Pure."""
    return max(1, size // _SHRINK)


def pages(
    client: "ApiClient",
    path: str,
    codec: Codec[T],
    *,
    query: Query | None = None,
    most: int = PAGE,
) -> AsyncIterator[tuple[ListPage[T], int]]:
    """Give each page with its bytes; `most` objects in one. Raises ApiError, Unreachable, CodecError."""

    async def ask(asked: Query, largest: int) -> bytes:
        return (await client.request("GET", path, query=asked, accept=codec.accept, largest=largest)).body

    return paged(ask, codec.decode_list, lambda page: page.continue_token, query=query, most=most)


async def paged(
    ask: Callable[[Query, int], Awaitable[bytes]],
    decode: Callable[[bytes], P],
    following: Callable[[P], str],
    *,
    query: Query | None = None,
    most: int = PAGE,
) -> AsyncGenerator[tuple[P, int], None]:
    """Give each page with its bytes. `ask` gets a query, and how many bytes of the answer are read at most; it raises TooMuch.

    `following` says of a page by which token the next one is asked for, "" at the end.
    """
    size = min(FIRST_PAGE, most)
    asked = dict(query or {})
    while True:
        asked["limit"] = size
        try:
            body = await ask(asked, most_bytes(size))
        except TooMuch:
            if size == 1:
                raise
            size = smaller(size)
            continue
        read = len(body)
        began = time.perf_counter()
        page = decode(body)
        del body
        if (took := time.perf_counter() - began) > COSTLY:
            await asyncio.sleep(took)
        yield page, read
        if not (token := following(page)):
            return
        size = next_page(size, read, most)
        asked["continue"] = token
        del page
