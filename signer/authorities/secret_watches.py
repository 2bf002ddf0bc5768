"""Watches the Secrets of those namespaces in which a CA lives, or somebody waits for one, and of no others.

All on the loop. `start` is called once, with the task group that the watches belong to.
"""

import asyncio
from collections.abc import Callable, Coroutine

from signer.api.secret import SECRETS
from signer.authorities.state import CASecret, SecretMissing, looks_like_a_ca, not_found, slim_secret, withheld
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import LARGEST_STORED, JsonCodec
from signer.kube.reflector import Change, Reflector
from signer.kube.room import LAST, USUAL

# A watch that cannot even begin is told of this soon (seconds).
_TROUBLE_POLL = 0.5
# Where the Secrets are not ours to read (beside a cert-manager: all but the ClusterIssuers'), that stays so: the pauses grow
# to this. A right that is given is seen that late (seconds).
_FORBIDDEN_DELAY = 600.0


class SecretWatches:
    """One watch for each namespace. `changed` is called with each change.

    `judged` is called with a namespace when its Secrets were all read, and when why they cannot be has changed. `is_named` tells
    whether an issuer names a Secret (namespace, name): it is that issuer's CA, and meant by no other.
    """

    def __init__(
        self,
        client: ApiClient,
        changed: Callable[[Change[CASecret]], None],
        judged: Callable[[str], None],
        on_restart: Callable[[str], None],
        is_named: Callable[[str, str], bool],
    ) -> None:
        self._client = client
        self._changed = changed
        self._judged = judged
        self._on_restart = on_restart
        self._is_named = is_named
        self._reflectors: dict[str, Reflector[CASecret]] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Take the task group that all work of ours runs in."""
        self._tasks = tasks

    def spawn(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None] | None":
        """Start a task of ours; None when we are ending: what comes in meanwhile is nobody's business any more."""
        try:
            if self._tasks is not None:
                return self._tasks.create_task(work)
        except RuntimeError:
            pass
        work.close()
        return None

    def watch(self, namespace: str) -> None:
        """Watch the Secrets of a namespace from now on, if that is not done yet."""
        if namespace in self._reflectors or self._tasks is None:
            return
        reflector = Reflector(
            self._client,
            SECRETS,
            JsonCodec(CASecret, keep=slim_secret, largest=LARGEST_STORED, instead=withheld),
            namespace=namespace,
            forbidden_delay=_FORBIDDEN_DELAY,
            rank=lambda secret: USUAL if looks_like_a_ca(secret) else LAST,
            on_restart=lambda _why: self._on_restart(SECRETS.plural),
        )
        reflector.subscribe(self._changed)
        reflector.subscribe(lambda change: self._judged(namespace) if change.kind == "synced" else None)
        self._reflectors[namespace] = reflector
        if (task := self.spawn(self._follow(namespace, reflector))) is not None:
            self._watching[namespace] = task

    def unwatch(self, namespace: str) -> None:
        """Stop watching a namespace."""
        self._reflectors.pop(namespace, None)
        if task := self._watching.pop(namespace, None):
            task.cancel()

    def unread(self, namespace: str) -> bool:
        """Tell whether a watched namespace was not read yet, with nothing known to be in the way."""
        secrets = self._reflectors.get(namespace)
        return secrets is not None and not secrets.synced.is_set() and not secrets.trouble

    def stored(self, key: tuple[str, str]) -> CASecret | None:
        """Return the Secret of this (namespace, name), None when it is not known."""
        reflector = self._reflectors.get(key[0])
        return reflector.store.get(key) if reflector is not None else None

    def missing(self, key: tuple[str, str]) -> SecretMissing | None:
        """Say why a Secret that is not known is not; None when that is not known either."""
        reflector = self._reflectors.get(key[0])
        if reflector is None:
            return None
        if reflector.synced.is_set():
            others = (
                name
                for (_, name), one in reflector.store.items()
                if one.data.tls_crt and one.data.tls_key and not self._is_named(key[0], name)
            )
            return not_found(*key, others)
        return SecretMissing(str(reflector.trouble)) if reflector.trouble else None

    async def _follow(self, namespace: str, reflector: Reflector[CASecret]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reflector.run())
            tasks.create_task(self._tell_of_trouble(namespace, reflector))

    async def _tell_of_trouble(self, namespace: str, reflector: Reflector[CASecret]) -> None:
        """Until a namespace's Secrets are read, let its issuers say why they are not (RBAC, mostly)."""
        told = ""
        while not reflector.synced.is_set():
            if reflector.trouble != told:
                told = reflector.trouble
                self._judged(namespace)
            await asyncio.sleep(_TROUBLE_POLL)
