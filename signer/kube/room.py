"""How much of one namespace's large objects of one kind is kept, for what is watched and what is listed.

Anybody may write as many objects as a quota lets, of up to 1.5 MiB each. Used on the loop only; one for each list or watch.
"""

from signer.kube.encoding.codec import Key

# What is kept of one namespace's objects of one resource: so many bytes of each are free, and all that is beyond that
# together has this much room. How many objects there are is for a ResourceQuota to limit.
FREE, BUDGET = 8 * 1024, 1024 * 1024


class Room:
    """What is kept beyond the free bytes of each object, by namespace. `regained`: some that was withheld may fit now."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._of_object: dict[Key, int] = {}
        self._of_namespace: dict[str, int] = {}
        self._withheld: dict[str, set[Key]] = {}
        self.regained = False

    def take(self, key: Key, size: int) -> str:
        """Make room for an object of this size; "" or why there is none, for people."""
        before, heavy = self._free(key), max(0, size - FREE)
        used = self._of_namespace.get(key[0], 0)
        why = ""
        if heavy and used + heavy > self._budget:
            self._withheld.setdefault(key[0], set()).add(key)
            where = f"namespace {key[0]} holds" if key[0] else "there are"
            why = f"it has {size} bytes, and {where} too many large objects of this kind already; make them smaller, or fewer"
        elif heavy:
            self._of_object[key] = heavy
            self._of_namespace[key[0]] = used + heavy
        self._regain(key, before - self._of_object.get(key, 0))
        return why

    def give_back(self, key: Key) -> None:
        """An object went."""
        self._regain(key, self._free(key))

    def withheld(self) -> list[Key]:
        """The objects for which there was no room."""
        return [key for keys in self._withheld.values() for key in keys]

    def _free(self, key: Key) -> int:
        """Forget an object; the bytes that it had."""
        withheld = self._withheld.get(key[0])
        if withheld is not None:
            withheld.discard(key)
            if not withheld:
                del self._withheld[key[0]]
        heavy = self._of_object.pop(key, 0)
        if heavy:
            left = self._of_namespace[key[0]] = self._of_namespace[key[0]] - heavy
            if not left:
                del self._of_namespace[key[0]]
        return heavy

    def _regain(self, key: Key, freed: int) -> None:
        if freed > 0 and any(other != key for other in self._withheld.get(key[0], ())):
            self.regained = True
