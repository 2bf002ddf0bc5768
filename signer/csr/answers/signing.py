"""Carries a verdict out: signs or refuses, writes the intent down, and starts the write. Used on the loop.

A thread signs with RSA CA keys of 4096 bits and more alone; all other keys sign on the loop, in less than a
millisecond.
"""

import asyncio
import logging
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from issuers.certificate import new_serial
from issuers.errors import SigningFailed
from signer.api.certificatesigningrequest import RequestContent
from signer.csr.answers.compose import issue, refuse
from signer.csr.answers.delivery import Delivery
from signer.csr.outcome import Issue
from signer.csr.queue.backlog import Pending
from signer.csr.queue.flow import claimed_identity
from signer.csr.record import Record
from signer.tenancy.verdict import Refuse

log = logging.getLogger(__name__)

_SLOW_RSA_BITS = 4096


class Signing:
    """Answers requests as it was decided, by `delivery`."""

    def __init__(self, delivery: Delivery, record: Record) -> None:
        self._delivery = delivery
        self._record = record

    def refuse(self, pending: Pending, verdict: Refuse, content: RequestContent, now: datetime) -> None:
        """Refuse a request."""
        identity = claimed_identity(content.request) if pending.mesh else None
        self.deny(pending, verdict, content.username, str(identity) if identity else "", now)

    def deny(self, pending: Pending, verdict: Refuse, requester: str, identity: str, now: datetime) -> None:
        """Refuse a request; `identity` is who was asked for, "" for nobody who can be named."""
        answer = refuse(pending.csr, verdict, requester=requester, now=now, identity=identity)
        self._record.intent(pending, answer)
        self._delivery.start(pending, self._delivery.write(pending, answer))

    def issue(self, pending: Pending, verdict: Issue) -> None:
        """Sign what was decided; when that fails, the request is tried again."""
        key = verdict.authority.key if verdict.authority is not None else verdict.key
        if isinstance(key, RSAPrivateKey) and key.key_size >= _SLOW_RSA_BITS:
            self._delivery.start(pending, self._off_loop(pending, verdict))
            return
        try:
            answer = issue(pending.csr, verdict, serial=new_serial())
        except SigningFailed as error:
            self._failed(pending, error)
            return
        self._record.intent(pending, answer)
        self._delivery.start(pending, self._delivery.write(pending, answer))

    async def _off_loop(self, pending: Pending, verdict: Issue) -> None:
        try:
            answer = await asyncio.to_thread(issue, pending.csr, verdict, serial=new_serial())
        except SigningFailed as error:
            self._failed(pending, error)
            return
        self._record.intent(pending, answer)
        await asyncio.sleep(0)  # the intent is written before the answer is sent
        await self._delivery.write(pending, answer)

    def _failed(self, pending: Pending, error: SigningFailed) -> None:
        log.error("request %s: signing with %s failed: %s", pending.csr.name, pending.ref, error)
        self._record.tell(pending, "Warning", "SigningError", f"Error signing certificate: {error}")
        self._delivery.try_again(pending)
