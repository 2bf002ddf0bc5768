"""Keeps a certificate for each Secret that Gateways and Ingresses name: the controller `gateways`.

Runs on the loop of the leader; a key is a namespace that has such objects, and one worker at a time looks at all of
them. Every step can be repeated, and what it makes has a name that follows from the wish; so a process that is killed
anywhere is followed by one that goes on. All decisions are pure functions in the other files.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from signer.api.certificate import Certificate, IssuerReference
from signer.api.event import ObjectReference, reference_to
from signer.api.labels import SOURCE_NAMESPACE_UID
from signer.api.meta import Condition
from signer.edge.gateways.by_hand import ByHand
from signer.edge.gateways.gather import Wanted, gather
from signer.edge.gateways.look import Known, Look, Telling, resource_of
from signer.edge.gateways.placement import LONGEST_RECHECK, NO_POD_RECHECK, NoGateway, Placement, only_in, place
from signer.edge.gateways.routed import NOTHING, routed
from signer.edge.gateways.served.step import Expected
from signer.edge.gateways.wish import Wish
from signer.edge.host import Host
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.decide import Asker, decide, granted_by_policy
from signer.edge.hosts.proven import NOT_PROVEN, unproven, without
from signer.edge.proxies.find import Proxies
from signer.edge.proxies.values import GatewayPod
from signer.kube.errors import ApiError, Conflict, Forbidden, NotFound
from signer.kube.queue import WorkQueue
from signer.observe.write_errors import words
from signer.tenancy.verdict import Reason, Refuse, Unready

logger = logging.getLogger(__name__)

_UNREADY_RECHECK = 1.0
_BLOCKED_RECHECK = 30.0
_KEPT_RECHECK = 3600.0
# What stops a whole namespace is told on so many of its objects.
_MOST_TOLD = 20


MOST_SELECTORS = 32
"""Of one namespace: for each of them the API server is asked for Pods, at each look."""
_TOO_MANY_SELECTORS = Reason(
    "TooManySelectors",
    f"spec.selector: the Gateways of this namespace have more than {MOST_SELECTORS} different selectors; no more are looked"
    " for: use fewer, or another namespace",
)


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """`default` is the issuer of objects that name none; `gateway_namespaces` are where proxies of others may run.

    `work`: without it HostClaims are kept only, for whoever else takes hosts in this process.
    """

    gateway_namespaces: frozenset[str] = frozenset({"istio-system"})
    default: IssuerReference | None = None
    work: bool = True


class Targets:
    """Finds the namespaces where a Secret is wanted: asks for the Pods that serve a wish's objects.

    `gateway_namespaces` are where administrators let proxies of others run.
    """

    def __init__(self, claims: Claims, proxies: Proxies, gateway_namespaces: frozenset[str]) -> None:
        self._claims = claims
        self._proxies = proxies
        self._gateway_namespaces = gateway_namespaces
        self._waits_since: dict[str, float] = {}

    async def of(self, look: Look, wanted: Wanted, wish: Wish) -> set[str]:
        """The namespaces; none when there is no proxy yet, or none where it may go, which is told.

        Raises ApiError, Unreachable.
        """
        namespace = look.asker.namespace
        granted = all(granted_by_policy(host, look.asker, self._claims.world.policies) for host in wish.hosts)
        found: set[str] = set()
        waits = False
        for selector in wanted.selectors_of(wish):
            if selector is None:
                found.add(namespace)
                continue
            pods = await self._pods(look, selector)
            if pods is None:
                look.tell(wish.sources, _TOO_MANY_SELECTORS)
                waits = True
                continue
            reading = only_in(wish.secret_namespace, selector, pods, (namespace, *self._gateway_namespaces))
            placed = (
                reading
                if isinstance(reading, Refuse)
                else place(
                    namespace,
                    selector,
                    reading,
                    gateway_namespaces=self._gateway_namespaces,
                    granted=granted,
                    namespaced_issuer=wish.issuer.normal()[1] == "Issuer",
                )
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
            look.soon(self._pause(namespace))
        elif not found:
            look.soon(_BLOCKED_RECHECK)
        if not found:
            look.states["waiting" if waits else "refused"] += 1
        return found

    def looked(self, look: Look) -> None:
        """A look has ended: remember since when a namespace waits, as who waits long is looked at more seldom."""
        if look.undecided:
            self._waits_since.setdefault(look.asker.namespace, time.monotonic())
        else:
            self._waits_since.pop(look.asker.namespace, None)

    def _pause(self, namespace: str) -> float:
        now = time.monotonic()
        return min(max((now - self._waits_since.get(namespace, now)) / 2, NO_POD_RECHECK), LONGEST_RECHECK)

    async def _pods(self, look: Look, selector: Mapping[str, str]) -> list[GatewayPod] | None:
        """The Pods of a selector, asked for once in a look; None where the look has asked for as many as it may."""
        key = tuple(sorted(selector.items()))
        if key not in look.asked:
            if len(look.asked) >= MOST_SELECTORS:
                return None
            where = (look.asker.namespace, *sorted(self._gateway_namespaces))
            look.asked[key] = await self._proxies.find(selector, where)
        return look.asked[key]


class GatewayController:
    """Works namespaces off. `queue` holds their names; `on_kept` is given what a namespace's gateways should serve now."""

    def __init__(
        self,
        known: Known,
        by_hand: ByHand,
        telling: Telling,
        queue: WorkQueue[str],
        options: EdgeOptions,
        *,
        on_kept: Callable[[str, list[Expected]], None] = lambda _namespace, _expected: None,
    ) -> None:
        self._sources = known.sources
        self._claims = known.claims
        self._certificates = known.certificates
        self._secrets = known.secrets
        self._by_hand = by_hand
        self._options = options
        self._targets = Targets(known.claims, known.proxies, options.gateway_namespaces)
        self._telling = telling
        self._on_kept = on_kept
        self.queue = queue

    @property
    def unsatisfied(self) -> set[str]:
        """Namespaces of which something was refused, or waits: a claim or a policy that changes may help them."""
        return self._telling.unsatisfied

    def namespaces(self) -> set[str]:
        """Namespaces that want something, or for which something was made."""
        return {
            *self._sources.namespaces,
            *self._claims.of_namespace,
            *self._certificates.of_source,
            *self._certificates.by_hand,
        }

    async def reconcile(self, namespace: str) -> None:
        """Take one namespace as far as it can go now."""
        try:
            await self._work(namespace)
        except (Conflict, NotFound) as error:
            logger.debug("namespace %s: another writer was faster: %s", namespace, error)
            self.queue.add_backoff(namespace, why=error)
        except Forbidden as error:
            if not error.terminating:
                raise
            self.queue.add_backoff(namespace)

    async def _work(self, namespace: str) -> None:
        asker = self._claims.asker(namespace)
        wanted = self._gather(asker) if asker is not None else Wanted()
        look = Look(asker or Asker(namespace, "", {}))
        for source, passed in wanted.passed:
            if passed.beside:
                look.tell((source,), Reason(passed.reason.code, f"{passed.field}: {passed.reason.message}"))
            elif not passed.harmless:
                look.refuse(source, passed)
        for wish in wanted.wishes:
            try:
                await self._serve(look, wanted, wish)
            except ApiError as error:
                if not error.lasting:
                    raise
                self._stopped(look, wish, error)
        self._tell_of_rivals(look, wanted)
        self._telling.take(namespace, look)
        self._on_kept(namespace, look.expected)
        look.soon(await self._by_hand.serve(namespace))
        await self._claims.say_stopped(namespace, look.stopped)
        await self._claims.contend(namespace, look.contended)
        if not wanted.unsure:
            await self._settle(look, wanted)
        else:
            look.soon(_BLOCKED_RECHECK)
        self._targets.looked(look)
        if look.again is not None:
            self.queue.add_after(namespace, look.again)

    def _stopped(self, look: Look, wish: Wish, error: ApiError) -> None:
        """The API server refuses what one certificate needs: the others go on, and what was made for it stays."""
        said = words(error)
        look.tell(wish.sources, Reason(said.reason, said.message))
        look.stopped.update((host.claim_name, said.message) for host in wish.hosts)
        look.undecided.add(wish.secret_name)
        look.states["refused"] += 1
        look.soon(_BLOCKED_RECHECK)

    def about(self, namespace: str) -> list[ObjectReference]:
        """Refer to the objects of a namespace that want certificates."""
        listed = islice(self._sources.objects(namespace), _MOST_TOLD)
        return [reference_to(resource_of(one), one.metadata) for one in listed]

    def _gather(self, asker: Asker) -> Wanted:
        namespace = asker.namespace
        found = self._claims.namespaces.store.get(("", namespace))
        annotations = found.metadata.annotations if found is not None else {}
        others = tuple(self._sources.routes_on(namespace))
        return gather(
            self._sources.objects(namespace),
            self._sources.routes(namespace),
            annotations,
            self._options.default,
            others=routed(others, asker, self._claims.asker, self._claims.world) if others else NOTHING,
        )

    async def _serve(self, look: Look, wanted: Wanted, wish: Wish) -> None:
        """Have one certificate made and kept, for those of its hosts that may be had."""
        hosts = await self._permitted(look, wish)
        if hosts is None:
            look.undecided.add(wish.secret_name)
            look.states["waiting"] += 1
            look.soon(_UNREADY_RECHECK)
            return
        if not hosts:
            look.states["refused"] += 1
            return
        targets = await self._targets.of(look, wanted, replace(wish, hosts=hosts))
        if not targets:
            return
        taken = await self._take(look, wish, hosts)
        if not taken:
            look.states["refused"] += 1
            return
        wish = await self._provable(look, replace(wish, hosts=tuple(taken)), targets)
        put = {target for target in sorted(targets) if await self._put(look, wish, target)}
        if put:
            look.expected.append(Expected(wish, frozenset(put)))
        fine = put == targets
        look.states["kept" if fine else "refused"] += 1

    async def _provable(self, look: Look, wish: Wish, targets: Collection[str]) -> Wish:
        """Tell of hosts that cannot be proven; near the end of what is served the wish goes without them."""
        failing: dict[Host, Condition] = {}
        for host in wish.hosts:
            claim = self._claims.hosts.store.get(("", host.claim_name))
            if claim is not None and (said := unproven(claim.status.conditions)) is not None:
                failing[host] = said
        if not failing:
            return wish
        now = self._claims.now()
        in_use = await self._secrets.in_use([(target, wish.secret_name) for target in sorted(targets)], now)
        found = without(wish.hosts, failing, in_use, now)
        if found.again is not None:
            look.soon(min(max((found.again - now).total_seconds(), 1.0), _KEPT_RECHECK))
        what = (
            f"the certificate in Secret {wish.secret_name} is made without it, so that the others have one"
            if found.left_out
            else f"no new certificate for Secret {wish.secret_name} comes before that is mended"
        )
        for host in found.dead:
            look.tell(wish.sources, Reason(NOT_PROVEN, f"{host} cannot be proven: {failing[host].message}; {what}"))
        left = tuple(host for host in wish.hosts if not found.left_out or host not in found.dead)
        return replace(wish, hosts=left)

    async def _permitted(self, look: Look, wish: Wish) -> tuple[Host, ...] | None:
        """The hosts that the namespace has or may take; the others are told of. None when it cannot be said yet."""
        # Where all are refused nothing else is waited for: others have their turn after each certificate.
        await asyncio.sleep(0)
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

    def _refused(self, look: Look, wish: Wish, host: Host, verdict: Refuse) -> None:
        claim = self._claims.claims.get(host.claim_name)
        if claim is not None and claim.namespace not in ("", look.asker.namespace):
            look.contended.add(host.claim_name)
        for reason in verdict.reasons:
            look.tell(wish.sources, reason)

    async def _take(self, look: Look, wish: Wish, hosts: Sequence[Host]) -> list[Host]:
        """Have the namespace take these hosts; those that it has now. The others are told of."""
        taken = []
        for host, verdict in (await self._claims.acquire(hosts, look.asker, wish.issuer)).items():
            if isinstance(verdict, Unready):
                raise Conflict(409, "Conflict", verdict.reason.message)
            if isinstance(verdict, Refuse):
                self._refused(look, wish, host, verdict)
            else:
                taken.append(host)
        return taken

    async def _put(self, look: Look, wish: Wish, target: str) -> bool:
        """Have Secret and Certificate in one namespace; whether nothing is in the way."""
        uid = look.asker.uid
        why = self._certificates.in_the_way(wish, target, uid)
        if why is None:
            issuing = self._certificates.issuing((target, wish.secret_name))
            prepared = await self._secrets.prepare(wish, target, look.asker, issuing=issuing)
            if isinstance(prepared, Reason):
                why = prepared
            else:
                look.soon(prepared)
        if why is None:
            secret_uid = self._claims.secrets.uid((target, wish.secret_name), look.asker)
            made = await self._certificates.prepare(wish, target, uid, secret_uid)
            if isinstance(made, bool):
                look.kept.add((target, wish.secret_name))
                if made:
                    names = ", ".join(str(host) for host in wish.hosts[:3]) + (" ..." if len(wish.hosts) > 3 else "")
                    message = f"Created Certificate {target}/{wish.secret_name} for {names}"
                    self._telling.event(wish.sources, "Normal", Reason("CreateCertificate", message))
                if (trouble := self._certificates.trouble((target, wish.secret_name))) is not None:
                    look.tell(wish.sources, trouble)
                return True
            why = made
        look.tell(wish.sources, why)
        look.soon(_BLOCKED_RECHECK)
        return False

    def _tell_of_rivals(self, look: Look, wanted: Wanted) -> None:
        """Tell the owner of a host that others want it too: such a conflict is never between two who cannot see it."""
        for wish in wanted.wishes:
            for host in wish.hosts:
                obj = self._claims.hosts.store.get(("", host.claim_name))
                claim = self._claims.claims.get(host.claim_name)
                if obj is None or claim is None or claim.namespace != look.asker.namespace:
                    continue
                if obj.status.contenders:
                    # Who it is stays untold: that is for an administrator, who reads HostClaims.
                    message = (
                        f"{host} is this namespace's; another namespace wants it too, see HostClaim {host.claim_name}"
                    )
                    look.tell(wish.sources, Reason("HostContended", message))

    async def _settle(self, look: Look, wanted: Wanted) -> None:
        """Take away, or note as unused, what was made for wishes that are gone."""
        namespace, uid = look.asker.namespace, look.asker.uid

        def certificate_stays(certificate: Certificate) -> bool:
            meta = certificate.metadata
            return meta.annotations.get(SOURCE_NAMESPACE_UID) == uid and look.stays((meta.namespace, meta.name))

        await self._certificates.settle(namespace, certificate_stays)
        look.soon(await self._secrets.settle(look.asker, look.stays, self._certificates.names_secret))
        hosts = {host for wish in wanted.wishes for host in wish.hosts} | self._certificates.hosts_by_hand(namespace)
        if await self._claims.settle(namespace, uid, hosts) is not None:
            look.soon(_KEPT_RECHECK)
