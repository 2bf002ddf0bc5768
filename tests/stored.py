"""Every certificate that mesh-signer stores while the tests run is held against Go's and OpenSSL's verifiers.

A thread watches the shared cluster for certificates in the status of requests, and in Secrets, that were written by us (so
says managedFields). When a test ends, what came since is verified in one call: at its first second and at its last, since
a certificate never outlives the trust that its own ca.crt gives it. A test that has us store what cannot be verified says
why: @pytest.mark.unverified("reason"). What arrives later than its test's end counts at the next one, unless it was written
while a marked one ran; the message names the object.

What is trusted: for a Secret its ca.crt; else the roots that were seen in any Secret, and in the status of requests. What
ends at none of them (an ACME server's) is not looked at.
"""

import base64
import contextlib
import hashlib
import json
import threading
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.localmesh import Cluster
from tests.verifying import Question, refused_by_go, refused_by_openssl
from tests.watching import Following

Json = dict[str, Any]
_OURS = "mesh-signer"
_WATCHED = (
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/apis/cert-manager.io/v1/certificaterequests",
    "/api/v1/secrets",
)


@dataclass(frozen=True)
class Stored:
    """One certificate with what follows it, and what its holder was told to trust (b"" for nothing)."""

    where: str
    chain: bytes
    ca: bytes
    written: float
    """Seconds since 1970, whole: when one of us last wrote it."""


class Watch:
    """What was stored, and every root that was seen. One thread for each resource fills it; tests empty it."""

    def __init__(self, cluster: Cluster) -> None:
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self._new: list[Stored] = []
        self._texts: list[bytes] = []
        self._read: set[bytes] = set()
        self._roots: dict[x509.Certificate, None] = {}
        self._following = Following(cluster, _WATCHED, self._note)

    def close(self) -> None:
        """End all watches."""
        self._following.close()

    def take(self) -> list[tuple[Stored, bytes]]:
        """What is new, each with the roots to trust; what ends at no root that is known is left out."""
        with self._lock:
            new, self._new = self._new, []
            texts, self._texts = self._texts, []
        self._trust(texts)
        known = list(self._roots)
        found = [(one, one.ca or _roots_of(one.chain, known)) for one in new]
        return [(one, roots) for one, roots in found if roots]

    def _note(self, event: str, obj: Json) -> None:
        if event == "DELETED":
            return
        meta, status, data = obj["metadata"], obj.get("status", {}), obj.get("data", {})
        where = f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}"
        if obj["kind"] == "Secret":
            # What tests write with a client of ours has another manager.
            chain, ca, manager, names = data.get("tls.crt", ""), data.get("ca.crt", ""), f"{_OURS}-", "tls.crt ca.crt"
        else:
            chain, ca, manager, names = status.get("certificate", ""), status.get("ca", ""), _OURS, "certificate ca"
        fields = [f"f:{name}" for name, value in zip(names.split(), (chain, ca), strict=True) if value]
        by_us = [entry for entry in meta.get("managedFields", []) if entry["manager"].startswith(manager)]
        times = [datetime.fromisoformat(entry["time"]).timestamp() for entry in by_us if "time" in entry]
        one = Stored(where, base64.b64decode(chain), base64.b64decode(ca), max(times, default=0.0))
        with self._lock:
            self._texts += (one.ca, one.chain)
        ours = json.dumps(by_us)
        if not one.chain or not all(f'"{field}"' in ours for field in fields):
            return
        key = hashlib.sha256(one.chain + one.ca).digest()
        with self._lock:
            if key not in self._seen:
                self._seen.add(key)
                self._new.append(one)

    def _trust(self, texts: Sequence[bytes]) -> None:
        for text in texts:
            key = hashlib.sha256(text).digest()
            if not text or key in self._read:
                continue
            self._read.add(key)
            try:
                found = x509.load_pem_x509_certificates(text)
            except ValueError:
                continue  # a test's own broken Secret
            self._roots.update((one, None) for one in found if _self_issued(one))


def _self_issued(certificate: x509.Certificate) -> bool:
    try:
        return certificate.subject == certificate.issuer
    except ValueError:
        return False  # a name that pyca does not read: a leaf of the corpus


def _roots_of(chain: bytes, known: Sequence[x509.Certificate]) -> bytes:
    """The roots that signed the last certificate of a chain, PEM."""
    try:
        last = x509.load_pem_x509_certificates(chain)[-1]
    except ValueError:
        return chain  # to be told of
    return b"".join(root.public_bytes(Encoding.PEM) for root in known if root == last or _signed(root, last))


def _signed(root: x509.Certificate, last: x509.Certificate) -> bool:
    try:
        last.verify_directly_issued_by(root)
    except Exception:  # noqa: BLE001 - another name, another kind of key, another signature
        return False
    return True


def refused(found: Sequence[tuple[Stored, bytes]]) -> list[str]:
    """What Go or OpenSSL does not accept, at the first second or the last, said in words."""
    asked: list[tuple[str, Question]] = []
    wrong = []
    for one, roots in found:
        try:
            leaf = x509.load_pem_x509_certificates(one.chain)[0]
        except ValueError as error:
            wrong.append(f"{one.where}: {error}")
            continue
        asked += [
            (f"{one.where} at {moment:%Y-%m-%dT%H:%M:%SZ}", Question(one.chain, roots, moment))
            for moment in (leaf.not_valid_before_utc, leaf.not_valid_after_utc - timedelta(seconds=1))
        ]
    by_go = refused_by_go([question for _, question in asked]) if asked else []
    wrong += [f"{where}: Go: {text}" for (where, _), text in zip(asked, by_go, strict=True) if text]
    for where, question in asked:
        if text := refused_by_openssl(question):
            wrong.append(f"{where}: OpenSSL: {text}")
    return wrong


WATCHES: list[Watch] = []


@dataclass
class _Marked:
    """When tests ran whose certificates are not verified: from the end of the test before to their own."""

    ran: list[tuple[float, float]] = field(default_factory=list)
    ended: float = 0.0

    def spare(self, one: Stored) -> bool:
        return any(int(began) <= one.written <= ended for began, ended in self.ran[-_LATE:])


_MARKED = _Marked()
# What arrives late comes from one of the last tests.
_LATE = 20


@contextlib.contextmanager
def watching(cluster: Cluster) -> Iterator[None]:
    """Look at what is stored in a cluster until the block ends."""
    watch = Watch(cluster)
    WATCHES.append(watch)
    try:
        yield
    finally:
        WATCHES.remove(watch)
        watch.close()


def at_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Around the teardown of a test: what it had us store is taken before its fixtures clean up, and verified after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are longer than pyca likes
        found = [one for watch in WATCHES for one in watch.take() if not _MARKED.spare(one[0])]
    if item.get_closest_marker("unverified"):
        _MARKED.ran.append((_MARKED.ended, time.time()))
    _MARKED.ended = time.time()
    try:
        return (yield)
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = [] if item.get_closest_marker("unverified") else refused(found)
        if wrong:
            raise AssertionError("stored, and not to be verified: " + "; ".join(wrong))
