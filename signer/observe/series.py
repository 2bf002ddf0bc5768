"""Counters by signer and namespace, with as many series as are of use and no more.

A namespace has a label of its own only while it exists and is one of the 200 that were busiest of late; a series ends
ten minutes after the issuer or the namespace that it is named after. So nobody makes series by asking. Used on the loop only.
"""

import contextlib
from collections.abc import Callable

from prometheus_client import Counter, Histogram

from signer.observe.metrics import OTHER

# Namespaces with labels of their own.
BUSIEST = 200
# Series of one counter for one namespace: each signer that it ever asked for, with each reason, would be too many.
_PER_NAMESPACE = 24
# Seconds that a series outlives what it is named after: long enough for the last scrapes, and for a mistake to be mended.
KEPT = 600.0
# Half of what is known of a namespace's past is forgotten in each sweep (about a minute): "of late" is a few minutes.
_DECAY = 0.5
_CANDIDATES = 4096


class Series:
    """Labels of counters. `signer_exists` and `namespace_exists` tell what is there now; `clock` is in seconds.

    `sweep` is to be called once a minute or so.
    """

    def __init__(
        self,
        *,
        signer_exists: Callable[[str], bool],
        namespace_exists: Callable[[str], bool],
        clock: Callable[[], float],
        busiest: int = BUSIEST,
    ) -> None:
        self._signer_exists = signer_exists
        self._namespace_exists = namespace_exists
        self._clock = clock
        self._busiest = busiest
        self._busy: dict[str, float] = {}
        self._named: set[str] = set()
        # What each series is named after, and since when that is missing.
        self._series: dict[tuple[Counter | Histogram, tuple[str, ...]], tuple[str, str]] = {}
        self._per_namespace: dict[tuple[Counter | Histogram, str], int] = {}
        self._missing: dict[tuple[str, str], float] = {}

    def count(self, counter: Counter, signer: str, namespace: str, *more: str) -> None:
        """Add one to a counter whose labels are signer, namespace and `more`; bounded as said above."""
        signer = signer if self._signer_exists(signer) else OTHER
        namespace = self._label(namespace)
        labels = (signer, namespace, *more)
        if (counter, labels) not in self._series:
            if namespace not in {"", OTHER}:
                if self._per_namespace.get((counter, namespace), 0) >= _PER_NAMESPACE:
                    namespace, labels = OTHER, (signer, OTHER, *more)
                else:
                    self._per_namespace[counter, namespace] = self._per_namespace.get((counter, namespace), 0) + 1
            self._series[counter, labels] = (signer, namespace)
        counter.labels(*labels).inc()

    def follow(self, metric: Counter | Histogram, signer: str, *more: str) -> str:
        """Return the label for a signer in a metric without namespaces (labels: signer and `more`)."""
        signer = signer if self._signer_exists(signer) else OTHER
        self._series.setdefault((metric, (signer, *more)), (signer, ""))
        return signer

    def sweep(self) -> None:
        """Let go what is named after nothing that is there, and of namespaces those that were not busy of late."""
        now = self._clock()
        self._choose()
        missing = {
            named: self._missing.get(named, now) for named in set(self._series.values()) if not self._lasts(*named)
        }
        self._missing = missing
        for (metric, labels), named in tuple(self._series.items()):
            namespace = named[1]
            dethroned = namespace not in {"", OTHER} and namespace not in self._named
            if dethroned or missing.get(named, now) + KEPT <= now:
                self._remove(metric, labels, namespace)

    def _label(self, namespace: str) -> str:
        if not namespace:
            return ""
        if not self._namespace_exists(namespace):
            return OTHER
        if namespace in self._busy or len(self._busy) < _CANDIDATES:
            self._busy[namespace] = self._busy.get(namespace, 0.0) + 1
        if namespace in self._named:
            return namespace
        if len(self._named) < self._busiest:
            self._named.add(namespace)
            return namespace
        return OTHER

    def _choose(self) -> None:
        """Give the labels to the busiest; one that has a label keeps it against one that is just as busy."""
        ranked = sorted(self._busy, key=lambda name: (-self._busy[name], name not in self._named, name))
        self._named = set(ranked[: self._busiest])
        self._busy = {
            name: left for name in ranked if (left := self._busy[name] * _DECAY) > 0.01 or name in self._named
        }

    def _lasts(self, signer: str, namespace: str) -> bool:
        return (signer == OTHER or self._signer_exists(signer)) and (
            namespace in {"", OTHER} or self._namespace_exists(namespace)
        )

    def _remove(self, metric: Counter | Histogram, labels: tuple[str, ...], namespace: str) -> None:
        del self._series[metric, labels]
        with contextlib.suppress(KeyError):
            metric.remove(*labels)
        left = self._per_namespace.get((metric, namespace), 0) - 1
        if left > 0:
            self._per_namespace[metric, namespace] = left
        else:
            self._per_namespace.pop((metric, namespace), None)
            if not self._namespace_exists(namespace):
                self._named.discard(namespace)
                self._busy.pop(namespace, None)
