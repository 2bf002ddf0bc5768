"""Tells of objects that cannot be read: an Event on the object and a log line, once for each of its versions.

Tenants write such objects, so what one namespace can cause is bounded: ten a minute. Used on the loop only.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from signer.api.event import ObjectReference
from signer.api.issuer import IssuerRef
from signer.observe.events import EventRecorder
from signer.observe.notices import Notice, Notices
from signer.observe.write_errors import WriteErrors

log = logging.getLogger(__name__)

MALFORMED = "Malformed"
CROWDED = "TooManyProxyConfigs"
DEFAULT_CHANGED, NO_DEFAULT = "DefaultSignerChanged", "NotTheDefaultSigner"
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
        self._notices = Notices(recorder)
        self._of_default = Notices(recorder)
        self._of_crowds = Notices(recorder)
        self._crowded: dict[str, ObjectReference | None] = {}
        self._refused: frozenset[str] = frozenset()
        self.write_errors = WriteErrors(recorder)
        self._speaks = speaks
        self._clock = clock
        self._logged: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._minute: dict[str, int] = {}
        self._since = float("-inf")

    def problems(self, ref: ObjectReference, problems: Iterable[str]) -> None:
        """Take what is wrong with an object now; nothing: it is fine, or gone."""
        key = (ref.kind, ref.namespace, ref.name)
        message = "; ".join(problems)
        if not message:
            self._logged.pop(key, None)
            self._notices.forget(ref)
            return
        if self._logged.get(key) == message or not self._may(ref.namespace):
            return
        self._logged[key] = message
        self._logged.move_to_end(key)
        if len(self._logged) > _REMEMBERED:
            self._logged.popitem(last=False)
        log.warning("%s", message if message.startswith(f"{ref.kind} ") else f"{ref.kind} {ref.name}: {message}")
        if self._speaks():
            self._notices.say(ref, [Notice("Warning", MALFORMED, message)], share=ref.namespace or None)

    def crowded(self, now: Mapping[str, ObjectReference | None]) -> None:
        """Take which namespaces have more ProxyConfigs than are read of one, each with an object to tell it on, if one is known."""
        for namespace, about in now.items():
            message = (
                f"namespace {namespace} has more ProxyConfigs, or larger ones, than are read of one namespace before another "
                "becomes the owner of a signer: what it claims counts there as far as it was seen before; remove some"
            )
            if namespace not in self._crowded:
                log.warning("%s", message)
            if about is not None and self._speaks():
                self._of_crowds.say(about, [Notice("Warning", CROWDED, message)], share=namespace)
        for namespace, about in self._crowded.items():
            if about is not None and now.get(namespace) != about:
                self._of_crowds.forget(about)
        self._crowded = dict(now)

    def default(
        self,
        about: ObjectReference,
        now: Iterable[IssuerRef],
        before: Iterable[IssuerRef] | None,
        refused: Mapping[IssuerRef, str],
    ) -> None:
        """Take what the mesh default is now and was before (None: not known), and of whom it is not for everybody, and why."""
        now, changed = sorted(now), before is not None and set(before) != set(now)
        if changed:
            names = ", ".join(map(str, now)) or "nobody's signer"
            was = ", ".join(map(str, sorted(before or ()))) or "nobody's signer"
            message = f"the mesh default is {names} from now on, and was {was}: namespaces that claim none get it"
            log.warning("%s", message)
            if self._speaks():
                self._notices.happened(about, Notice("Warning", DEFAULT_CHANGED, message))
        for why in refused.values():
            if why not in self._refused:
                log.warning("%s", why)
        self._refused = frozenset(refused.values())
        if self._speaks():
            self._of_default.say(about, [Notice("Warning", NO_DEFAULT, why) for why in refused.values()])

    def _may(self, namespace: str) -> bool:
        now = self._clock()
        if now - self._since >= _A_MINUTE:
            self._since = now
            self._minute.clear()
        used = self._minute[namespace] = self._minute.get(namespace, 0) + 1
        return used <= _MOST
