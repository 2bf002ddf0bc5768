"""Puts the controller `gateways` together: what it watches, its queue, and who is told of which change.

`run` may be called again after it was cancelled (leadership lost and won back): everything is made anew each time.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

from signer.api.certificate import Certificate
from signer.api.edgepolicy import EdgePolicy
from signer.api.hostclaim import HostClaim
from signer.api.labels import SOURCE_NAMESPACE
from signer.api.namespace import NamespaceObject
from signer.api.secret import Secret
from signer.authorities.registry import Registry
from signer.edge.gateways.by_hand import ByHand
from signer.edge.gateways.certificates import EdgeCertificates
from signer.edge.gateways.controller import EdgeOptions, GatewayController
from signer.edge.gateways.look import Known, Telling
from signer.edge.gateways.placeholder import waits
from signer.edge.gateways.secrets import GatewaySecrets
from signer.edge.gateways.served.controller import ServedProbes
from signer.edge.gateways.sources import GatewaySources
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.policy_status import EdgePolicyStatuses
from signer.edge.hosts.proven import unproven
from signer.edge.proxies.find import Proxies
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import ApiError, Unreachable
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.observe.controller_queue import ControllerQueue, namespace_of
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.observe.write_errors import WriteErrors

log = logging.getLogger(__name__)

GATEWAYS = "gateways"
_WORKERS = 4
_PROBERS = 4


class GatewayRun:
    """Runs the controller until cancelled; without `options.work` it only keeps `claims`, for whoever else takes hosts here."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        recorder: EventRecorder,
        metrics: Metrics,
        options: EdgeOptions,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.claims: Claims | None = None
        self._client = client
        self._registry = registry
        self._recorder = recorder
        self._write_errors = WriteErrors(recorder)
        self._metrics = metrics
        self._options = options
        self._clock = clock

    async def run(self, certificates: Reflector[Certificate]) -> None:
        """Watch and work until cancelled. Nothing is decided before everything was read once.

        `certificates` is run elsewhere, since others need it too.
        """
        claims = self.claims = Claims(
            self._client, clock=self._clock, on_restart=self._metrics.watch_restarted, errors=self._write_errors
        )
        try:
            await (self._run(claims, certificates) if self._options.work else claims.run())
        finally:
            self.claims = None

    async def _run(self, claims: Claims, shared: Reflector[Certificate]) -> None:
        queue = ControllerQueue[str](self._metrics, GATEWAYS)
        restarted = self._metrics.watch_restarted
        ready = False

        def changed(namespace: str) -> None:
            # Before everything is read there is nothing to decide; then each namespace is looked at anyway.
            if ready and namespace:
                queue.add(namespace)

        def source_changed(namespace: str) -> None:
            changed(namespace)
            # Its proxies may run where somebody wrote a Certificate for it by hand.
            for other in waiting():
                changed(other)

        def probe_failed(key: tuple[str, str], error: Exception) -> None:
            if isinstance(error, ApiError | Unreachable):
                log.debug("gateways: what is served from Secret %s of namespace %s: %s", key[1], key[0], error)
            else:
                queue.failed(key[0], error)

        def waiting() -> set[str]:
            found = ((name, one) for name in certificates.by_hand for one in certificates.by_hand_in(name))
            return {name for name, one in found if waits(one)}

        sources = GatewaySources(self._client, source_changed, on_restart=restarted)
        certificates = EdgeCertificates(self._client, shared, changed, self._options.gateway_namespaces)
        is_ca = self._registry.is_ca_secret
        secrets = GatewaySecrets(
            self._client, is_ca, claims.secrets, certificates.made, clock=self._clock, on_restart=restarted
        )
        proxies = Proxies(self._client)
        known = Known(sources, claims, certificates, secrets, proxies)
        by_hand = ByHand(self._client, certificates, sources, proxies, is_ca_secret=is_ca, clock=self._clock)
        telling = Telling(self._recorder, self._counter(self._metrics.edge_certificates))
        probe_queue: WorkQueue[tuple[str, str]] = WorkQueue(on_error=probe_failed, flow=namespace_of)
        probes = ServedProbes(
            self._client,
            known,
            telling,
            probe_queue,
            clock=self._clock,
            on_states=self._counter(self._metrics.edge_served),
        )
        controller = GatewayController(
            known,
            by_hand,
            telling,
            queue,
            self._options,
            on_kept=probes.expect,
        )
        queue.tells(self._write_errors, controller.about)
        statuses = EdgePolicyStatuses(self._client, claims, self._write_errors, clock=self._clock)

        def secret_changed(change: Change[Secret]) -> None:
            for secret in (change.old, change.new):
                if secret is not None:
                    own = change.key[0]
                    # Elsewhere anybody may set the label, and would have another namespace looked at again and again.
                    believed = own in self._options.gateway_namespaces
                    said = secret.metadata.labels.get(SOURCE_NAMESPACE, "") if believed else own
                    for namespace in {said, *claims.secrets.sources(change.key)}:
                        changed(namespace)

        def claim_changed(change: Change[HostClaim]) -> None:
            for claim in (change.old, change.new) if _matters(change) else ():
                if claim is not None:
                    changed(claim.spec.namespace)
            if change.kind in ("added", "deleted") or _spec_differs(change):
                for namespace in controller.unsatisfied:
                    changed(namespace)
            self._metrics.host_claims.set(len(claims.claims))

        def policy_changed(change: Change[EdgePolicy]) -> None:
            if change.kind == "synced":
                return
            for namespace in controller.namespaces() if _spec_differs(change) else _meant_anew(change):
                changed(namespace)

        def namespace_changed(change: Change[NamespaceObject]) -> None:
            for namespace in {change.key[1], *sources.beside(change.key[1])} if ready else ():
                changed(namespace)

        secrets.watch.subscribe(secret_changed)
        claims.hosts.subscribe(claim_changed)
        claims.edge_policies.subscribe(policy_changed)
        claims.namespaces.subscribe(namespace_changed)
        async with asyncio.TaskGroup() as tasks:
            for run in (sources.run, claims.run, secrets.watch.run):
                tasks.create_task(run())
            await self._registry.synced.wait()
            await claims.synced()
            await certificates.watch.synced.wait()
            await secrets.watch.synced.wait()
            await sources.synced()
            ready = True
            found = controller.namespaces()
            log.info("gateways: %d namespaces, %d HostClaims", len(found), len(claims.claims))
            for namespace in sorted(found):
                queue.add(namespace)
            tasks.create_task(statuses.run())
            tasks.create_task(queue.run(controller.reconcile, workers=_WORKERS))
            tasks.create_task(probe_queue.run(probes.look, workers=_PROBERS))

    @staticmethod
    def _counter(gauge: Gauge) -> Callable[[Mapping[str, int]], None]:
        def count(states: Mapping[str, int]) -> None:
            for state, number in states.items():
                gauge.labels(state).set(number)

        return count


def _matters(change: Change[HostClaim]) -> bool:
    """Whether more changed than what is written down for later: a look at a namespace asks the API server many things."""
    old, new = change.old, change.new
    if old is None or new is None or _spec_differs(change):
        return True
    # A claim that is unused goes once no Secret is on record: the look that removed the last one may not have seen that yet.
    released = bool(old.status.secrets) and not new.status.secrets
    if (unproven(old.status.conditions) is None) != (unproven(new.status.conditions) is None):
        return True
    return released or (old.status.contenders, old.status.unused_since) != (
        new.status.contenders,
        new.status.unused_since,
    )


def _meant_anew(change: Change[EdgePolicy]) -> set[str]:
    """The names by which a policy means another namespace than it did: one was written down, or readmitted by an admin."""
    old, new = (one.status.namespace_uids if one is not None else {} for one in (change.old, change.new))
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def _spec_differs(change: Change[Any]) -> bool:
    old, new = change.old, change.new
    return old is None or new is None or old.raw_spec != new.raw_spec
