"""The ProxyConfigs of each namespace as the watch and live reads tell of them, and which namespaces are to be read anew.

No network, no clock of its own, one owner at a time, like the Index that it is a part of.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

import msgspec

from signer.api.proxyconfig import ProxyConfig

# A namespace with more ProxyConfigs than this is read anew once in a while only: it costs time for each, and its
# tenant may change one all the time.
_MANY = 200
_MANY_LIVE = 2000
_PAUSE_FOR_EACH = timedelta(milliseconds=5)


class ProxyConfigs:
    """Objects in; `due` tells whose claims have to be read anew."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, ProxyConfig]] = defaultdict(dict)
        self._read_live: dict[str, bool] = {}  # whether the watch told of a change since the read began
        self._dirty: set[str] = set()
        self._not_before: dict[str, datetime] = {}

    def put(self, obj: ProxyConfig) -> bool:
        """Take a ProxyConfig, new or changed; False when it is but another version of what says the same."""
        objects = self._objects[obj.metadata.namespace]
        old = objects.get(obj.metadata.name)
        objects[obj.metadata.name] = obj
        if old is not None and old != obj and _says(old, obj):
            return False
        self._moved(obj.metadata.namespace)
        return True

    def remove(self, namespace: str, name: str, uid: str) -> None:
        """Forget a ProxyConfig, unless another of its name is known by now."""
        found = self._objects.get(namespace, {}).get(name)
        if found is not None and found.metadata.uid == uid:
            del self._objects[namespace][name]
        self._moved(namespace)

    def begin_read(self, namespace: str) -> None:
        """A live read of a namespace's ProxyConfigs begins, which `put_all` ends."""
        self._read_live[namespace] = False

    def put_all(self, namespace: str, objects: Iterable[ProxyConfig]) -> bool:
        """Take a namespace's ProxyConfigs as a live read found them all.

        False when the watch told of a change meanwhile, and nothing was taken: what was read may be older than that,
        and the watch does not tell it again.
        """
        if self._read_live.pop(namespace, False):
            return False
        found = {obj.metadata.name: obj for obj in objects}
        before = self._objects.get(namespace, {})
        if before != found:
            self._objects[namespace] = found
            if before.keys() == found.keys() and all(_says(before[name], found[name]) for name in found):
                return True
            self._dirty.add(namespace)
            if len(found) <= _MANY_LIVE:
                self._not_before.pop(namespace, None)  # a request is decided on it
        return True

    def retain(self, there: Iterable[tuple[str, str]]) -> None:
        """Forget all ProxyConfigs but these (namespace, name): a list was taken in."""
        kept = set(there)
        for namespace, objects in self._objects.items():
            for name in [name for name in objects if (namespace, name) not in kept]:
                del objects[name]
                self._moved(namespace)

    def _moved(self, namespace: str) -> None:
        self._dirty.add(namespace)
        if namespace in self._read_live:
            self._read_live[namespace] = True

    def due(self, now: datetime) -> set[str]:
        """Return the namespaces that changed since they were returned last; those with very many have to wait."""
        later = {namespace for namespace in self._dirty if self._too_soon(namespace, now)}
        due, self._dirty = self._dirty - later, later
        return due

    @property
    def pending(self) -> bool:
        """Whether some namespace changed that `due` has not returned."""
        return bool(self._dirty)

    def of(self, namespace: str) -> Collection[ProxyConfig]:
        """Return the ProxyConfigs of a namespace."""
        objects = self._objects.get(namespace)
        if not objects:
            self._objects.pop(namespace, None)
            return ()
        return objects.values()

    def _too_soon(self, namespace: str, now: datetime) -> bool:
        count = len(self._objects.get(namespace, ()))
        if count <= _MANY:
            self._not_before.pop(namespace, None)
            return False
        pause = count * _PAUSE_FOR_EACH
        left = self._not_before.get(namespace, now) - now
        if timedelta(0) < left <= pause:  # more than a pause: the clock was set back
            return True
        self._not_before[namespace] = now + pause
        return False


def _says(old: ProxyConfig, new: ProxyConfig) -> bool:
    """Whether two versions of an object say the same."""
    metadata = msgspec.structs.replace(new.metadata, resource_version=old.metadata.resource_version)
    return msgspec.structs.replace(new, metadata=metadata) == old
