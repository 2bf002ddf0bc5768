"""Writes the status of SignerPolicies: what each covers, and where two say different things. The leader does it.

Nothing is decided by it: a status is for people. It follows the world a moment later, all policies at once, since one
namespace's label may change what several cover.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

import msgspec

from signer.api.event import reference_to
from signer.api.issuer import IssuerRef
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy, SignerPolicyStatus
from signer.api.text import some
from signer.authorities.registry import Registry
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.kube.objects import Json
from signer.mesh.watcher import MeshWatcher
from signer.observe.events import EventRecorder
from signer.observe.notices import Notice, Notices
from signer.observe.write_errors import WriteErrors
from signer.tenancy.coverage import policy_status, read_coverage, would_have
from signer.tenancy.led_nowhere import refusal
from signer.tenancy.mesh_cas import CA
from signer.tenancy.policies import read_policy
from signer.tenancy.verdict import Reason

log = logging.getLogger(__name__)

# Changes that come together are worked together (seconds).
_SETTLES = 1.0
_RETRY = 10.0
_SHOWN = 5
_YIELD_EVERY = 50
NO_NAMESPACE = "NamespaceNotFound"


class PolicyStatuses:
    """Keeps status of all SignerPolicies; `run` may be called again after it was cancelled."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        mesh: MeshWatcher,
        errors: WriteErrors,
        recorder: EventRecorder,
    ) -> None:
        self._errors = errors
        self._notices = Notices(recorder)
        self._client = client
        self._registry = registry
        self._mesh = mesh
        self._told = ""
        self._changed = asyncio.Event()
        mesh.subscribe(self._changed.set)

    async def run(self) -> None:
        """Write until cancelled. Nothing is written before everything was read once."""
        await self._mesh.synced.wait()
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLES)
            self._changed.clear()
            if self._mesh.world.unsynced:
                continue
            self._tell_of_missing()
            if not await self._write_all():
                await asyncio.sleep(_RETRY)
                self._changed.set()

    def _tell_of_missing(self) -> None:
        """Tell on a policy which of the namespaces that it names do not exist."""
        stored, there = self._mesh.policies, self._mesh.world.namespaces
        for name, obj in stored.items():
            policy = read_policy(obj)
            missing = sorted(policy.namespaces - there.keys())
            known = [] if policy.remade_allowed else [one for one in missing if policy.namespace_uids.get(one)]
            what = {
                "it has the signers as soon as there is": [one for one in missing if one not in known],
                "it was deleted, and if it is made again has nothing by this policy (NamespaceRemade) before an admin "
                "says that it is the same tenant's: mesh-signer tenants readmit": known,
            }
            text = "; ".join(
                f"there is no namespace {some(names, _SHOWN)}; {then}" for then, names in what.items() if names
            )
            text = f"spec.namespaces.names: {text}"
            said = [Notice("Warning", NO_NAMESPACE, text)] if missing else []
            if self._notices.say(reference_to(SIGNER_POLICIES, obj.metadata), said):
                log.warning("SignerPolicy %s: %s", name, text)

    async def _write_all(self) -> bool:
        """Write what is not as it should be; whether all of it could be written."""
        trouble = ""
        refused = await self._refused()
        for name, (obj, status) in self._wanted(self._mesh.policies, refused).items():
            try:
                await self._client.patch(SIGNER_POLICIES, name, _patch(obj, status), subresource="status")
            except NotFound:
                pass
            except Conflict as error:
                # It changed: the watch tells, and it is looked at again. Only when that never ends it is news.
                self._errors.refused(reference_to(SIGNER_POLICIES, obj.metadata), error)
            except (ApiError, Unreachable) as error:
                self._errors.refused(reference_to(SIGNER_POLICIES, obj.metadata), error)
                trouble = trouble or f"SignerPolicy {name}: its status could not be written: {error}"
            else:
                self._errors.fine(reference_to(SIGNER_POLICIES, obj.metadata))
        if trouble and trouble != self._told:
            log.warning("%s", trouble)
        self._told = trouble
        return not trouble

    async def _refused(self) -> dict[str, Reason]:
        """Tell which namespaces get nothing by identity, and why. Where there are many, the loop runs in between."""
        world, found, now = self._mesh.world, dict[str, Reason](), utc_now()
        for asked in sorted(world.routed):
            for count, name in enumerate(sorted(world.namespaces)):
                if count % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
                if name in found or not world.by_identity(name):
                    continue
                if (reason := refusal(world, asked, name, self._ca, now)) is not None:
                    found[name] = reason
        return found

    def _ca(self, ref: IssuerRef) -> tuple[CA, bool] | None:
        state = self._registry.get(ref)
        if state is None or state.authority is None:
            return None
        authority = state.authority
        return CA(ref, authority.key_id, authority.chain), authority.root_pem is not None

    def _wanted(
        self, stored: Mapping[str, SignerPolicy], refused: Mapping[str, Reason]
    ) -> dict[str, tuple[SignerPolicy, SignerPolicyStatus]]:
        """Return the policies whose status is not as it should be, and how it should be."""
        if not stored:
            return {}
        policies = {name: read_policy(obj) for name, obj in stored.items()}
        issuers = frozenset(state.ref for state in self._registry.states())
        world = self._mesh.world
        coverage = read_coverage(
            policies.values(),
            world.namespaces,
            issuers,
            istio_namespace=world.settings.istio_namespace,
            holders=partial(would_have, world),
            defaults=world.defaults,
            trust_domains=world.config.trust_domains,
            istiods=world.requesters,
            refused=refused,
        )
        wanted = {}
        for name, obj in stored.items():
            status = policy_status(
                obj.status, policies[name], coverage[name], generation=obj.metadata.generation, now=utc_now()
            )
            if status != obj.status:
                wanted[name] = (obj, status)
        return wanted


def _patch(obj: SignerPolicy, status: SignerPolicyStatus) -> Json:
    """Make the merge patch: what is empty must be there to replace what was not."""
    body: Json = {
        "namespaceCount": 0,
        "namespaces": [],
        "conditions": [],
        **msgspec.to_builtins(status),
    }
    return {"metadata": {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}, "status": body}
