"""What one look at a namespace may cost: each host that is read, or put into a certificate, is a step.

A tenant chooses how many servers, routes and hosts there are, and what one names stands for what others name: two counts
multiply. So the whole namespace has one number of steps. What is over it is not read; what was made for it stays as it is.
Pure; a budget is used by one look and thrown away, on the loop.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from signer.api.labels import PART_OF
from signer.api.meta import ObjectMeta
from signer.api.virtualservice import VirtualService
from signer.edge.host import MAX_NAMES, Host, read_host

STEPS = 10_000
"""A namespace keeps 6 MiB of objects, in which there is room for a few times as many hosts."""
_WRONG_KEPT = 16


@dataclass(slots=True)
class Budget:
    """The steps that are left."""

    steps: int = STEPS
    spent: bool = False

    def take(self, steps: int = 1) -> bool:
        """Take so many steps; whether there were as many."""
        if self.steps < steps:
            self.spent = True
            return False
        self.steps -= steps
        return True


@dataclass(frozen=True, slots=True)
class Named:
    """Hosts, each once, of which one certificate can have all or is refused; and why others are none.

    `whole`: all of them were read, or more than a certificate can have.
    """

    hosts: tuple[Host, ...] = ()
    wrong: tuple[str, ...] = ()
    whole: bool = True


def read_hosts(texts: Iterable[str], budget: Budget, most: int = MAX_NAMES) -> Named:
    """Read hosts until there is one too many for a certificate, or the budget is spent. "*" is none, and passed over."""
    found: dict[Host, None] = {}
    wrong: dict[str, None] = {}
    for text in texts:
        if text == "*":
            continue
        if len(found) > most:
            break
        if not budget.take():
            return Named(tuple(found), tuple(wrong), whole=False)
        host = read_host(text)
        if isinstance(host, Host):
            found[host] = None
        elif len(wrong) < _WRONG_KEPT:
            wrong[host] = None
    return Named(tuple(found), tuple(wrong))


@dataclass(slots=True)
class Routes:
    """The VirtualServices of one namespace by the Gateways that they name, each read once however many name it.

    Those of challenges do not count: they follow what was wanted.
    """

    budget: Budget
    _on: dict[tuple[str, str], list[VirtualService]] = field(default_factory=dict)
    _read: dict[str, Named] = field(default_factory=dict)

    def add(self, route: VirtualService) -> None:
        """Know this one too."""
        if not PART_OF.items() <= route.metadata.labels.items():
            for name in route.attached_to:
                self._on.setdefault(name, []).append(route)

    def attached(self, gateway: ObjectMeta) -> Named:
        """The hosts of the routes on this Gateway of their namespace."""
        found: dict[Host, None] = {}
        wrong: dict[str, None] = {}
        for route in self._on.get((gateway.namespace, gateway.name), ()):
            if len(found) > MAX_NAMES:
                break
            one = self._hosts(route) if not self.budget.spent else Named(whole=False)
            if not one.whole or not self.budget.take(1 + len(one.hosts) + len(one.wrong)):
                return Named(tuple(found), tuple(wrong), whole=False)
            found.update(dict.fromkeys(one.hosts))
            if len(wrong) < _WRONG_KEPT:
                wrong.update(dict.fromkeys(one.wrong))
        return Named(tuple(found), tuple(wrong))

    def _hosts(self, route: VirtualService) -> Named:
        name = route.metadata.name
        if name not in self._read:
            self._read[name] = read_hosts(route.spec.hosts, self.budget)
        return self._read[name]
