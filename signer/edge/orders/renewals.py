"""When certificates of ACME issuers are renewed: when the CA advises it (ARI, RFC 9773), by our own rule, or at their end.

An issuance begins as by `cmctl renew`, by the Issuing condition. The controller of Certificates renews at
status.renewalTime by itself; whichever comes first counts. The instant in the CA's window follows from the serial number,
so that it is the same after a restart. Runs on the loop, in the leader.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from issuers.acme.errors import AcmeError, RateLimited, judge
from issuers.acme.renewal import (
    SHORT_LIFE,
    Advice,
    Why,
    certificate_id,
    emergency,
    life,
    next_check,
    plan,
    rested,
    take_advice,
)
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.event import ObjectReference, named, reference_to
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, has_condition, set_condition
from signer.api.renew_before import renew_before_of
from signer.api.secret import SECRETS, read_secret
from signer.api.tls_secret import is_placeholder, read_leaf
from signer.edge.issuers.accounts import Account
from signer.edge.issuers.shares import BUSY_RECHECK, Shares
from signer.edge.issuers.term import Term
from signer.edge.orders.gate import OrderGate
from signer.kube.errors import Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key
from signer.observe.notices import Notice, Notices

log = logging.getLogger(__name__)

_SOON, _HOUR = timedelta(minutes=5), timedelta(hours=1)
_LONGEST = 3600.0
_NEARLY_EXPIRED = Notice("Warning", "NearlyExpired", "The certificate has nearly expired and is not renewed yet")


@dataclass(frozen=True, slots=True)
class _Row:
    """How many certificates of a Certificate in a row were renewed by advice that was past as soon as they had rested."""

    certificate_id: str
    count: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What the CA said of a certificate last (None: it has no ARI), and when it is asked again."""

    certificate_id: str
    advice: Advice | None
    ask_at: datetime


_WHY = {
    Why.ADVICE: "as the CA advises (RFC 9773)",
    Why.RULE: "as enough of its life has passed",
    Why.ASKED: "as its renewBefore says",
    Why.EMERGENCY: "as it has nearly expired",
}


