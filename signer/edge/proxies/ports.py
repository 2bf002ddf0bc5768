"""Where the world's ports 80 and 443 lead on a gateway's Pods, and where its servers listen there. Pure.

A Gateway's server names a port of the Pods' Services, or the Pods' own. So neither 80 in a Gateway nor 8080 says what the
world sees: that say the Services in front, a Pod's host ports, and the Gateway's owner, for what is in front of these.
Source: Istio, pilot/pkg/model/gateway.go (resolvePorts).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signer.api.notes import text_note
from signer.edge.proxies.values import selects
from signer.tenancy.verdict import Reason

PUBLIC = (80, 443)
PUBLIC_PORTS = "mesh-signer.dev/public-ports"
"""Annotation on a Gateway: where a load balancer that no Service shows leads, as 80:8080,443:8443, in the Gateway's own numbers."""
_UNTRANSLATED = "experimental.istio.io/disable-gateway-port-translation"
_LONGEST = 64
Leads = Mapping[int, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Ports:
    """`services`: the Pods' ports by those of the Services that Istio reads; `public`: the same for the world's 80 and 443.

    Empty: nothing is known to be in front, so a server's own number is what the world sees.
    """

    services: Leads = field(default_factory=dict)
    public: Leads = field(default_factory=dict)

    def listens(self, number: int) -> frozenset[int]:
        """Where a Gateway's server of this number listens on the Pods."""
        return self.services.get(number) or frozenset({number})

    def seen_as(self, number: int) -> int:
        """Which of the world's ports leads to a Gateway's server of this number; 0 for none."""
        found = (public for public in PUBLIC if self._leads(public) & self.listens(number))
        return next(found, 0)

    def of(self, numbers: Iterable[int]) -> dict[int, int]:
        """The same for many."""
        return {number: self.seen_as(number) for number in numbers}

    def dialled(self) -> dict[int, int]:
        """Where a Pod is dialled for the world's ports."""
        return {public: min(leads) for public in PUBLIC if (leads := self.public.get(public))}

    def told(self, word: Mapping[int, int]) -> "Ports":
        """With what the Gateway's owner says of the world's ports, which counts most."""
        return Ports(self.services, {**self.public, **{public: self.listens(one) for public, one in word.items()}})

    def _leads(self, public: int) -> frozenset[int]:
        return self.public.get(public) or self.listens(public)


def joined(found: Iterable[Ports]) -> Ports:
    """What holds for several Pods together."""
    services: dict[int, frozenset[int]] = {}
    public: dict[int, frozenset[int]] = {}
    for one in found:
        for into, leads in ((services, one.services), (public, one.public)):
            for port, to in leads.items():
                into[port] = into.get(port, frozenset()) | to
    return Ports(services, public)


def ports_of(pod: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> Ports:
    """Read one Pod's, of the Services in its namespace.

    Of several that have a public port, those count that the world can reach by it: of type LoadBalancer, with external
    addresses, or a node's own port; others only where there is none of these, since something must lead to them.
    """
    named, open_on_node = _containers(pod)
    read: dict[int, set[int]] = {}
    outside: dict[int, set[int]] = {port: open_on_node.get(port, set()) for port in PUBLIC}
    inside: dict[int, set[int]] = {}
    labels = pod["metadata"].get("labels") or {}
    for service in services:
        spec = service.get("spec") or {}
        if not spec.get("selector") or not selects(spec["selector"], labels):
            continue
        translated = _UNTRANSLATED not in (service["metadata"].get("labels") or {})
        reached = spec.get("type") == "LoadBalancer" or bool(spec.get("externalIPs"))
        for one in spec.get("ports") or ():
            target = one.get("targetPort", one.get("port"))
            number = named.get(target) if isinstance(target, str) else target
            port = one.get("port")
            if not isinstance(number, int) or not isinstance(port, int):
                continue
            if translated:
                read.setdefault(port, set()).add(number)
            if port in PUBLIC:
                (outside if reached else inside).setdefault(port, set()).add(number)
            if (node_port := one.get("nodePort")) in PUBLIC:
                outside[node_port].add(number)
    public = {port: frozenset(outside[port] or inside.get(port, set())) for port in PUBLIC}
    return Ports({port: frozenset(found) for port, found in read.items()}, {p: n for p, n in public.items() if n})


def owners_word(annotations: Mapping[str, str]) -> dict[int, int] | Reason:
    """Read what a Gateway's owner says of the world's ports; {} where nothing is said."""
    text = text_note(annotations, PUBLIC_PORTS, _LONGEST)
    found: dict[int, int] = {}
    for one in text.split(",") if text.strip() else ():
        public, _, number = (part.strip() for part in one.partition(":"))
        right = public in map(str, PUBLIC) and number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536
        if not right or len(text) > _LONGEST:
            return Reason(
                "InvalidAnnotation", f"metadata.annotations.{PUBLIC_PORTS}: something like 80:8080,443:8443 is expected"
            )
        found[int(public)] = int(number)
    return found


def _containers(pod: Mapping[str, Any]) -> tuple[dict[str, int], dict[int, set[int]]]:
    """The ports of a Pod's containers by their names, and by the node's ports that lead to them."""
    named: dict[str, int] = {}
    open_on_node: dict[int, set[int]] = {}
    for container in pod.get("spec", {}).get("containers") or ():
        for one in container.get("ports") or ():
            number = one.get("containerPort")
            if isinstance(number, int):
                named.setdefault(str(one.get("name", "")), number)
                open_on_node.setdefault(one.get("hostPort") or 0, set()).add(number)
    return named, open_on_node
