"""Many requests at once, made as istiod makes them, through whatever befalls the API server; and the count at the end.

Concurrency: threads with a connection each. The count is an independent watcher's, never our own metrics.
"""

import functools
import http.client
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from cryptography import x509

from tests import pki
from tests.integration.hot_path import DURATION, Place
from tests.integration.plain_api import Api, Json, Refused
from tests.localmesh import Cluster, kubeconfig
from tests.localmesh.signer import SignerProcess
from tests.localmesh.watcher import Seen, Watcher

_THREADS = 4
PATIENCE = 180.0
REQUEST = pki.workload_csr("foo", "burst")


class Burst:
    """`count` approved requests for a signer; every tenth asks for too short a life, so it must be refused.

    `after(name)` is called in the making thread when a request was approved. With `pause`, each of the four threads waits
    so many seconds between two requests: a steady load, which `enough` ends.
    """

    def __init__(
        self,
        cluster: Cluster,
        signer: str,
        count: int,
        *,
        after: Callable[[Api, str], object] = lambda _api, _name: None,
        pause: float = 0,
    ) -> None:
        self.cluster = cluster
        self.prefix = f"burst-{secrets.token_hex(4)}-"
        self.count = count
        self.approved = 0
        self._signer = signer
        self._after = after
        self._pause = pause
        self._enough = threading.Event()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_THREADS)]

    @property
    def bad(self) -> int:
        """How many must be refused."""
        return len(range(0, self.count, 10))

    def start(self) -> "Burst":
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def join(self) -> "Burst":
        """Wait until all are made and approved."""
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._stop.set()
        assert self._error is None, f"the burst failed: {self._error!r}"
        assert self.approved == self.count, f"only {self.approved} of {self.count} were made"
        return self

    def enough(self) -> "Burst":
        """Make no more than are begun, and wait for these; `count` is what there is then."""
        self._enough.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self.count = next(self._numbers)
        return self.join()

    def reach(self, number: int) -> None:
        """Wait until so many are approved."""
        deadline = time.monotonic() + PATIENCE
        while self.approved < number:
            assert self._error is None, f"the burst failed: {self._error!r}"
            assert time.monotonic() < deadline, f"only {self.approved} of {number} were made"
            time.sleep(0.005)

    def answered(self, watcher: Watcher, number: int) -> None:
        """Wait until so many are answered."""
        watcher.wait_for(
            lambda seen: sum(one.ended for one in seen.values() if self.mine(one)) >= number, f"{number} answers"
        )

    def mine(self, one: Seen) -> bool:
        """Whether the watcher speaks of a request of this burst."""
        return one.name.startswith(self.prefix)

    def _work(self) -> None:
        place = Place(self.cluster, Api(kubeconfig.read(self.cluster.kubeconfig())))
        try:
            while not self._over() and (number := next(self._numbers)) < self.count:
                self._one(place, f"{self.prefix}{number}", bad=number % 10 == 0)
                self._enough.wait(self._pause)
        except Exception as error:  # noqa: BLE001 - told by whoever waits
            self._error = error
        finally:
            place.api.close()

    def _over(self) -> bool:
        return self._stop.is_set() or self._enough.is_set()

    def _one(self, place: Place, name: str, *, bad: bool) -> None:
        annotations = {DURATION: "1m"} if bad else {}
        made: Json = self._insist(lambda: place.create(self._signer, REQUEST, name=name, annotations=annotations), 409)
        while True:
            made = made or self._insist(lambda: place.look(name))
            if any(one["type"] == "Approved" for one in made.get("status", {}).get("conditions", [])):
                break
            made = self._insist(functools.partial(place.approve, made), 409)
        with self._lock:
            self.approved += 1
        self._after(place.api, name)

    def _insist(self, call: Callable[[], Json], accept: int = 0) -> Json:
        """Do it again until the API server is back; {} when it answered with the code `accept`."""
        while True:
            try:
                return call()
            except Refused as error:
                if error.code == accept:
                    return {}
                if error.code not in {429, 500, 503, 504}:
                    raise
            except (OSError, http.client.HTTPException):
                pass
            if self._stop.wait(0.1):
                raise TimeoutError


def conclude(
    burst: Burst, watcher: Watcher, signers: Sequence[SignerProcess], *, crashed: bool = False, lost: bool = False
) -> None:
    """Wait for all answers; each request was issued once or refused with its reason, and the audit log knows of each.

    After a crash the outcome line of an answer may be missing, its intent never. Where the answers to writes were lost,
    two replicas may both say that they have refused a request: in the same second, with the same words, nobody can tell.
    """
    burst.join()

    def ended(seen: dict[str, Seen]) -> bool:
        own = [one for one in seen.values() if burst.mine(one)]
        return len(own) == burst.count and all(one.ended for one in own)

    watcher.wait_for(lambda seen: ended(dict(seen)), f"{burst.count} answers", PATIENCE)
    count = watcher.count(burst.mine)
    assert (count.seen, count.issued, count.refused) == (burst.count, burst.count - burst.bad, burst.bad)
    assert (count.both, count.issued_twice, count.open) == (0, 0, 0)
    own = {one.uid: one for one in watcher.snapshot().values() if burst.mine(one)}
    assert all(one.refusals[0].startswith("Failed: InvalidDuration: ") for one in own.values() if one.refusals)
    check_audit(own, signers, crashed=crashed, lost=lost)


def check_audit(own: dict[str, Seen], signers: Sequence[SignerProcess], *, crashed: bool, lost: bool = False) -> None:
    """Every certificate in the API server has its intent line, with its serial, and one outcome `stored`."""

    def outcomes() -> list[str]:
        return [
            line["uid"]
            for process in signers
            for line in process.audit()
            if line["uid"] in own and line.get("outcome") in {"stored", "refused"}
        ]

    if not crashed:
        signers[0].cluster.wait_for(lambda: len(outcomes()) >= len(own), "the outcome lines")
    intents = {
        (line["uid"], line.get("serial", ""))
        for process in signers
        for line in process.audit()
        if line["audit"] == "intent"
    }
    for one in own.values():
        serial = f"{x509.load_pem_x509_certificate(one.certificates[0].encode()).serial_number:x}" if one.issued else ""
        assert (one.uid, serial) in intents, f"{one.name}: no intent in the audit log"
    told = [uid for uid in outcomes() if own[uid].issued] if lost else outcomes()
    assert len(told) == len(set(told)), "an answer was recorded as stored twice"
    if not crashed:
        assert set(outcomes()) == set(own)


def ca_issuer(place: Place, name: str) -> str:
    """A ClusterIssuer with a CA of its own."""
    return place.ca_issuer(name, pki.CA(name))


def exit_status(process: SignerProcess, timeout: float = 60) -> int:
    """Wait for a process that was told to end; its exit status."""
    popen = process._process.popen
    assert popen is not None
    status = popen.wait(timeout)
    process._process.popen = None
    return status
