"""Certificates whose last request was refused for what others can mend go on when they did, and do not wait for hours.

What a refusal rests on (policies, namespaces, CAs, public hosts) is much, and changes all the time. So nobody is told of each
change: those that wait are judged again four times a minute, in memory, and nothing is written while the answer is the same.
Used on the loop; `look_again` is one task.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import from_rfc3339
from signer.certificates import steps
from signer.certificates.objects import Key, Objects
from signer.certificates.requests.again import SecondLook, mendable
from signer.certificates.watched import Watched
from signer.kube.errors import ApiError, Unreachable
from signer.kube.pacing import Pacing
from signer.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

# So often it is looked whether a refusal is mended, and no sooner after it.
LOOK_AGAIN = timedelta(seconds=15)


class Mending:
    """Knows who waits for others. `again` judges; without it nobody goes on before his time."""

    def __init__(self, watched: Watched, objects: Objects, queue: WorkQueue[Key], pacing: Pacing[Key]) -> None:
        self.again: SecondLook | None = None
        self._watched = watched
        self._objects = objects
        self._queue = queue
        self._pacing = pacing
        self._waiting: set[Key] = set()

    def forget(self, key: Key) -> None:
        """The Certificate is gone."""
        self._waiting.discard(key)

    async def mended(self, certificate: Certificate, now: datetime) -> bool:
        """Tell whether the last request was refused, and would be granted now: then there is nothing to wait for.

        A pause that grows keeps apart those who mend and undo it again and again. Raises ApiError, Unreachable.
        """
        meta = certificate.metadata
        key = (meta.namespace, meta.name)
        request = self._refused(certificate)
        if request is None or self.again is None:
            self._waiting.discard(key)
            return False
        self._waiting.add(key)
        failed = from_rfc3339(certificate.status.last_failure_time) or now
        left = max(failed + LOOK_AGAIN - now, self._pacing.left(key, now))
        if left > timedelta(0):
            self._queue.add_after(key, left.total_seconds())
            return False
        if not await self.again.passes(request):
            return False
        self._waiting.discard(key)
        self._pacing.note(key, now)
        message = f"CertificateRequest {request.metadata.name} was refused, and would be granted now: it is made anew"
        self._objects.emitter(CERTIFICATES, certificate)("Normal", "RefusalMended", message)
        return True

    async def look_again(self) -> None:
        """Find those whose refusal is mended, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_AGAIN.total_seconds())
            for key in sorted(self._waiting):
                if await self._goes_on(key):
                    self._queue.add(key)
                await asyncio.sleep(0)  # the watches come first, however many wait

    async def _goes_on(self, key: Key) -> bool:
        certificate = self._watched.certificates.store.get(key)
        request = self._refused(certificate) if certificate is not None else None
        if request is None or self.again is None:
            self._waiting.discard(key)  # it goes on already
            return False
        try:
            return await self.again.passes(request)
        except (ApiError, Unreachable) as error:
            logger.debug("Certificate %s/%s: its refusal was not judged again: %s", *key, error)
            return False

    def _refused(self, certificate: Certificate) -> CertificateRequest | None:
        """The request of the last issuance, where it was refused for what others can mend."""
        request = steps.next_request(certificate, self._watched.requests_of(certificate))
        return request if request is not None and mendable(request) else None
