"""Keeps which namespaces had certificates of the mesh's default signer before they claimed one of their own.

Their Pods keep asking for the default until they restart, and nobody else's have a reason to (signer/tenancy/grants.py).
A claim that is deleted and made again is not the first: the owner's record, and certificates
of a signer of its own, tell that. Each process knows what it issued. When such a namespace claims, what is known is written into one ConfigMap of ours, for
the other replicas and for the time after a restart; it is read, live, before anybody is refused. What was not written
before a restart is not known after it: then there is no grace, never one too many. Used on the loop; `run` is one task.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import datetime

from signer.api.configmap import CONFIG_MAPS
from signer.api.event import ObjectReference
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import ApiError, Forbidden, NotFound, Unreachable
from signer.kube.objects import Json
from signer.observe.write_errors import WriteErrors
from signer.tenancy.grants import default_grace_ends
from signer.tenancy.world import HadDefault, World

log = logging.getLogger(__name__)

CONFIG_MAP = "mesh-signer-default-grace"
_MOST = 4096
_MOST_TEXT = 128
_PAUSE = 1.0


class DefaultGrace:
    """Reads and writes `world.had_default`; the ConfigMap is in `namespace`."""

    def __init__(self, client: ApiClient, world: World, namespace: str, errors: WriteErrors | None = None) -> None:
        self._errors = errors
        self._uid = ""
        self._client = client
        self._world = world
        self._namespace = namespace
        self._stored: dict[str, HadDefault] = {}
        self._due = asyncio.Event()

    def issued(self, signer: IssuerRef, namespace: str, now: datetime) -> None:
        """Take that a namespace was given a certificate: of the default's and of its own the first since it has its uid counts."""
        world = self._world
        exists = world.namespaces.get(namespace)
        if exists is None or (signer not in world.defaults and signer not in world.signers):
            return
        first = world.had_default if signer in world.defaults else world.had_own
        known = first.get(namespace)
        if known is None or known.uid != exists.uid:
            first[namespace] = HadDefault(exists.uid, now)
            self._forget()

    def look(self) -> None:
        """Have it written down who claims by now. Called after the world changed."""
        self._due.set()

    async def run(self) -> None:
        """Write until cancelled; what cannot be written is tried again when the world changes."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self.write()
            except (ApiError, Unreachable) as error:
                log.debug("ConfigMap %s/%s: %s", self._namespace, CONFIG_MAP, error)
                if self._errors is not None:
                    self._errors.refused(self._about, error)
            else:
                if self._errors is not None:
                    self._errors.fine(self._about)
            await asyncio.sleep(_PAUSE)

    @property
    def _about(self) -> ObjectReference:
        return ObjectReference(CONFIG_MAPS.api_version, CONFIG_MAPS.kind, self._namespace, CONFIG_MAP, self._uid)

    async def write(self) -> None:
        """Write down who is in grace now and is not written down yet; take away who is no longer. Raises ApiError."""
        world = self._world
        now = utc_now()
        due = {
            name: known
            for name, known in world.had_default.items()
            if self._stored.get(name) != known and self._in_grace(name, now)
        }
        if not due:
            return
        over = {name: None for name in self._stored if name not in due and not self._in_grace(name, now)}
        data = {name: f"{one.uid} {to_rfc3339(one.first)}" for name, one in list(due.items())[:_MOST]} | over
        self._take(await self._client.patch(CONFIG_MAPS, CONFIG_MAP, {"data": data}, namespace=self._namespace))

    async def read(self) -> None:
        """Learn what others have written down. Raises ApiError, Unreachable; what is not there, or not ours, says nothing."""
        with contextlib.suppress(Forbidden):
            await self.learn()

    async def learn(self) -> None:
        """As `read`, for whom a missing right is no answer: raises Forbidden too."""
        with contextlib.suppress(NotFound):
            self._take(await self._client.get(CONFIG_MAPS, CONFIG_MAP, self._namespace))

    def _take(self, obj: Json) -> None:
        self._uid = str(obj.get("metadata", {}).get("uid", ""))
        found = obj.get("data")
        self._stored = read_record(found if isinstance(found, dict) else {})
        for name, one in self._stored.items():
            known = self._world.had_default.get(name)
            if known is None or known.uid != one.uid or one.first < known.first:
                exists = self._world.namespaces.get(name)
                if exists is not None and exists.uid == one.uid:
                    self._world.had_default[name] = one

    def _in_grace(self, name: str, now: datetime) -> bool:
        world = self._world
        exists, ends = world.namespaces.get(name), default_grace_ends(world, name)
        known = world.had_default.get(name)
        return ends is not None and now < ends and exists is not None and known is not None and known.uid == exists.uid

    def _forget(self) -> None:
        there = self._world.namespaces
        for known in (self._world.had_default, self._world.had_own):
            if len(known) > len(there):
                for name in [name for name in known if name not in there]:
                    del known[name]


def read_record(data: Mapping[str, object]) -> dict[str, HadDefault]:
    """Read the ConfigMap's data; what cannot be read says nothing."""
    found = {}
    for name, text in list(data.items())[:_MOST]:
        if isinstance(text, str) and len(text) <= _MOST_TEXT:
            uid, _, moment = text.partition(" ")
            if uid and (first := from_rfc3339(moment)) is not None:
                found[name] = HadDefault(uid, first)
    return found
