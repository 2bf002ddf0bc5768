"""Makes the private keys that take long, in a place of their own, so that nothing else waits for them.

An RSA key of 8192 bits takes half a minute of a core, at times several; of 4096 bits about a second. Each of the two kinds has
one thread, and its wishes are served in turn by namespace: who wants a hundred large keys delays another's large key by one.
Smaller keys are made where they are needed.

Runs on the loop; the threads get a kind and a size and give back a key. They have the lowest priority that the system lets
them have, and hold no process up that ends: what is not done then is begun anew by the next one. A key that was made waits in
memory until it is taken; where its wish was given up or changed meanwhile it is dropped.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from issuers.private_key import generate_key
from issuers.x509.keys import PrivateKey
from signer.certificates.objects import Key
from signer.kube.turns import Turns

# Bits of an RSA key, from which on it is made here, and from which on it is a long one.
_SLOW, _LONG = 3072, 4097
_NICE = 19

Generate = Callable[[str, int], PrivateKey]


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key for the Certificate with this UID: "RSA", "ECDSA" or "Ed25519", and its size in bits (0: as usual)."""

    uid: str
    algorithm: str
    size: int

    @property
    def slow(self) -> bool:
        """Whether it is made apart."""
        return self.algorithm == "RSA" and self.size >= _SLOW


class KeyMaking:
    """Wishes by Certificate. `ready` is called with its key when `take` will return one."""

    def __init__(self, ready: Callable[[Key], None], *, generate: Generate = generate_key) -> None:
        self._ready = ready
        self._generate = generate
        self._wishes: dict[Key, WantedKey] = {}
        self._made: dict[Key, tuple[WantedKey, PrivateKey | Exception]] = {}
        self._lanes = (_Lane(), _Lane())

    def take(self, key: Key, wish: WantedKey) -> PrivateKey | None:
        """Return the key that was made for this wish; else have it made, and return None. Raises what making it raised."""
        wanted, made = self._made.pop(key, (None, None))
        if wanted == wish:
            if isinstance(made, Exception):
                raise made
            return made
        if self._wishes.get(key) != wish:
            self.forget(key)
            self._wishes[key] = wish
            self._lane(wish).add(key)
        return None

    def forget(self, key: Key) -> None:
        """Nobody waits for a key of this Certificate any more."""
        self._made.pop(key, None)
        if (wish := self._wishes.pop(key, None)) is not None:
            self._lane(wish).discard(key)

    async def run(self) -> None:
        """Make keys until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(self._work(lane))

    def _lane(self, wish: WantedKey) -> "_Lane":
        return self._lanes[wish.size >= _LONG]

    async def _work(self, lane: "_Lane") -> None:
        while True:
            key = await lane.next()
            wish = self._wishes.get(key)
            if wish is None:
                continue
            made = await _in_a_thread(self._generate, wish)
            if self._wishes.get(key) != wish:
                continue
            del self._wishes[key]
            self._made[key] = (wish, made)
            self._ready(key)


class _Lane:
    """Certificates that wait for keys of one kind."""

    def __init__(self) -> None:
        self._turns: Turns[Key] = Turns()
        self._more = asyncio.Event()

    def add(self, key: Key) -> None:
        self._turns.add(key[0], key, key)
        self._more.set()

    def discard(self, key: Key) -> None:
        self._turns.discard(key[0], key)

    async def next(self) -> Key:
        while (key := self._turns.take()) is None:
            self._more.clear()
            await self._more.wait()
        return key


async def _in_a_thread(generate: Generate, wish: WantedKey) -> PrivateKey | Exception:
    """Make a key in a thread that nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[PrivateKey | Exception] = loop.create_future()

    def finish(made: PrivateKey | Exception) -> None:
        if not done.done():
            done.set_result(made)

    def work() -> None:
        with contextlib.suppress(OSError):
            # On Linux a thread has a priority of its own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        made: PrivateKey | Exception
        try:
            made = generate(wish.algorithm, wish.size)
        except Exception as error:  # noqa: BLE001 - it is raised where the key is taken
            made = error
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, made)

    threading.Thread(target=work, name="key", daemon=True).start()
    return await done
