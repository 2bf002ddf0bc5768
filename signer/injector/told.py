"""What people hear of objects that ask for a CA: an Event and a log line when something is new, and a metric.

Used on the loop by one controller.
"""

import logging

from signer.api.event import named, reference_to
from signer.api.meta import ObjectMeta
from signer.injector.asked import Defect
from signer.injector.watched import Key
from signer.kube.resource import Resource
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from signer.observe.notices import Notice, Notices

log = logging.getLogger(__name__)

INJECTED = "Injected"


class Told:
    """The state of each object as it was told last."""

    def __init__(self, recorder: EventRecorder, metrics: Metrics) -> None:
        self._recorder = recorder
        self._notices = Notices(recorder)
        self._metrics = metrics
        self._states: dict[Key, Defect | None] = {}
        self._resources: dict[Key, Resource] = {}

    def defect(self, key: Key, resource: Resource, metadata: ObjectMeta, defect: Defect) -> None:
        """Nothing is injected, and why; told once, until it is another reason."""
        if self._states.get(key) == defect:
            return
        self._state(key, resource, defect)
        log.warning("%s %s: %s: %s", resource.kind, metadata.name, defect.reason, defect.message)
        self._notices.say(reference_to(resource, metadata), [Notice("Warning", defect.reason, defect.message)])

    def injected(self, key: Key, resource: Resource, metadata: ObjectMeta, origin: str, *, written: bool) -> None:
        """Every field has the bundle; `written`: it was put there just now. `origin` says where it is from."""
        self._state(key, resource, None)
        if written:
            self._metrics.ca_injections.labels(resource.kind).inc()
            log.info("%s %s: the CA was injected, %s", resource.kind, metadata.name, origin)
            message = f"The CA was written into caBundle, {origin}"
            self._recorder.emit(reference_to(resource, metadata), "Normal", INJECTED, message, courtesy=True)

    def forget(self, key: Key) -> None:
        """The object is gone, or asks no more."""
        if key in self._states:
            resource = self._resources.pop(key)
            self._count(resource.kind, self._states.pop(key), -1)
            self._notices.forget(named(resource, "", key[1]))

    def clear(self) -> None:
        """This process no longer works: its numbers go."""
        for key in tuple(self._states):
            self.forget(key)

    def _state(self, key: Key, resource: Resource, state: Defect | None) -> None:
        self.forget(key)
        self._states[key], self._resources[key] = state, resource
        self._count(resource.kind, state, 1)

    def _count(self, kind: str, state: Defect | None, by: int) -> None:
        self._metrics.ca_injectables.labels(kind, state.reason if state is not None else INJECTED).inc(by)
