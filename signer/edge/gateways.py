"""Keeps a certificate for each Secret that Gateways and Ingresses name: the controller `gateways`.

Runs on the loop of the leader; a key is a namespace that has such objects, and one worker at a time looks at all of
them. Every step can be repeated, and what it makes has a name that follows from the wish; so a process that is killed
anywhere is followed by one that goes on. All decisions are pure functions in the other files.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from signer.api.certificate import Certificate, IssuerReference
from signer.api.gateway import API_GATEWAYS, GATEWAYS
from signer.api.ingress import INGRESSES
from signer.api.secret import Secret
from signer.edge.claims_shell import Claims
from signer.edge.edge_certificates import EdgeCertificates, Key
from signer.edge.gateway_sources import GatewaySources
from signer.edge.gathering import Wanted, gather
from signer.edge.hostname import Host
from signer.edge.hosts import Asker, decide, granted_by_policy
from signer.edge.made import SOURCE_NAMESPACE_UID
from signer.edge.placement import NoGateway, Placement, place
from signer.edge.proxies import Proxies
from signer.edge.secrets_shell import GatewaySecrets
from signer.edge.wish import Source, Wish
from signer.kube.errors import Conflict, Forbidden, NotFound
from signer.kube.queue import WorkQueue
from signer.observe.events import EventRecorder, EventType, ObjectReference
from signer.tenancy.verdict import Reason, Refuse, Unready

logger = logging.getLogger(__name__)

_NO_POD_RECHECK = 5.0
_BLOCKED_RECHECK = 30.0
_UNREADY_RECHECK = 1.0
_KEPT_RECHECK = 3600.0
_RESOURCES = {"Gateway": GATEWAYS, "APIGateway": API_GATEWAYS, "Ingress": INGRESSES}
STATES = ("kept", "waiting", "refused")


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """`default` is the issuer of objects that name none; `gateway_namespaces` are where proxies of others may run."""

    gateway_namespaces: frozenset[str] = frozenset({"istio-system"})
    default: IssuerReference | None = None


@dataclass(slots=True)
class _Look:
    """One look at a namespace: what stays wanted, what is to be told, and when to look again."""

    asker: Asker
    kept: set[Key] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)
    contended: set[str] = field(default_factory=set)
    told: set[tuple[Source, EventType, str, str]] = field(default_factory=set)
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    again: float | None = None

    def soon(self, seconds: float | None) -> None:
        if seconds is not None:
            self.again = seconds if self.again is None else min(self.again, seconds)

    def tell(self, sources: tuple[Source, ...], reason: Reason, type_: EventType = "Warning") -> None:
        self.told.update((source, type_, reason.code, reason.message) for source in sources)

    def stays(self, key: Key) -> bool:
        return key in self.kept or key[1] in self.undecided


class GatewayController:
    """Works namespaces off. `queue` holds their names; `on_states` is given how many certificates are in which state."""

    def __init__(
        self,
        sources: GatewaySources,
        claims: Claims,
        certificates: EdgeCertificates,
        secrets: GatewaySecrets,
        proxies: Proxies,
        recorder: EventRecorder,
        queue: WorkQueue[str],
        options: EdgeOptions,
        *,
        clock: Callable[[], datetime],
        on_states: Callable[[Mapping[str, int]], None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._claims = claims
        self._certificates = certificates
        self._secrets = secrets
        self._proxies = proxies
        self._recorder = recorder
        self._options = options
        self._clock = clock
        self._on_states = on_states
        self._told: dict[str, set[tuple[Source, EventType, str, str]]] = {}
        self._states: dict[str, dict[str, int]] = {}
        self.queue = queue

    @property
    def unsatisfied(self) -> set[str]:
        """Namespaces of which something was refused, or waits: a claim or a policy that changes may help them."""
        # One host may be refused while the others of its certificate are served: what was told counts, not the states alone.
        return {*self._told, *(name for name, states in self._states.items() if states["refused"] or states["waiting"])}

    def namespaces(self) -> set[str]:
        """Namespaces that want something, or for which something was made."""
        return {
            *self._sources.namespaces,
            *self._claims.of_namespace,
            *self._certificates.of_source,
            *self._secrets.of_namespace,
        }

    async def reconcile(self, namespace: str) -> None:
        """Take one namespace as far as it can go now."""
        try:
            await self._work(namespace)
        except (Conflict, NotFound) as error:
            logger.debug("namespace %s: somebody was faster: %s", namespace, error)
            self.queue.add_backoff(namespace)
        except Forbidden as error:
            if "being terminated" not in error.message:
                raise
            self.queue.add_backoff(namespace)

    async def _work(self, namespace: str) -> None:
        asker = self._claims.asker(namespace)
        wanted = self._gather(namespace) if asker is not None else Wanted()
        look = _Look(asker or Asker(namespace, "", {}))
        for source, passed in wanted.passed:
            if not passed.harmless:
                text = f"{passed.field}: {passed.reason.message}" if passed.field else passed.reason.message
                look.tell((source,), Reason(passed.reason.code, text))
                look.states["refused"] += 1
        for wish in wanted.wishes:
            await self._serve(look, wanted, wish)
        self._tell_of_rivals(look, wanted)
        self._emit(namespace, look.told)
        self._count(namespace, look.states)
        await self._claims.contend(namespace, look.contended)
        if not wanted.unsure:
            await self._settle(look, wanted)
        else:
            look.soon(_BLOCKED_RECHECK)
        if look.again is not None:
            self.queue.add_after(namespace, look.again)

    def _gather(self, namespace: str) -> Wanted:
        found = self._claims.namespaces.store.get(("", namespace))
        annotations = found.metadata.annotations if found is not None else {}
        return gather(
            self._sources.objects(namespace), self._sources.routes(namespace), annotations, self._options.default
        )

    async def _serve(self, look: _Look, wanted: Wanted, wish: Wish) -> None:
        """Have one certificate made and kept, for those of its hosts that may be had."""
        hosts = self._permitted(look, wish)
        if hosts is None:
            look.undecided.add(wish.secret_name)
            look.states["waiting"] += 1
            look.soon(_UNREADY_RECHECK)
            return
        if not hosts:
            look.states["refused"] += 1
            return
        targets = await self._targets(look, wanted, replace(wish, hosts=hosts))
        if not targets:
            return
        taken = [host for host in hosts if await self._take(look, wish, host)]
        if not taken:
            look.states["refused"] += 1
            return
        wish = replace(wish, hosts=tuple(taken))
        fine = True
        for target in targets:
            fine = await self._put(look, wish, target) and fine
        look.states["kept" if fine else "refused"] += 1

    def _permitted(self, look: _Look, wish: Wish) -> tuple[Host, ...] | None:
        """The hosts that the namespace has or may take; the others are told of. None when it cannot be said yet."""
        found = []
        for host in wish.hosts:
            verdict = decide(host, look.asker, wish.issuer, self._claims.world)
            if isinstance(verdict, Unready):
                return None
            if isinstance(verdict, Refuse):
                self._refused(look, wish, host, verdict)
            else:
                found.append(host)
        return tuple(found)

    def _refused(self, look: _Look, wish: Wish, host: Host, verdict: Refuse) -> None:
        claim = self._claims.claims.get(host.claim_name)
        if claim is not None and claim.namespace not in ("", look.asker.namespace):
            look.contended.add(host.claim_name)
        for reason in verdict.reasons:
            look.tell(wish.sources, reason)

    async def _take(self, look: _Look, wish: Wish, host: Host) -> bool:
        verdict = await self._claims.acquire(host, look.asker, wish.issuer)
        if isinstance(verdict, Refuse):
            self._refused(look, wish, host, verdict)
            return False
        if isinstance(verdict, Unready):
            raise Conflict(409, "Conflict", verdict.reason.message)
        return True

    async def _targets(self, look: _Look, wanted: Wanted, wish: Wish) -> set[str]:
        """The namespaces in which the Secret is wanted; none when there is no proxy yet, or none where it may go."""
        namespace = look.asker.namespace
        granted = all(granted_by_policy(host, look.asker, self._claims.policies.values()) for host in wish.hosts)
        found: set[str] = set()
        waits = False
        for selector in wanted.selectors_of(wish):
            if selector is None:
                found.add(namespace)
                continue
            pods = await self._proxies.find(selector, (namespace, *sorted(self._options.gateway_namespaces)))
            placed = place(
                namespace,
                selector,
                pods,
                gateway_namespaces=self._options.gateway_namespaces,
                granted=granted,
                namespaced_issuer=wish.issuer.normal()[1] == "Issuer",
            )
            match placed:
                case Placement(namespaces, passed):
                    found.update(namespaces)
                    for reason in passed:
                        look.tell(wish.sources, reason)
                case NoGateway(reason):
                    waits = True
                    look.tell(wish.sources, reason)
                case Refuse(reasons):
                    for reason in reasons:
                        look.tell(wish.sources, reason)
        if waits:
            look.undecided.add(wish.secret_name)
            look.soon(_NO_POD_RECHECK)
        elif not found:
            look.soon(_BLOCKED_RECHECK)
        if not found:
            look.states["waiting" if waits else "refused"] += 1
        return found

    async def _put(self, look: _Look, wish: Wish, target: str) -> bool:
        """Have Secret and Certificate in one namespace; whether nothing is in the way."""
        uid = look.asker.uid
        why = self._certificates.in_the_way(wish, target, uid) or await self._secrets.prepare(wish, target, uid)
        if why is None:
            made = await self._certificates.prepare(wish, target, uid)
            if isinstance(made, bool):
                look.kept.add((target, wish.secret_name))
                if made:
                    names = ", ".join(str(host) for host in wish.hosts[:3]) + (" ..." if len(wish.hosts) > 3 else "")
                    message = f"Created Certificate {target}/{wish.secret_name} for {names}"
                    self._event(wish.sources, "Normal", Reason("CreateCertificate", message))
                return True
            why = made
        look.tell(wish.sources, why)
        look.soon(_BLOCKED_RECHECK)
        return False

    def _tell_of_rivals(self, look: _Look, wanted: Wanted) -> None:
        """Tell the owner of a host that others want it too: such a conflict is never between two who cannot see it."""
        for wish in wanted.wishes:
            for host in wish.hosts:
                obj = self._claims.hosts.store.get(("", host.claim_name))
                claim = self._claims.claims.get(host.claim_name)
                if obj is None or claim is None or claim.namespace != look.asker.namespace:
                    continue
                if others := obj.status.contenders:
                    message = f"{host} is this namespace's; {', '.join(others[:3])} wants it too"
                    look.tell(wish.sources, Reason("HostContended", message))

    def _emit(self, namespace: str, told: set[tuple[Source, EventType, str, str]]) -> None:
        """Write what was not told before; a reason that goes and comes back is told again."""
        before = self._told.get(namespace, set())
        for source, type_, code, message in sorted(told - before):
            self._event((source,), type_, Reason(code, message))
        if told:
            self._told[namespace] = told
        else:
            self._told.pop(namespace, None)

    def _event(self, sources: tuple[Source, ...], type_: EventType, reason: Reason) -> None:
        for source in sources:
            resource = _RESOURCES[source.kind]
            ref = ObjectReference(resource.api_version, resource.kind, source.namespace, source.name, source.uid)
            self._recorder.emit(ref, type_, reason.code, reason.message, share=source.namespace)

    def _count(self, namespace: str, states: dict[str, int]) -> None:
        if any(states.values()):
            self._states[namespace] = states
        else:
            self._states.pop(namespace, None)
        self._on_states({state: sum(one[state] for one in self._states.values()) for state in STATES})

    async def _settle(self, look: _Look, wanted: Wanted) -> None:
        """Take away, or note as unused, what was made for wishes that are gone."""
        namespace, uid = look.asker.namespace, look.asker.uid

        def certificate_stays(certificate: Certificate) -> bool:
            meta = certificate.metadata
            return meta.annotations.get(SOURCE_NAMESPACE_UID) == uid and look.stays((meta.namespace, meta.name))

        def secret_stays(secret: Secret) -> bool:
            meta = secret.metadata
            return meta.annotations.get(SOURCE_NAMESPACE_UID) == uid and look.stays((meta.namespace, meta.name))

        await self._certificates.settle(namespace, certificate_stays)
        look.soon(await self._secrets.settle(namespace, secret_stays, self._certificates.names_secret))
        hosts = {host for wish in wanted.wishes for host in wish.hosts} | self._certificates.hosts_by_hand(namespace)
        if await self._claims.settle(namespace, uid, hosts) is not None:
            look.soon(_KEPT_RECHECK)