class RenewalController:
    """Asks for advice on each certificate of an ACME issuer. `queue` holds Certificates' keys."""

    def __init__(
        self,
        term: Term,
        certificates: Reflector[Certificate],
        gate: OrderGate,
        queue: WorkQueue[Key],
    ) -> None:
        self._client = term.client
        self._recorder = term.recorder
        self._notices = Notices(term.recorder)
        self._certificates = certificates
        self._accounts = term.accounts
        self._clock = term.clock
        self._shares = Shares(cluster=1, tenant=1)
        self._gate = gate
        self._advised: dict[Key, _Known] = {}
        self._rows: dict[Key, _Row] = {}
        self.queue = queue
        certificates.subscribe(self._changed)
        term.accounts.on_ready(self._account_ready)

    def _changed(self, change: Change[Certificate]) -> None:
        if change.kind == "synced":
            return
        if change.new is None:
            self._advised.pop(change.key, None)
            self._rows.pop(change.key, None)
            self._forget(change.key)
        elif change.old is None or change.old.status != change.new.status:
            self.queue.add(change.key)

    def _account_ready(self, ref: IssuerRef) -> None:
        for key, one in self._certificates.store.items():
            if one.spec.issuer_ref.ours and one.spec.issuer_ref.resolve(key[0]) == ref:
                self.queue.add(key)

    def about(self, key: Key) -> list[ObjectReference]:
        """Refer to the Certificate of this key, while there is one."""
        found = self._certificates.store.get(key)
        return [reference_to(CERTIFICATES, found.metadata)] if found is not None else []

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
        try:
            found = read_secret(await self._client.get(SECRETS, certificate.spec.secret_name, key[0]))
        except NotFound:
            return
        leaf = read_leaf(found)
        name = certificate_id(leaf) if leaf is not None else None
        if leaf is None or name is None or is_placeholder(leaf):
            return
        fraction = (leaf.serial_number % 9973) / 9973
        known = self._advised.get(key)
        if known is None or known.certificate_id != name or known.ask_at <= now:
            with self._shares.turn(ref) as mine:
                if not mine:
                    self.queue.add_after(key, BUSY_RECHECK)
                    return
                known = await self._ask(account, name, known, fraction, now)
            self._advised[key] = known
        of, advice = life(leaf), known.advice
        past = advice is not None and advice.window.end < now
        if past:
            self._gate.overdue(name)
        hurry = past or emergency(of, now)
        renew_before = renew_before_of(certificate.spec, of.length)
        before = self._in_a_row(key, name)
        planned = plan(of, now, advice=advice, fraction=fraction, renew_before=renew_before, in_a_row=before)
        self._warn(key, certificate, alarm=planned.alarm)
        if advice is None and not hurry and not (planned.why is Why.RULE and of.length < SHORT_LIFE):
            # status.renewalTime says when; it knows no other rule for short lives.
            self._later(key, known.ask_at, now)
            return
        at = max(planned.at, _resting(certificate, hurry=hurry) or planned.at)
        if at > now:
            self._later(key, min(at, known.ask_at), now)
            return
        if planned.why is Why.ADVICE and advice is not None and advice.instant <= rested(of, before):
            self._rows[key] = _Row(name, before + 1)
        else:
            self._rows.pop(key, None)
        await self._begin(key, certificate, planned.why)

    def _in_a_row(self, key: Key, name: str) -> int:
        """How many certificates before this one had advice that was past; it does not count itself, when it is begun again."""
        row = self._rows.get(key)
        return row.count - (row.certificate_id == name) if row is not None else 0

    async def _ask(self, account: Account, name: str, known: _Known | None, fraction: float, now: datetime) -> _Known:
        """What the CA advises; when it does not answer, what it said last of this certificate."""
        before = known.advice if known is not None and known.certificate_id == name else None
        try:
            info = await account.session.renewal_info(name)
        except AcmeError as error:
            verdict = judge(error, now)
            asked = verdict.not_before if isinstance(verdict, RateLimited) else None
            return _Known(name, before, next_check(now, asked, fraction))
        if info is None:
            return _Known(name, None, next_check(now, None, fraction))
        return _Known(name, take_advice(info.window, fraction, before), next_check(now, info.retry_after, fraction))

    def _warn(self, key: Key, certificate: Certificate, *, alarm: bool) -> None:
        """Tell once when hardly anything is left: a person should look."""
        about = reference_to(CERTIFICATES, certificate.metadata)
        if self._notices.say(about, [_NEARLY_EXPIRED] if alarm else []):
            log.warning("Certificate %s/%s: nearly expired, and not renewed yet", *key)

    def _forget(self, key: Key) -> None:
        self._notices.forget(named(CERTIFICATES, *key))

    def _later(self, key: Key, at: datetime, now: datetime) -> None:
        self.queue.add_after(key, min(max((at - now).total_seconds(), 1.0), _LONGEST))

    async def _begin(self, key: Key, certificate: Certificate, why: Why) -> None:
        meta = certificate.metadata
        message = f"Renewing certificate, {_WHY[why]}"
        conditions = set_condition(
            certificate.status.conditions,
            "Issuing",
            "True",
            reason=str(why),
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
        except Conflict as error:
            self.queue.add_backoff(key, why=error)
            return
        except NotFound:
            return
        self._recorder.emit(reference_to(CERTIFICATES, certificate.metadata), "Normal", str(why), message)


def _resting(certificate: Certificate, *, hurry: bool) -> datetime | None:
    """Until when a Certificate whose last issuance failed is left alone: five minutes, then an hour, two, and so on up to 32.

    Who is in a hurry waits an hour at most.
    """
    failed = from_rfc3339(certificate.status.last_failure_time)
    if failed is None:
        return None
    attempts = min(max(certificate.status.failed_issuance_attempts or 1, 1), 7)
    if attempts == 1:
        return failed + _SOON
    return failed + (_HOUR if hurry else _HOUR * (1 << (attempts - 2)))
