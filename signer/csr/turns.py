"""Fair turns: what is ready waits in one queue for each flow, and the flows are served one after the other.

So a tenant whose thousand workloads restart at once delays another tenant's one request by one turn, not by a thousand.
All flows weigh the same. Whoever adds must see to it that there are not too many flows; one without anything ready
takes no room. Pure but for its own queues; used on the loop only. Every method takes constant time.
"""

from collections import OrderedDict
from collections.abc import Container, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items by (flow, key); a key is in one flow at most."""

    def __init__(self) -> None:
        # The first flow is the one whose turn it is; the first item of a flow is its oldest.
        self._flows: OrderedDict[Hashable, OrderedDict[str, T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def flows(self) -> int:
        """How many flows have something ready."""
        return len(self._flows)

    def add(self, flow: Hashable, key: str, item: T) -> None:
        """Put an item at the end of its flow; a flow that had none comes after all others."""
        queue = self._flows.get(flow)
        if queue is None:
            queue = self._flows[flow] = OrderedDict()
        if key not in queue:
            self._count += 1
        queue[key] = item

    def discard(self, flow: Hashable, key: str) -> None:
        """Take an item out, if it is there."""
        queue = self._flows.get(flow)
        if queue is not None and queue.pop(key, None) is not None:
            self._count -= 1
            if not queue:
                del self._flows[flow]

    def take(self, held: Container[Hashable] = ()) -> T | None:
        """Take the oldest item of the flow whose turn it is; None when there is nothing.

        The flows in `held`, of which there must be few, keep their place and are passed over.
        """
        for flow, queue in self._flows.items():
            if flow in held:
                continue
            _, item = queue.popitem(last=False)
            self._count -= 1
            if queue:
                self._flows.move_to_end(flow)
            else:
                del self._flows[flow]
            return item
        return None
