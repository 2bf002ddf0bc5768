"""Tells of objects that cannot be read: an Event on the object and a log line, once for each of its versions.

Tenants write such objects, so what one namespace can cause is bounded: ten a minute. Used on the loop only.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from signer.api.event import ObjectReference
from signer.observe.events import EventRecorder
from signer.observe.write_errors import WriteErrors

log = logging.getLogger(__name__)

MALFORMED = "Malformed"
_REMEMBERED = 10_000
_A_MINUTE = 60.0
_MOST = 10


class Reports:
    """Remembers what was told. `speaks` tells whether this replica is the one that writes Events; all of them log.

    What the API server refuses (`write_errors`) each replica tells: each writes for itself, and may have rights of its own.
    """

    def __init__(
        self, recorder: EventRecorder, speaks: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recorder = recorder
        self.write_errors = WriteErrors(recorder)
        self._speaks = speaks
        self._clock = clock
        self._told: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._minute: dict[str, int] = {}
        self._since = float("-inf")

    def problems(self, ref: ObjectReference, problems: Iterable[str]) -> None:
        """Take what is wrong with an object now; nothing: it is fine, or gone."""
        key = (ref.kind, ref.namespace, ref.name)
        message = "; ".join(problems)
        if not message:
            self._told.pop(key, None)
            return
        if self._told.get(key) == message or not self._may(ref.namespace):
            return
        self._told[key] = message
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        log.warning("%s", message if message.startswith(f"{ref.kind} ") else f"{ref.kind} {ref.name}: {message}")
        if self._speaks():
            self._recorder.emit(ref, "Warning", MALFORMED, message, share=ref.namespace or None)

    def _may(self, namespace: str) -> bool:
        now = self._clock()
        if now - self._since >= _A_MINUTE:
            self._since = now
            self._minute.clear()
        used = self._minute[namespace] = self._minute.get(namespace, 0) + 1
        return used <= _MOST
