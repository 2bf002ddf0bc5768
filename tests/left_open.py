"""A test that leaves something open fails, and not a later one, in which the garbage collector finds it.

What is watched: sockets (a transport of asyncio has one, TLS or not), aiohttp's sessions, event loops, processes, and tasks
that were still at work when their loop was closed. Each belongs to the test in which it was made, or to the fixture of a
module or the session that was being set up; a thread's, to whoever started the thread. When that owner ends, all of it
must be closed; what other threads are just closing is waited for.

Concurrency: things are noted in any thread; owners change and end in pytest's own. No garbage collection is needed:
what is noted is held weakly, and what is open and in a circle of references is there until it is collected.
"""

import asyncio
import functools
import socket
import ssl
import subprocess
import threading
import time
import weakref
from asyncio import runners
from collections.abc import Callable, Generator
from typing import Any

import aiohttp
import pytest

PATIENCE = 5.0
Owner = object
"""A test or a fixture, by identity."""


class LeftOpen(Exception):
    """What a test or a fixture left open."""


class Ledger:
    """What is open, and whose it is."""

    def __init__(self) -> None:
        self.owner: Owner | None = None
        self._made: weakref.WeakKeyDictionary[Any, Owner | None] = weakref.WeakKeyDictionary()
        self._threads: weakref.WeakKeyDictionary[threading.Thread, Owner | None] = weakref.WeakKeyDictionary()
        self._tasks: list[tuple[Owner | None, str]] = []
        self._lock = threading.RLock()

    def note(self, thing: object) -> None:
        """Something was made, by whoever is at work."""
        with self._lock:
            self._made[thing] = self._at_work()

    def note_thread(self, thread: threading.Thread) -> None:
        """A thread is started: what it makes is its starter's."""
        with self._lock:
            self._threads[thread] = self._at_work()

    def note_task(self, task: asyncio.Task[Any]) -> None:
        """A task that its loop's end will cancel."""
        with self._lock:
            self._tasks.append((self._at_work(), f"a task at work: {task!r}"))

    def end(self, owner: Owner) -> list[str]:
        """What this owner left open, said in words. It is told once."""
        until = time.monotonic() + PATIENCE
        while (found := self._open(owner)) and threading.active_count() > 1 and time.monotonic() < until:
            time.sleep(0.01)
        with self._lock:
            texts = [text for whose, text in self._tasks if whose is owner] + [_say(thing) for thing in found]
            self._tasks = [one for one in self._tasks if one[0] is not owner]
            for thing in [thing for thing, whose in self._made.items() if whose is owner]:
                del self._made[thing]
        return texts

    def _at_work(self) -> Owner | None:
        return self._threads.get(threading.current_thread(), self.owner)

    def _open(self, owner: Owner) -> list[Any]:
        with self._lock:
            return [thing for thing, whose in self._made.items() if whose is owner and _is_open(thing)]


def _is_open(thing: Any) -> bool:
    if isinstance(thing, socket.socket):
        return thing.fileno() != -1
    if isinstance(thing, asyncio.BaseEventLoop):
        return not thing.is_closed()
    if isinstance(thing, subprocess.Popen):
        return thing.returncode is None  # nobody has seen it end
    return not thing.closed


def _say(thing: Any) -> str:
    if isinstance(thing, asyncio.BaseEventLoop):
        return f"{thing!r} with {sorted(map(repr, asyncio.all_tasks(thing)))}"
    return repr(thing)


LEDGER = Ledger()
SERVERS = ("tests/e2e", "tests/faults", "tests/integration")
HELD = ("tests/integration/acme", "tests/integration/edge", "tests/integration/kube")
"""Of the tests on real servers, those that are held to it. Elsewhere a client of a wider fixture dials again within a test,
since an API server was stopped, and the test would be blamed for what is not its own."""


def _held(place: str) -> bool:
    return place.startswith(HELD) or not place.startswith(SERVERS)


def _noting(made: Any, ledger: Ledger) -> None:
    """Let a class note its instances."""
    original: Callable[..., None] = made.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        ledger.note(self)

    made.__init__ = init


def watch(ledger: Ledger) -> None:
    """Note everything from now on."""
    for made in (socket.socket, subprocess.Popen, aiohttp.ClientSession, asyncio.BaseEventLoop):
        _noting(made, ledger)
    start, cancel_all = threading.Thread.start, runners._cancel_all_tasks  # type: ignore[attr-defined]  # see below

    def noted_start(self: threading.Thread) -> None:
        ledger.note_thread(self)
        start(self)

    def noted_cancel(loop: asyncio.AbstractEventLoop) -> None:
        # The one place where asyncio ends, without a word, what a test or a program forgot.
        for task in asyncio.all_tasks(loop):
            ledger.note_task(task)
        cancel_all(loop)

    threading.Thread.start = noted_start  # type: ignore[method-assign]
    runners._cancel_all_tasks = noted_cancel  # type: ignore[attr-defined]


class DroppedSocket(ssl.SSLSocket):
    """Closed without a word when nobody holds it any more.

    Where the far side resets a connection between its being made and its handshake, `ssl` raises before anybody was given
    the new socket (seen in 3.11: `SSLSocket._create`, where it asks a socket that is no longer connected for data). So
    nobody can close it, and the garbage collector complains in whatever test is running. Whoever was given a socket still
    has to close it: that is looked at above.
    """

    def __del__(self) -> None:
        self.close()


def pytest_configure() -> None:
    watch(LEDGER)
    ssl.SSLContext.sslsocket_class = DroppedSocket


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    LEDGER.owner = item
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    try:
        return (yield)
    finally:
        LEDGER.owner = None
        found = LEDGER.end(item)
        if found and _held(item.nodeid):
            raise LeftOpen("left open: " + "; ".join(found))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    if fixturedef.scope == "function":
        return (yield)
    before, LEDGER.owner = LEDGER.owner, fixturedef
    try:
        return (yield)
    finally:
        LEDGER.owner = before


@pytest.hookimpl(wrapper=True)
def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, None, None]:
    yield
    if fixturedef.scope == "function":
        return
    found = LEDGER.end(fixturedef)
    if found and _held(fixturedef.baseid):
        raise LeftOpen(f"{fixturedef.argname} left open: " + "; ".join(found))
