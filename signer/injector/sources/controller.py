"""Answers CASources: watches the Certificate and the one Secret that each of them needs, and writes its status.

Runs with the controllers, which read Secrets anyway; the injector, which may write webhooks, does not. Everything is on the
loop. Each Secret is watched by its name, so no others are held; of those, ca.crt alone. `run` may be called again after it
was cancelled: everything is made anew.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from signer.api.casource import CA_SOURCES, CASource, CASourceStatus
from signer.api.certificate import Certificate
from signer.api.namespace import NAMESPACES
from signer.api.secret import SECRETS
from signer.injector.sources.judge import AVAILABLE, SourceSecret, answer, body, bound, secret_of, slim
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.encoding.codec import LARGEST_STORED, JsonCodec, weightless
from signer.kube.errors import Conflict, NotFound
from signer.kube.reflector import Change, Reflector
from signer.observe.controller_queue import ControllerQueue
from signer.observe.metrics import Metrics
from signer.observe.undone import UNDONE, Undone, said

log = logging.getLogger(__name__)

CA_SOURCES_CONTROLLER = "casources"
Key = tuple[str, str]
"""(namespace, name); of a CASource the namespace is ""."""
_WORKERS = 4
# Tenants change what is answered as often as they like.
_PAUSE_SECONDS = 1.0


def watch_sources(client: ApiClient, on_restart: Callable[[str], None]) -> Reflector[CASource]:
    """Make a watch of CASources. Their bundles are bounded, and administrators decide how many there are."""
    codec = JsonCodec(CASource, largest=LARGEST_STORED, weigh=weightless)
    return Reflector(client, CA_SOURCES, codec, on_restart=lambda _why: on_restart(CA_SOURCES.plural))


class SourceController:
    """Answers every CASource, until cancelled."""

    def __init__(self, client: ApiClient, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    async def run(self, certificates: Reflector[Certificate]) -> None:
        """Work until cancelled. `certificates` is run elsewhere."""
        async with asyncio.TaskGroup() as tasks:
            await _Run(self._client, self._metrics, certificates, tasks).run()


class _Run:
    """One term of leading."""

    def __init__(
        self, client: ApiClient, metrics: Metrics, certificates: Reflector[Certificate], tasks: asyncio.TaskGroup
    ) -> None:
        self._client = client
        self._on_restart = metrics.watch_restarted
        self._tasks = tasks
        self._certificates = certificates
        self._sources = watch_sources(client, self._on_restart)
        self._queue = ControllerQueue[Key](metrics, CA_SOURCES_CONTROLLER)
        self._by_certificate: dict[Key, set[Key]] = defaultdict(set)
        self._secret_of: dict[Key, Key] = {}
        self._watches: dict[Key, _SecretWatch] = {}
        self._answered: dict[Key, float] = {}
        self._undone = Undone[Key]()
        self._ending = False

    async def run(self) -> None:
        self._sources.subscribe(self._source_changed)
        self._certificates.subscribe(self._certificate_changed)
        self._tasks.create_task(self._sources.run())
        try:
            await self._sources.synced.wait()
            await self._certificates.synced.wait()
            await self._queue.run(self._reconcile, workers=_WORKERS)
        finally:
            # The watch of Certificates may outlive us.
            self._ending = True

    def _source_changed(self, change: Change[CASource]) -> None:
        if change.kind == "synced":
            return
        for obj in (change.old, change.new):
            if obj is not None and obj.spec.kind == "Certificate":
                users = self._by_certificate[obj.spec.namespace, obj.spec.name]
                users.discard(change.key) if change.new is None else users.add(change.key)
        self._queue.add(change.key)

    def _certificate_changed(self, change: Change[Certificate]) -> None:
        if not self._ending and change.kind != "synced":
            for key in self._by_certificate.get(change.key, ()):
                self._queue.add(key)

    async def _reconcile(self, key: Key) -> None:
        source = self._sources.store.get(key)
        if source is None or source.problem:
            self._watch(key, None)
            self._answered.pop(key, None)
            self._undone.forget(key)
            return
        spec = source.spec
        place = (spec.namespace, spec.name)
        certificate = self._certificates.store.get(place) if spec.kind == "Certificate" else None
        name = secret_of(spec, certificate)
        watch = self._watch(key, (spec.namespace, name) if name else None)
        if watch is not None and not watch.reflector.synced.is_set():
            return  # it comes back when the Secret was read
        secret = watch.reflector.store.get(watch.key) if watch is not None else None
        # As if the namespace were the one that is known: only for an answer that is another one it is looked at.
        found = bound(answer(spec, certificate, secret), source, source.status.namespace_uid)
        if found == source.status and (found.namespace_uid or found.reason != AVAILABLE):
            return
        if self._contested(key, found) or self._answered_just_now(key):
            return
        meta = source.metadata
        if found.reason == AVAILABLE:
            # Read live, after what it holds was seen: a watch of namespaces could be behind that of Secrets.
            living = await self._client.list(NAMESPACES, name=spec.namespace)
            if not living:
                self._queue.add_backoff(key)
                return
            found = bound(found, source, str(living[0]["metadata"].get("uid", "")))
            if found == source.status:
                return
        try:
            written = body(found, meta.resource_version)
            await self._client.patch(CA_SOURCES, meta.name, written, subresource="status")
        except NotFound:
            return
        except Conflict:
            self._queue.add_backoff(key)
            return
        self._undone.wrote(key, _wish(found), utc_now())
        log.info("CASource %s (%s): %s", meta.name, found.reason, found.message)

    def _answered_just_now(self, key: Key) -> bool:
        """Whether the last answer is so fresh that this one has to wait; if not, this one is noted as given now."""
        now = asyncio.get_running_loop().time()
        if (left := self._answered.get(key, now - _PAUSE_SECONDS) + _PAUSE_SECONDS - now) > 0:
            self._queue.add_after(key, left)
            return True
        self._answered[key] = now
        return False

    def _contested(self, key: Key, found: CASourceStatus) -> bool:
        """Whether somebody else puts another answer there each time, and it is not yet time for the next write."""
        now = utc_now()
        if not (left := self._undone.left(key, _wish(found), now)):
            return False
        self._queue.add_after(key, left.total_seconds())
        if self._undone.is_news(key):
            log.warning("CASource %s: %s: %s", key[1], UNDONE, said("its status", (), now + left))
        return True

    def _watch(self, source: Key, secret: Key | None) -> "_SecretWatch | None":
        """Watch the Secret that a source needs now, and no longer the one that it needed before."""
        before = self._secret_of.get(source)
        if before != secret:
            if before is not None:
                del self._secret_of[source]
                self._release(before, source)
            if secret is not None:
                self._secret_of[source] = secret
        if secret is None:
            return None
        watch = self._watches.get(secret)
        if watch is None:
            watch = self._watches[secret] = self._new_watch(secret)
        watch.users.add(source)
        return watch

    def _release(self, secret: Key, source: Key) -> None:
        watch = self._watches[secret]
        watch.users.discard(source)
        if not watch.users:
            del self._watches[secret]
            watch.task.cancel()

    def _new_watch(self, secret: Key) -> "_SecretWatch":
        reflector = Reflector(
            self._client,
            SECRETS,
            JsonCodec(SourceSecret, keep=slim, largest=LARGEST_STORED, weigh=weightless),
            namespace=secret[0],
            field_selector=f"metadata.name={secret[1]}",
            on_restart=lambda _why: self._on_restart(SECRETS.plural),
        )
        users = set[Key]()

        def changed(_change: Change[SourceSecret]) -> None:
            for user in users:
                self._queue.add(user)

        reflector.subscribe(changed)
        return _SecretWatch(secret, reflector, users, self._tasks.create_task(reflector.run()))


def _wish(status: CASourceStatus) -> tuple[bytes, str, str]:
    return status.ca_bundle, status.reason, status.message


class _SecretWatch:
    """The watch of one Secret, and the CASources that need it."""

    def __init__(
        self, key: Key, reflector: Reflector[SourceSecret], users: set[Key], task: "asyncio.Task[None]"
    ) -> None:
        self.key = key
        self.reflector = reflector
        self.users = users
        self.task = task
