"""One look at a namespace's Gateways, and what the people there are told of it. Used on the loop.

A reason is written as an Event when it comes, not at each look; one that goes and comes back is told again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from signer.api.event import ObjectReference, named
from signer.api.gateway import API_GATEWAYS, GATEWAYS, APIGateway, Gateway
from signer.api.ingress import INGRESSES, Ingress
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.gateways.certificates import EdgeCertificates, Key
from signer.edge.gateways.secrets import GatewaySecrets
from signer.edge.gateways.served.step import Expected
from signer.edge.gateways.sources import GatewaySources
from signer.edge.gateways.wish import Passed, Source
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.decide import Asker
from signer.edge.proxies.find import Proxies
from signer.edge.proxies.values import GatewayPod
from signer.kube.resource import Resource
from signer.observe.events import EventRecorder, EventType
from signer.observe.notices import Notice, Notices
from signer.tenancy.verdict import Reason

_MOST_TOLD = 20
STATES = ("kept", "waiting", "refused")
_RESOURCES = {"Gateway": GATEWAYS, "APIGateway": API_GATEWAYS, "Ingress": INGRESSES, "VirtualService": VIRTUAL_SERVICES}
Told = tuple[Source, EventType, str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """What looks rest on while this process leads: who wants something, who has which host, what was made, where proxies run."""

    sources: GatewaySources
    claims: Claims
    certificates: EdgeCertificates
    secrets: GatewaySecrets
    proxies: Proxies


@dataclass(slots=True)
class Look:
    """What stays wanted, what is to be told, and when to look again.

    `stopped` says of hosts, by the names of their claims, what the API server refuses.
    """

    asker: Asker
    kept: set[Key] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)
    contended: set[str] = field(default_factory=set)
    stopped: dict[str, str] = field(default_factory=dict)
    told: set[Told] = field(default_factory=set)
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    expected: list[Expected] = field(default_factory=list)
    again: float | None = None
    asked: dict[tuple[tuple[str, str], ...], list[GatewayPod]] = field(default_factory=dict)

    def soon(self, seconds: float | None) -> None:
        """Look again after so many seconds, or earlier."""
        if seconds is not None:
            self.again = seconds if self.again is None else min(self.again, seconds)

    def tell(self, sources: tuple[Source, ...], reason: Reason, type_: EventType = "Warning") -> None:
        """Have these objects' people told."""
        # Thousands of objects may want one certificate, and each of its hosts may have a reason.
        self.told.update((source, type_, reason.code, reason.message) for source in sources[:_MOST_TOLD])

    def refuse(self, source: Source, passed: Passed) -> None:
        """Have told what of an object cannot be had."""
        text = f"{passed.field}: {passed.reason.message}" if passed.field else passed.reason.message
        self.tell((source,), Reason(passed.reason.code, text))
        self.states["refused"] += 1

    def stays(self, key: Key) -> bool:
        """Whether what is under this name is still wanted, or may be."""
        return key in self.kept or key[1] in self.undecided


def resource_of(obj: Gateway | APIGateway | Ingress) -> Resource:
    """Of which resource an object that wants something is."""
    return GATEWAYS if isinstance(obj, Gateway) else INGRESSES if isinstance(obj, Ingress) else API_GATEWAYS


class Telling:
    """Remembers what each namespace was told. `on_states` is given how many certificates are in which state."""

    def __init__(self, recorder: EventRecorder, on_states: Callable[[Mapping[str, int]], None]) -> None:
        self._notices = Notices(recorder)
        self._on_states = on_states
        self._told: dict[str, set[Told]] = {}
        self._states: dict[str, dict[str, int]] = {}

    @property
    def unsatisfied(self) -> set[str]:
        """Namespaces of which something was refused, or waits: a claim or a policy that changes may help them."""
        # One host may be refused while the others of its certificate are served: what was told counts, not the states alone.
        return {*self._told, *(name for name, states in self._states.items() if states["refused"] or states["waiting"])}

    def take(self, namespace: str, look: Look) -> None:
        """Tell what was not told before, and count."""
        notices: dict[Source, list[Notice]] = {source: [] for source, *_ in self._told.get(namespace, ())}
        for source, type_, code, message in sorted(look.told):
            notices.setdefault(source, []).append(Notice(type_, code, message))
        for source, said in notices.items():
            self._notices.say(_reference(source), said, share=namespace)
        if look.told:
            self._told[namespace] = look.told
        else:
            self._told.pop(namespace, None)
        if any(look.states.values()):
            self._states[namespace] = look.states
        else:
            self._states.pop(namespace, None)
        self._on_states({state: sum(one[state] for one in self._states.values()) for state in STATES})

    def event(self, sources: tuple[Source, ...], type_: EventType, reason: Reason) -> None:
        """Tell each of these objects' people what was done; what it warns of is in the log too."""
        for source in sources:
            notice = Notice(type_, reason.code, reason.message)
            self._notices.logged(_reference(source), notice, share=source.namespace)


def _reference(source: Source) -> ObjectReference:
    return named(_RESOURCES[source.kind], source.namespace, source.name, source.uid)
