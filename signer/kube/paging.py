"""Reads a list page by page, as many objects at once as their size lets.

A few at first, then twice as many while pages stay small, half as many when one is large: tenants write some of what is
listed, up to 1.5 MiB each (etcd's limit), and several lists are read at once at a start, so what one tenant can put into a
page must leave room in a Pod's memory. Used on the loop; holds one page at a time.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from signer.kube.encoding.codec import Codec, ListPage

if TYPE_CHECKING:
    from signer.kube.client import ApiClient

T = TypeVar("T")

FIRST_PAGE, PAGE = 4, 500
_LARGE_PAGE = 2 * 1024 * 1024


def next_page(size: int, read: int, most: int) -> int:
    """How many objects the next page may have, after one of `size` objects that came as `read` bytes. Pure."""
    if read > _LARGE_PAGE:
        return max(1, size // 2)
    return min(size * 2, most) if read * 2 <= _LARGE_PAGE else size


async def pages(
    client: "ApiClient",
    path: str,
    codec: Codec[T],
    *,
    query: Mapping[str, str | int | bool] | None = None,
    most: int = PAGE,
) -> AsyncIterator[tuple[ListPage[T], int]]:
    """Give each page with its bytes; `most` objects in one. Raises ApiError, Unreachable, CodecError."""
    size = min(FIRST_PAGE, most)
    asked = dict(query or {})
    while True:
        asked["limit"] = size
        response = await client.request("GET", path, query=asked, accept=codec.accept)
        read = len(response.body)
        page = codec.decode_list(response.body)
        del response
        yield page, read
        if not page.continue_token:
            return
        size = next_page(size, read, most)
        asked["continue"] = page.continue_token
