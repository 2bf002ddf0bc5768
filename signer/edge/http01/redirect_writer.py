"""Takes a Gateway's redirect for the time of a challenge, and gives it back (mode C; redirect.py says what changes).

Each write names the resourceVersion that it was made for: who edits the Gateway at the same time is never written over.
Used on the loop, in the leader. Nothing is remembered but what stands in the Gateway.
"""

import logging
from collections.abc import Callable
from typing import Any

from signer.api.gateway import GATEWAYS
from signer.edge.challenges.each import EachForItself, InTheWay
from signer.edge.host import Host
from signer.edge.http01.lists import GatewayLists
from signer.edge.http01.redirect import giving_back, taken_for, taking
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, NotFound
from signer.tenancy.verdict import Reason

log = logging.getLogger(__name__)

FIELD_MANAGER = "mesh-signer-acme"
_TRIES = 5
Change = Callable[[dict[str, Any]], dict[str, Any] | Reason | None]


class Redirects:
    """Writes the servers of users' Gateways. Raises ApiError, Unreachable; Conflict after some tries."""

    def __init__(self, client: ApiClient, lists: GatewayLists) -> None:
        self._client = client
        self._lists = lists

    async def take(self, gateway: tuple[str, str], uid: str, host: Host) -> Reason | None:
        """Take the redirect of one host for a Challenge; may be called again. A reason says why it stays."""
        try:
            return await self._change(gateway, lambda found: taking(found, uid, host))
        except NotFound:
            return Reason("NoGateway", f"Gateway {gateway[0]}/{gateway[1]} is gone")

    async def give_back(self, uid: str) -> list[InTheWay]:
        """Give back what was taken for a Challenge, on whichever Gateway; nothing taken is not an error.

        Each Gateway has its turn, whatever becomes of another: returns those of which it is refused.
        """
        each = EachForItself()
        for one in await self._lists.gateways():
            if giving_back(one, {uid}) is not None:
                with each.one(GATEWAYS, one["metadata"]):
                    await self._give_back((one["metadata"]["namespace"], one["metadata"]["name"]), frozenset({uid}))
        return each.done()

    async def give_back_all_but(self, living: frozenset[str]) -> list[InTheWay]:
        """Give back what was taken for Challenges that are no more: somebody took their finalizers away.

        One write for each Gateway, for however many Challenges its user says that something was taken. Returns as `give_back`.
        """
        each = EachForItself()
        for one in await self._lists.gateways():
            if gone := taken_for(one) - living:
                gateway = (one["metadata"]["namespace"], one["metadata"]["name"])
                with each.one(GATEWAYS, one["metadata"]):
                    await self._give_back(gateway, gone)
                    log.info("Gateway %s/%s: its redirect is given back, its Challenge is gone", *gateway)
        return each.done()

    async def _give_back(self, gateway: tuple[str, str], uids: frozenset[str]) -> None:
        try:
            await self._change(gateway, lambda found: giving_back(found, uids))
            await self._disown(gateway)
        except NotFound:
            return

    async def _change(self, gateway: tuple[str, str], change: Change) -> Reason | None:
        namespace, name = gateway
        for left in reversed(range(_TRIES)):
            found = await self._client.get(GATEWAYS, name, namespace)
            patch = change(found)
            if patch is None or isinstance(patch, Reason):
                return patch
            try:
                await self._client.patch(GATEWAYS, name, patch, namespace=namespace, field_manager=FIELD_MANAGER)
            except Conflict:
                if not left:
                    raise
                continue
            self._lists.wrote(GATEWAYS)
            return None
        return None

    async def _disown(self, gateway: tuple[str, str]) -> None:
        """Own no field of it any more: else its user's next server-side apply that changes the servers would be a conflict.

        Only a courtesy: when it fails, `--force-conflicts` is the way out.
        Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields
        """
        namespace, name = gateway
        found = await self._client.get(GATEWAYS, name, namespace)
        meta = found["metadata"]
        managed = meta.get("managedFields") or []
        others = [one for one in managed if one.get("manager") != FIELD_MANAGER]
        if taken_for(found) or len(others) == len(managed) or not others:
            return
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "managedFields": others}}
        try:
            await self._client.patch(GATEWAYS, name, patch, namespace=namespace, field_manager=FIELD_MANAGER)
        except NotFound:
            raise
        except ApiError as error:
            log.info("Gateway %s/%s: managedFields stay as they are: %s", namespace, name, error)
