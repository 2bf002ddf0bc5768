"""Sessions of one issuer for an asynchronous caller: each thread has its own.

The conversation blocks, so it runs in the threads of an executor that the caller owns and bounds. A Session (nonces, one
connection) is used by one thread only; there are as many as threads that ever worked for this issuer. Cancelling the
caller does not stop a request that was sent: its thread ends it, within the transport's time.
"""

import asyncio
import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Concatenate, ParamSpec, TypeVar

from issuers.acme.account import AccountKey
from issuers.acme.client.session import Session
from issuers.acme.client.transport import Server

P = ParamSpec("P")
T = TypeVar("T")


def utc_now() -> dt.datetime:
    """The time, aware."""
    return dt.datetime.now(dt.UTC)


class Sessions:
    """`await sessions.call(Session.new_order, wish)`. Set `account_url` after the account was found or made."""

    def __init__(
        self, server: Server, key: AccountKey, executor: Executor, clock: Callable[[], dt.datetime] = utc_now
    ) -> None:
        self.account_url: str | None = None
        self._server = server
        self._key = key
        self._executor = executor
        self._clock = clock
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: list[Session] = []
        self._closed = False

    async def call(self, method: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one method of Session in a thread. Raises what it raises: errors.AcmeError."""

        def work() -> T:
            session = self._session()
            session.begin(method.__name__)
            return method(session, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Close all connections. Nothing may be running; what is called later raises RuntimeError."""
        with self._lock:
            self._closed = True
            sessions, self._all = self._all, []
        for session in sessions:
            session.close()

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = Session(self._server, self._key, self._clock)
            with self._lock:
                if self._closed:
                    raise RuntimeError("these sessions are closed")
                self._all.append(session)
            self._local.session = session
        session.account_url = self.account_url
        return session
