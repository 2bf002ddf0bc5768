"""Renewal when the CA advises it (ARI, RFC 9773): begins an issuance as `cmctl renew` does, by the Issuing condition.

The controller of Certificates renews at status.renewalTime by itself; whichever comes first counts. The instant in the
CA's window follows from the serial number, so that it is the same after a restart. A CA without ARI is asked nothing more.
Runs on the loop, in the leader; the conversation with the CA is in threads.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509

from issuers.acme.client import Session
from issuers.acme.errors import AcmeError, RateLimited, judge
from issuers.acme.renewal import certificate_id, life, next_check, plan, take_advice
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, has_condition, set_condition
from signer.api.secret import SECRETS, TLS_CERT, Secret
from signer.edge.accounts import Accounts
from signer.edge.placeholder import is_placeholder
from signer.edge.shares import BUSY_RECHECK, Shares
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key
from signer.observe.events import EventRecorder, ObjectReference

log = logging.getLogger(__name__)

_FIRST_FAILURE = timedelta(hours=1)
_LONGEST = 3600.0


class RenewalController:
    """Asks for advice on each certificate of an ACME issuer. `queue` holds Certificates' keys."""

    def __init__(
        self,
        client: ApiClient,
        recorder: EventRecorder,
        certificates: Reflector[Certificate],
        accounts: Accounts,
        queue: WorkQueue[Key],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._certificates = certificates
        self._accounts = accounts
        self._clock = clock
        self._shares = Shares(cluster=1, tenant=1)
        self._advised: dict[Key, tuple[str, datetime, datetime]] = {}  # CertID, when to renew, when to ask again
        self.queue = queue
        certificates.subscribe(self._changed)
        accounts.on_ready(self._account_ready)

    def _changed(self, change: Change[Certificate]) -> None:
        if change.kind == "synced":
            return
        if change.new is None:
            self._advised.pop(change.key, None)
        elif change.old is None or change.old.status != change.new.status:
            self.queue.add(change.key)

    def _account_ready(self, ref: IssuerRef) -> None:
        for key, one in self._certificates.store.items():
            if one.spec.issuer_ref.ours and one.spec.issuer_ref.resolve(key[0]) == ref:
                self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Look at one Certificate: begin its renewal when its time has come."""
        certificate = self._certificates.store.get(key)
        if certificate is None or certificate.metadata.deletion_timestamp or certificate.problem:
            return
        status, now = certificate.status, self._clock()
        reference = certificate.spec.issuer_ref
        ref = reference.resolve(key[0]) if reference.ours else None
        account = self._accounts.get(ref) if ref is not None else None
        if (
            account is None
            or ref is None
            or has_condition(status.conditions, "Issuing")
            or not has_condition(status.conditions, "Ready")
        ):
            return
        if (until := _resting(certificate)) is not None and until > now:
            self._later(key, until, now)
            return
        try:
            found = msgspec.convert(await self._client.get(SECRETS, certificate.spec.secret_name, key[0]), Secret)
            leaf = x509.load_pem_x509_certificate(found.data.get(TLS_CERT, b""))
        except (NotFound, ValueError):
            return
        name = certificate_id(leaf)
        if name is None or is_placeholder(leaf):
            return
        fraction = (leaf.serial_number % 9973) / 9973
        known = self._advised.get(key)
        if known is None or known[0] != name or known[2] <= now:
            try:
                with self._shares.turn(ref) as mine:
                    if not mine:
                        self.queue.add_after(key, BUSY_RECHECK)
                        return
                    info = await account.sessions.call(Session.renewal_info, name)
            except AcmeError as error:
                verdict = judge(error, now)
                asked = verdict.not_before if isinstance(verdict, RateLimited) else None
                self._later(key, next_check(now, asked, fraction), now)
                return
            if info is None:
                return  # no ARI: status.renewalTime decides
            advice = take_advice(info.window, fraction)
            when = plan(life(leaf), now, advice=advice, fraction=fraction).at
            known = self._advised[key] = (name, when, next_check(now, info.retry_after, fraction))
        _, when, again = known
        if when <= now:
            await self._begin(key, certificate)
            return
        self._later(key, min(when, again), now)

    def _later(self, key: Key, at: datetime, now: datetime) -> None:
        self.queue.add_after(key, min(max((at - now).total_seconds(), 1.0), _LONGEST))

    async def _begin(self, key: Key, certificate: Certificate) -> None:
        meta = certificate.metadata
        message = "Renewing certificate, as the CA advises (RFC 9773)"
        conditions = set_condition(
            certificate.status.conditions,
            "Issuing",
            "True",
            reason="RenewalInfo",
            message=message,
            now=self._clock(),
            generation=meta.generation,
        )
        body: dict[str, Any] = {
            "metadata": {"resourceVersion": meta.resource_version},
            "status": {"conditions": msgspec.to_builtins(conditions)},
        }
        try:
            await self._client.patch(CERTIFICATES, meta.name, body, namespace=meta.namespace, subresource="status")
        except Conflict:
            self.queue.add_backoff(key)
            return
        except NotFound:
            return
        about = ObjectReference(
            CERTIFICATES.api_version, CERTIFICATES.kind, meta.namespace, meta.name, meta.uid, meta.resource_version
        )
        self._recorder.emit(about, "Normal", "RenewalInfo", message)


def _resting(certificate: Certificate) -> datetime | None:
    """Until when a Certificate whose last issuance failed is left alone: an hour, doubled by each failure, 32 at most."""
    failed = from_rfc3339(certificate.status.last_failure_time)
    if failed is None:
        return None
    attempts = min(max(certificate.status.failed_issuance_attempts or 1, 1), 6)
    return failed + _FIRST_FAILURE * (1 << (attempts - 1))
