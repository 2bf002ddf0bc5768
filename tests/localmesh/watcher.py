"""An independent witness: watches CertificateSigningRequests and notes what became of each.

It shares no code with the signer, on purpose: fault tests count "issued once or refused" by what the API server
says, not by our own client or metrics. It resumes at the last resourceVersion after a cut, so it misses nothing
while the API server is down, and lists again after 410 Gone.

Concurrency: one thread reads; `snapshot` and `wait_for` may be called from any thread, or through asyncio.to_thread.
"""

import base64
import contextlib
import copy
import dataclasses
import http.client
import json
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.localmesh import kubeconfig
from tests.localmesh.errors import LocalMeshError

_PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_RETRY_SECONDS = 0.2
_WATCH_SECONDS = 60


@dataclasses.dataclass
class Seen:
    """What was seen of one request. `certificates` holds each distinct PEM once, in order of appearance."""

    name: str
    uid: str
    signer: str = ""
    approved: bool = False
    certificates: list[str] = dataclasses.field(default_factory=list)
    refusals: list[str] = dataclasses.field(default_factory=list)  # "Failed: reason: message" or "Denied: ..."
    deleted: bool = False

    @property
    def issued(self) -> bool:
        return bool(self.certificates)

    @property
    def ended(self) -> bool:
        """Issued or refused: nothing more is expected of the signer."""
        return bool(self.certificates or self.refusals)


@dataclasses.dataclass(frozen=True)
class Count:
    """Totals over all requests seen. A sound signer has issued_twice == both == 0 and, in the end, open == 0."""

    seen: int
    issued: int
    refused: int
    both: int  # issued and refused
    issued_twice: int  # more than one certificate for one request
    open: int  # approved, neither issued nor refused, not deleted
    deleted_open: int  # approved and deleted before an answer was seen


class Watcher:
    """Use as a context manager; on entry the first list has been read."""

    def __init__(self, kubeconfig_path: Path) -> None:
        self._access = kubeconfig.read(kubeconfig_path)
        self._context = self._access.ssl_context()
        self._seen: dict[str, Seen] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._listed = threading.Event()
        self._error: Exception | None = None
        self._connection: http.client.HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self.relists = 0  # how often the history was gone or a first list was needed

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listed.wait(30):
            self._stopping.set()
            raise LocalMeshError(f"watcher: no list of CertificateSigningRequests within 30 s: {self._error}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):  # wakes the thread from its read
            if (connection := self._connection) is not None and connection.sock is not None:
                # not SSLSocket.shutdown, which takes the TLS state away under the reading thread
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        self._thread.join(_WATCH_SECONDS + 10)

    def snapshot(self) -> dict[str, Seen]:
        """What is known now, by uid; a copy."""
        with self._changed:
            return copy.deepcopy(self._seen)

    def count(self, select: Callable[[Seen], bool] = lambda _: True) -> Count:
        """Totals, of the requests that `select` picks."""
        with self._changed:
            return count(one for one in self._seen.values() if select(one))

    def wait_for(self, ready: Callable[[Mapping[str, Seen]], bool], what: str, timeout: float = 60) -> None:
        """Block until `ready` holds for what has been seen (by uid); LocalMeshError names `what` after `timeout` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: ready(self._seen), timeout):
                total = count(self._seen.values())
                raise LocalMeshError(f"watcher: {what}: not within {timeout:.0f} s; {total}; last error: {self._error}")

    def _run(self) -> None:
        version = ""  # empty: a list is needed
        while not self._stopping.is_set():
            try:
                if not version:
                    version = self._list()
                    self._listed.set()
                with contextlib.closing(self._watch(version)) as events:
                    for kind, item in events:
                        version = item["metadata"]["resourceVersion"]
                        if kind != "BOOKMARK":
                            self._note(item, deleted=kind == "DELETED")
            except _GoneError:
                version = ""
            except (OSError, http.client.HTTPException, ValueError, LocalMeshError) as error:
                # The API server is away, or not yet ready (403, 503 while RBAC is being read): go on trying.
                self._error = error
                self._stopping.wait(_RETRY_SECONDS)

    def _list(self) -> str:
        with self._get(_PATH) as answer:
            listed = json.load(answer)
        self.relists += 1
        present = {item["metadata"]["uid"] for item in listed["items"]}
        for item in listed["items"]:
            self._note(item)
        with self._changed:
            for uid, one in self._seen.items():
                one.deleted = one.deleted or uid not in present
            self._changed.notify_all()
        return str(listed["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> Generator[tuple[str, Any], None, None]:
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
        with self._get(f"{_PATH}?{query}") as answer:
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    if event["object"].get("code") == http.HTTPStatus.GONE:
                        raise _GoneError
                    raise LocalMeshError(f"watch: {event['object']}")
                yield event["type"], event["object"]

    @contextlib.contextmanager
    def _get(self, path: str) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            self._access.host, self._access.port, timeout=_WATCH_SECONDS + 5, context=self._context
        )
        self._connection = connection
        try:
            connection.request("GET", path, headers=self._access.headers())
            with connection.getresponse() as answer:
                if answer.status == http.HTTPStatus.GONE:
                    raise _GoneError
                if answer.status != http.HTTPStatus.OK:
                    raise LocalMeshError(f"GET {path}: {answer.status} {answer.read()[:300]!r}")
                yield answer
        finally:
            connection.close()

    def _note(self, item: dict[str, Any], *, deleted: bool = False) -> None:
        metadata, status = item["metadata"], item.get("status", {})
        with self._changed:
            one = self._seen.setdefault(metadata["uid"], Seen(metadata["name"], metadata["uid"]))
            one.signer = item["spec"]["signerName"]
            one.deleted = one.deleted or deleted
            for condition in status.get("conditions", []):
                if condition["type"] == "Approved":
                    one.approved = True
                elif condition["type"] in {"Failed", "Denied"}:
                    text = f"{condition['type']}: {condition.get('reason', '')}: {condition.get('message', '')}"
                    if text not in one.refusals:
                        one.refusals.append(text)
            certificate = status.get("certificate", "")  # base64 of PEM
            if certificate:
                pem = base64.b64decode(certificate).decode()
                if pem not in one.certificates:
                    one.certificates.append(pem)
            self._changed.notify_all()


class _GoneError(Exception):
    """410: the history since our resourceVersion was compacted away."""


def count(seen: Iterable[Seen]) -> Count:
    """Totals over what was seen."""
    every = list(seen)
    waiting = [one for one in every if one.approved and not one.ended]
    return Count(
        seen=len(every),
        issued=sum(one.issued for one in every),
        refused=sum(bool(one.refusals) for one in every),
        both=sum(one.issued and bool(one.refusals) for one in every),
        issued_twice=sum(len(one.certificates) > 1 for one in every),
        open=sum(not one.deleted for one in waiting),
        deleted_open=sum(one.deleted for one in waiting),
    )
