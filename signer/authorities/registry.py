"""Keeps the state of every issuer current, so that signing is one look-up.

Issuers, ClusterIssuers and the Secrets of CAs are watched; a CA is parsed and checked once for each change of its
Secret, in a thread, since an RSA key takes some 40 ms to check. Everything else runs on the loop: handlers are called
on it, synchronously, and must be quick.

Secrets are watched per namespace: the cluster resource namespace, and each namespace that has a `ca` Issuer. So the
signer needs no right to read other Secrets (secret_watches.py; manifests/components/namespaced-issuers).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from issuers.authority import Authority
from issuers.errors import InvalidAuthority
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS, Issuer, IssuerRef
from signer.authorities.ca_secret import UNFORESEEN, load_ca
from signer.authorities.secret_watches import SecretWatches
from signer.authorities.state import (
    CASecret,
    IssuerState,
    NeedsSecret,
    SecretMissing,
    judge_ca,
    judge_spec,
)
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import Change, Reflector
from signer.kube.resource import Resource

log = logging.getLogger(__name__)

Handler = Callable[[IssuerRef], None]
SecretHandler = Callable[[str, str], None]
OnRestart = Callable[[str], None]  # called with the resource whose watch had to be opened again

# A CA whose time has not begun is looked at again this often; a wrong clock is mended sooner than a day.
_RETRY_DATES = 30.0
# asyncio timers beyond this are set again: the wall clock may be stepped meanwhile.
_LONGEST_TIMER = 3600.0
_LONGEST_LOAD = 10.0


class Registry:
    """The issuers as they are now.

    `get` answers from memory. A handler that subscribed is told each issuer whose state changed, came or went.
    `synced` is set once all issuers, and the Secrets that their CAs live in, were seen for the first time.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        cluster_resource_namespace: str,
        on_restart: OnRestart = lambda _resource: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._namespace = cluster_resource_namespace
        self._on_restart = on_restart
        self._clock = clock
        self._states: dict[IssuerRef, IssuerState] = {}
        self._handlers: list[Handler] = []
        self._secret_handlers: list[SecretHandler] = []
        self._users: dict[tuple[str, str], set[IssuerRef]] = defaultdict(set)
        self._needs: dict[IssuerRef, tuple[str, str]] = {}
        self._loaded: dict[tuple[str, str], tuple[CASecret, Authority | InvalidAuthority]] = {}
        self._loading: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._timers: dict[IssuerRef, asyncio.TimerHandle] = {}
        self._early: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._secrets = SecretWatches(
            client, self._secret_changed, self._judge_namespace, on_restart, self.is_ca_secret
        )
        self.synced = asyncio.Event()
        self._issuers = [self._reflector(resource) for resource in (CLUSTER_ISSUERS, ISSUERS)]
        for reflector in self._issuers:
            reflector.subscribe(self._issuer_changed)

    def get(self, ref: IssuerRef) -> IssuerState | None:
        """Return the issuer's state, None when there is no such issuer (or `synced` is not set yet)."""
        return self._states.get(ref)

    def states(self) -> Iterable[IssuerState]:
        """Return all issuers as they are now."""
        return tuple(self._states.values())

    def is_ca_secret(self, namespace: str, name: str) -> bool:
        """Tell whether a `ca` issuer signs with this Secret: its key is never used for anything else."""
        return bool(self._users.get((namespace, name)))

    def signing_with(self, namespace: str, name: str) -> list[IssuerRef]:
        """The `ca` issuers that sign with this Secret."""
        return sorted(self._users.get((namespace, name), ()), key=str)

    def subscribe(self, handler: Handler) -> None:
        """Call the handler, on the loop, with each issuer that changed, came or went."""
        self._handlers.append(handler)

    def subscribe_secrets(self, handler: SecretHandler) -> None:
        """Call the handler with (namespace, name) of each watched Secret that changed, came or went."""
        self._secret_handlers.append(handler)

    def _reflector(self, resource: Resource) -> Reflector[Issuer]:
        def restarted(_why: str) -> None:
            self._on_restart(resource.plural)

        return Reflector(self._client, resource, JsonCodec(Issuer), on_restart=restarted)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._secrets.start(tasks)
            for reflector in self._issuers:
                tasks.create_task(reflector.run())
            self.watch_secrets(self._namespace)
            tasks.create_task(self._wait_for_sync())

    async def _wait_for_sync(self) -> None:
        for reflector in self._issuers:
            await reflector.synced.wait()
        # The issuers' Secrets are known only now. A namespace whose Secrets may not be read must not hold up the
        # rest: its issuers say so (ErrGetKeyPair) as soon as the answer is there.
        for namespace in {self._namespace, *(namespace for namespace, _ in self._users)}:
            while self._secrets.unread(namespace):  # noqa: ASYNC110 - only at start
                await asyncio.sleep(0.01)
        if loading := tuple(self._loading.values()):
            # Once only: a tenant who changes his Secret all the time must not hold up the rest.
            await asyncio.wait(loading, timeout=_LONGEST_LOAD)
        self._judge_all()
        self.synced.set()

    def watch_secrets(self, namespace: str) -> None:
        """Watch the Secrets of a namespace from now on, if that is not done yet: somebody waits for one of them."""
        self._secrets.watch(namespace)

    def _unwatch_secrets(self, namespace: str) -> None:
        """Stop watching a namespace whose last `ca` Issuer went: not a right that we need any more."""
        if namespace != self._namespace and not any(used == namespace for used, _ in self._users):
            self._secrets.unwatch(namespace)

    def _issuer_changed(self, change: Change[Issuer]) -> None:
        issuer = change.new or change.old
        if issuer is None:
            return
        ref = issuer.ref
        if change.kind == "deleted":
            self._forget(ref)
            return
        needs = judge_spec(issuer, self._namespace)
        secret = (needs.namespace, needs.name) if isinstance(needs, NeedsSecret) else None
        if self._needs.get(ref) != secret:
            self._release(ref)
        if secret is not None:
            self._needs[ref] = secret
            self._users[secret].add(ref)
            self.watch_secrets(secret[0])
            self._load(secret)
        elif ref.namespace:
            self._unwatch_secrets(ref.namespace)
        self._judge(issuer)

    def _secret_changed(self, change: Change[CASecret]) -> None:
        if change.kind == "synced":
            return
        namespace, name = change.key
        if self._users.get(change.key):
            self._load(change.key)
            self._judge_users(change.key)
        for handler in self._secret_handlers:
            handler(namespace, name)

    def _forget(self, ref: IssuerRef) -> None:
        self._release(ref)
        if timer := self._timers.pop(ref, None):
            timer.cancel()
        if ref.namespace:
            self._unwatch_secrets(ref.namespace)
        if self._states.pop(ref, None) is not None:
            self._tell(ref)

    def _release(self, ref: IssuerRef) -> None:
        secret = self._needs.pop(ref, None)
        if secret is None:
            return
        self._users[secret].discard(ref)
        if not self._users[secret]:
            del self._users[secret]
            self._loaded.pop(secret, None)
            if timer := self._early.pop(secret, None):
                timer.cancel()

    def _load(self, key: tuple[str, str], *, again: bool = False) -> None:
        """Parse and check the CA in this Secret, unless just this version of it was."""
        secret = self._secrets.stored(key)
        if secret is None:
            self._loaded.pop(key, None)
            return
        known = self._loaded.get(key)
        if key in self._loading or (not again and known is not None and known[0].data == secret.data):
            return
        if (task := self._secrets.spawn(self._load_off_loop(key, secret))) is not None:
            self._loading[key] = task

    async def _load_off_loop(self, key: tuple[str, str], secret: CASecret) -> None:
        try:
            found: Authority | InvalidAuthority = await asyncio.to_thread(load_ca, secret.data, now=self._clock())
        except Exception:  # noqa: BLE001 - one CA must never stop the others; what failed is told without its text
            log.error("Secret %s/%s could not be read as a CA: unforeseen failure", *key)  # noqa: TRY400 - see above
            found = UNFORESEEN
        finally:
            self._loading.pop(key, None)
        if not self._users.get(key):
            return
        self._loaded[key] = (secret, found)
        latest = self._secrets.stored(key)
        if latest is None or latest.data != secret.data:
            self._load(key)
        self._judge_users(key)
        if isinstance(found, InvalidAuthority) and found.reason in {"NotYetValid", "Expired"}:
            # One timer for each Secret, however often it changes.
            if timer := self._early.pop(key, None):
                timer.cancel()
            loop = asyncio.get_running_loop()
            self._early[key] = loop.call_later(_RETRY_DATES, lambda: self._load(key, again=True))

    def _found(self, key: tuple[str, str]) -> Authority | InvalidAuthority | SecretMissing | None:
        stored = self._secrets.stored(key)
        if stored is None:
            return self._secrets.missing(key)
        if stored.withheld:
            return SecretMissing(f"Secret {key[0]}/{key[1]} is not read: {stored.withheld}")
        loaded = self._loaded.get(key)
        return loaded[1] if loaded is not None else None

    def _judge_all(self) -> None:
        for reflector in self._issuers:
            for issuer in tuple(reflector.store.values()):
                self._judge(issuer)

    def _judge_namespace(self, namespace: str) -> None:
        for key in [key for key in self._users if key[0] == namespace]:
            self._judge_users(key)

    def _judge_users(self, key: tuple[str, str]) -> None:
        for ref in tuple(self._users.get(key, ())):
            self._judge_again(ref)

    def _judge_again(self, ref: IssuerRef) -> None:
        state = self._states.get(ref)
        if state is not None:
            self._judge(state.issuer)

    def _judge(self, issuer: Issuer) -> None:
        now = self._clock()
        needs = judge_spec(issuer, self._namespace)
        found = None
        if isinstance(needs, NeedsSecret):
            found = self._found((needs.namespace, needs.name))
            state = judge_ca(issuer, needs, found, now)
        else:
            state = needs
        ref = state.ref
        if timer := self._timers.pop(ref, None):
            timer.cancel()
        if state.authority is not None:
            left = (state.authority.not_after - now).total_seconds()
            delay = min(max(left, 0.0) + 0.001, _LONGEST_TIMER)
            self._timers[ref] = asyncio.get_running_loop().call_later(delay, self._judge_again, ref)
        elif isinstance(found, Authority):
            # Its dates say no: that may be a clock that is wrong, and mended soon.
            self._timers[ref] = asyncio.get_running_loop().call_later(_RETRY_DATES, self._judge_again, ref)
        if self._states.get(ref) != state:
            self._states[ref] = state
            self._tell(ref)

    def _tell(self, ref: IssuerRef) -> None:
        for handler in self._handlers:
            handler(ref)
