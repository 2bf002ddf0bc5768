"""Reads the Secrets that a backup speaks of, each by its name: nobody needs the right to list them. One event loop."""

import asyncio
from collections.abc import Iterable

from signer.api.secret import SECRETS
from signer.commands.command import NotFoundOut
from signer.commands.live import Json
from signer.commands.output import say
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.errors import Forbidden, NotFound, TooMuch

_AT_ONCE = 8


async def read_secrets(client: ApiClient, names: Iterable[tuple[str, str]]) -> list[Json]:
    """Read those of these Secrets, by namespace and name, that are there. Raises NotFoundOut where one may not be read."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def read(namespace: str, name: str) -> Json | None:
        async with limit:
            try:
                return await client.get(SECRETS, name, namespace)
            except (NotFound, ValueError):  # ValueError: an archive's Secret without a namespace
                return None
            except TooMuch as error:
                say(f"mesh-signer: {clean(str(error))}", file="stderr")
                return None
            except Forbidden as error:
                raise NotFoundOut(f"Secret {namespace}/{name} may not be read (verb get): {error.message}") from None

    found = await asyncio.gather(*(read(*one) for one in names))
    return [one for one in found if one is not None]
