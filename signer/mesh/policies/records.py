"""Writes down, in a SignerPolicy's status, which namespace each name in spec.namespaces.names was first given to.

A name is not a namespace: one that is deleted and made again, by somebody else maybe, has the same. So a policy grants
nothing by a name before the uid is stored (Policy.reach), and what is stored stays until an admin changes it. Every
replica writes; a patch carries the resourceVersion of the policy that it was made from, so that of two the second is
refused, and sees what the first has written. One task.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from signer.api.event import reference_to
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.kube.objects import Json
from signer.observe.write_errors import WriteErrors
from signer.tenancy.index import Index
from signer.tenancy.policies import is_recorded, to_record

log = logging.getLogger(__name__)

# Looking through all names costs something, and the world changes all the time (seconds).
_PAUSE = 0.25
_RETRY = 10.0
_NOT_KEPT = "the API server does not keep status.namespaceUIDs, which grants rest on: apply manifests/crds"


class PolicyRecords:
    """Writes what the policies that `stored` gives, by name, lack. `look` is called after the world changed."""

    def __init__(
        self,
        client: ApiClient,
        index: Index,
        stored: Callable[[], Mapping[str, SignerPolicy]],
        errors: WriteErrors | None = None,
    ) -> None:
        self._errors = errors
        self._client = client
        self._index = index
        self._stored = stored
        self._due = asyncio.Event()
        # Policies that need no look before they change, by their resourceVersion: the world changes all the time.
        self._complete: dict[str, str] = {}
        self._told = ""

    def look(self) -> None:
        """Have all policies looked at soon."""
        self._due.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._index.world.unsynced:
                await asyncio.sleep(_PAUSE)
                self._due.set()
                continue
            await asyncio.sleep(_PAUSE if await self.write() else _RETRY)

    async def write(self) -> bool:
        """Write what is not recorded yet; whether all of it could be written."""
        there = {
            name: found for name, found in self._index.world.namespaces.items() if name not in self._index.terminating
        }
        trouble, stored = "", dict(self._stored())
        if len(self._complete) > len(stored):
            self._complete.clear()
        for name, obj in stored.items():
            version = obj.metadata.resource_version
            if self._complete.get(name) == version:
                continue
            if not (missing := to_record(obj, there)):
                if is_recorded(obj):
                    self._complete[name] = version
                continue
            try:
                await self._record(name, obj, missing)
                self._tell(obj, None)
            except NotFound:
                pass
            except Conflict as error:
                # It changed: the watch tells, and it is looked at again. Only when that never ends it is news.
                self._tell(obj, error)
            except _NotKept:
                trouble = trouble or f"SignerPolicy {name}: {_NOT_KEPT}"
            except (ApiError, Unreachable) as error:
                self._tell(obj, error)
                trouble = trouble or f"SignerPolicy {name}: which namespaces it names could not be stored: {error}"
        if trouble and trouble != self._told:
            log.warning("%s", trouble)
        self._told = trouble
        if trouble:
            self._due.set()
        return not trouble

    def _tell(self, obj: SignerPolicy, error: Exception | None) -> None:
        if self._errors is None:
            return
        about = reference_to(SIGNER_POLICIES, obj.metadata)
        if error is None:
            self._errors.fine(about)
        else:
            self._errors.refused(about, error)

    async def _record(self, name: str, obj: SignerPolicy, missing: Mapping[str, str | None]) -> None:
        body: Json = {
            "metadata": {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid},
            "status": {"namespaceUIDs": dict(missing)},
        }
        made = await self._client.patch(SIGNER_POLICIES, name, body, subresource="status")
        status = made.get("status")
        kept = status.get("namespaceUIDs") if isinstance(status, dict) else None
        if any(uid is not None and (kept or {}).get(one) != uid for one, uid in missing.items()):
            raise _NotKept


class _NotKept(Exception):
    """The write was taken, and the record is not there: the CRD is an older one."""
