"""Asks the API server whether somebody has a right (SubjectAccessReview), for `doctor`, `status` and `explain`.

Nothing is written. So many questions are under way at once; one that is not answered is told, and never taken for a no. Used on
the loop only.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from signer.api.accessreview import SUBJECT_ACCESS_REVIEWS, groups_of, is_allowed, review
from signer.commands.checks.facts import Access
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Unreachable

_AT_ONCE = 8


async def ask_rights(client: ApiClient, wanted: Iterable[Access]) -> tuple[tuple[Access, ...], str]:
    """Ask for each of these rights: those that were answered, and why another was not ("" for nothing)."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: Access) -> Access | ApiError | Unreachable:
        async with limit:
            try:
                return replace(one, allowed=await _allowed(client, one))
            except (ApiError, Unreachable) as error:
                return error

    answers = await asyncio.gather(*map(ask, wanted))
    known = tuple(one for one in answers if isinstance(one, Access))
    return known, next((str(one) for one in answers if not isinstance(one, Access)), "")


async def _allowed(client: ApiClient, wanted: Access) -> bool:
    attributes = {
        "verb": wanted.verb,
        "group": wanted.group,
        "version": "*",
        "resource": wanted.resource,
        "subresource": wanted.subresource,
        "name": wanted.name,
        "namespace": wanted.namespace,
    }
    asked = review(wanted.user, groups_of(wanted.user), attributes)
    return is_allowed(await client.create(SUBJECT_ACCESS_REVIEWS, asked))
