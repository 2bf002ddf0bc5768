"""Fair turns: what is ready waits in one queue for each flow, and the flows are served one after the other.

So a tenant whose thousand workloads restart at once delays another tenant's one request by one turn, not by a thousand,
and one whose objects are all broken delays another's by one of them.
All flows weigh the same. Whoever adds must see to it that there are not too many flows; one without anything ready
takes no room. Pure but for its own queues; used on the loop only. Every method takes constant time.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items by (flow, key); a key is in one flow at most. A flow that is held has no turns, and loses nothing."""

    def __init__(self) -> None:
        # The first flow is the one whose turn it is; the first item of a flow is its oldest.
        self._flows: OrderedDict[Hashable, OrderedDict[Hashable, T]] = OrderedDict()
        self._held: dict[Hashable, OrderedDict[Hashable, T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, flow: Hashable, key: Hashable, item: T) -> None:
        """Put an item at the end of its flow; a flow that had none comes after all others."""
        queue = self._queue(flow)
        if queue is None:
            queue = self._flows[flow] = OrderedDict()
        if key not in queue:
            self._count += 1
        queue[key] = item

    def waiting(self, flow: Hashable) -> int:
        """Return how many items a flow has."""
        return len(self._queue(flow) or ())

    def discard(self, flow: Hashable, key: Hashable) -> None:
        """Take an item out, if it is there."""
        queue = self._queue(flow)
        if queue is not None and queue.pop(key, None) is not None:
            self._count -= 1
            if not queue:
                self._flows.pop(flow, None)

    def hold(self, flow: Hashable) -> None:
        """Give a flow no turns until it is let go."""
        if flow not in self._held:
            self._held[flow] = self._flows.pop(flow, OrderedDict())

    def let_go(self, flow: Hashable) -> None:
        """Give a flow turns again: it comes after all others."""
        if queue := self._held.pop(flow, None):
            self._flows[flow] = queue

    def take(self) -> T | None:
        """Take the oldest item of the flow whose turn it is; None when there is nothing but of flows that are held."""
        for flow, queue in self._flows.items():
            _, item = queue.popitem(last=False)
            self._count -= 1
            if queue:
                self._flows.move_to_end(flow)
            else:
                del self._flows[flow]
            return item
        return None

    def _queue(self, flow: Hashable) -> OrderedDict[Hashable, T] | None:
        held = self._held.get(flow)
        return self._flows.get(flow) if held is None else held
