"""Follows resources of a cluster over plain HTTP while tests run: one thread for each."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.localmesh import Cluster, kubeconfig

Json = dict[str, Any]


class Following:
    """Calls `told` with the type and the object of each event, from the threads that watch `paths`, until it is closed.

    All that is there is told first, and again after a break.
    """

    def __init__(
        self, cluster: Cluster, paths: Sequence[str], told: Callable[[str, Json], None], *, pause: float = 0.5
    ) -> None:
        self._access = kubeconfig.read(cluster.kubeconfig())
        self._told = told
        self._pause = pause
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._connections: dict[str, http.client.HTTPSConnection] = {}
        self._threads = [threading.Thread(target=self._run, args=(path,), daemon=True) for path in paths]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all watches."""
        self._ended.set()
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _run(self, path: str) -> None:
        while not self._ended.is_set():
            try:
                for event in self._events(path):
                    if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                        self._told(event["type"], event["object"])
            except (OSError, http.client.HTTPException, ValueError):
                pass  # it was closed, or the server is away: all that is there is told again
            self._ended.wait(self._pause)

    def _events(self, path: str) -> Iterator[Json]:
        connection = http.client.HTTPSConnection(
            self._access.host, self._access.port, context=self._access.ssl_context()
        )
        with self._lock:
            if self._ended.is_set():
                return
            self._connections[path] = connection
        try:
            connection.request("GET", f"{path}?watch=1", headers=self._access.headers())
            # An answer after which the server closes has the socket to itself: only its own end closes that.
            with connection.getresponse() as answer:
                while answer.status == 200 and (line := answer.readline()):
                    with contextlib.suppress(RecursionError):  # what is nested too deep for the tests is none of theirs
                        yield json.loads(line)
        finally:
            connection.close()
