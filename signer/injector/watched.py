"""The objects that ask for a CA, the CASources, and who must be looked at again when one of them changes.

Everything is on one loop: reflectors call the handlers here, which keep an index and put keys into the queue. Of the objects
only their metadata is watched, and of that only what asks; one that is to be changed is read when its turn comes.
"""

from collections import defaultdict
from collections.abc import Callable, Collection

from signer.api.casource import CA_SOURCES, CASource, CASourceSpec, source_name
from signer.api.injectable import INJECTABLES, Injectable, asking
from signer.injector.asked import ApiServerCA, Defect, Source, asked_for
from signer.injector.sources.controller import watch_sources
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import LARGEST_STORED, MetadataCodec, weightless
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource

Key = tuple[str, str]
"""(the resource's plural, the object's name): of an injectable, or of a CASource."""


class Watched:
    """The watches, made but not run. `enqueue` is called with each key that must be looked at again."""

    def __init__(self, client: ApiClient, namespaces: Collection[str], on_restart: Callable[[str], None]) -> None:
        self._namespaces = namespaces
        self.enqueue: Callable[[Key], None] = lambda _key: None
        self.sources = watch_sources(client, on_restart)
        self.objects = {resource: self._watch(client, resource, on_restart) for resource in INJECTABLES}
        self._resources = {resource.plural: resource for resource in INJECTABLES}
        self._users: dict[Source, set[Key]] = defaultdict(set)
        self.sources.subscribe(self._source_changed)

    def resource(self, key: Key) -> Resource:
        """The resource of an injectable's key."""
        return self._resources[key[0]]

    def get(self, key: Key) -> Injectable | None:
        """Return an object that asks for a CA; None when there is none, or it asks no more."""
        return self.objects[self.resource(key)].store.get(("", key[1]))

    def asked(self, obj: Injectable) -> Source | Defect | None:
        """What it asks for."""
        return asked_for(obj.metadata.annotations, self._namespaces)

    def source(self, spec: CASourceSpec) -> CASource | None:
        """The CASource that asks for this, if there is one."""
        found = self.sources.store.get(("", source_name(spec)))
        return found if found is not None and found.spec == spec else None

    def wanted(self, spec: CASourceSpec) -> bool:
        """Whether any object asks for this."""
        return bool(self._users.get(spec))

    @property
    def complete(self) -> bool:
        """Whether everything was read, so that what nobody asks for may be taken away."""
        return not self.unread

    @property
    def unread(self) -> str:
        """What was not read yet, and why, for people; "" when all was."""
        reflectors: list[Reflector[Injectable] | Reflector[CASource]] = [self.sources, *self.objects.values()]
        return ", ".join(
            f"{one.resource} ({one.trouble or 'starting'})" for one in reflectors if not one.synced.is_set()
        )

    def enqueue_users(self, source: Source) -> None:
        """Have everybody looked at who asks for this."""
        for key in self._users.get(source, ()):
            self.enqueue(key)

    def _watch(self, client: ApiClient, resource: Resource, on_restart: Callable[[str], None]) -> Reflector[Injectable]:
        codec = MetadataCodec(Injectable, keep=asking, largest=LARGEST_STORED, weigh=weightless)
        reflector = Reflector(client, resource, codec, on_restart=lambda _why: on_restart(resource.plural))
        reflector.subscribe(lambda change: self._object_changed(resource, change))
        return reflector

    def _object_changed(self, resource: Resource, change: Change[Injectable]) -> None:
        if change.kind == "synced":
            for _, name in self.sources.store:  # one that nobody asks for goes when all is read
                self.enqueue((CA_SOURCES.plural, name))
            return
        key = (resource.plural, change.key[1])
        old = self.asked(change.old) if change.old is not None else None
        new = self.asked(change.new) if change.new is not None else None
        if old != new and isinstance(old, CASourceSpec | ApiServerCA):
            self._users[old].discard(key)
            if not self._users[old]:
                del self._users[old]
        if isinstance(new, CASourceSpec | ApiServerCA):
            self._users[new].add(key)
        self.enqueue(key)
        for one in {old, new} if old != new else ():
            if isinstance(one, CASourceSpec):
                self.enqueue((CA_SOURCES.plural, source_name(one)))

    def _source_changed(self, change: Change[CASource]) -> None:
        if change.kind == "synced":
            return
        self.enqueue((CA_SOURCES.plural, change.key[1]))
        for one in (change.old, change.new):
            if one is not None:
                self.enqueue_users(one.spec)
