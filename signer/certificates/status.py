"""The status of a Certificate, composed whole from what was found; and what of it must be written.

Pure: the time is an argument. Statuses are JSON objects with the names of the API.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from cryptography import x509

from signer.api.certificate import NOT_ANSWERED, OF_REQUEST, Certificate
from signer.api.meta import Condition, find_condition, from_rfc3339, has_condition, set_condition, to_rfc3339
from signer.certificates.policies import SKEW
from signer.certificates.renewal import backoff, renewal_time, useful_until
from signer.certificates.spec.check import Defect, capped
from signer.certificates.well_known import ISSUING, READY

READY_MESSAGE = "Certificate is up to date and has not expired"
_FIELDS = (
    "conditions",
    "lastFailureTime",
    "notBefore",
    "notAfter",
    "renewalTime",
    "revision",
    "nextPrivateKeySecretName",
    "failedIssuanceAttempts",
)


@dataclass(frozen=True, slots=True)
class Status:
    """A status in the making: begin with `of`, add what was found, end with `patch`. `ends` is that of what is above the certificate."""

    certificate: Certificate
    conditions: tuple[Condition, ...]
    fields: Mapping[str, Any]
    ends: datetime | None = None

    @classmethod
    def of(cls, certificate: Certificate) -> "Status":
        """Begin with the status that the Certificate has."""
        raw = certificate.raw_status if isinstance(certificate.raw_status, dict) else {}
        fields = {name: raw[name] for name in _FIELDS[1:] if raw.get(name) is not None}
        return cls(certificate, certificate.status.conditions, fields)

    def readiness(
        self,
        defect: Defect | None,
        leaf: x509.Certificate | None,
        now: datetime,
        trust_ends: datetime | None = None,
        notes: Sequence[Defect] = (),
    ) -> "Status":
        """Set the Ready condition, and the dates of the certificate in the Secret; `trust_ends`: of those above it.

        `notes` are what is to be known of one that is in order: the first one's reason is the condition's.
        """
        dates: dict[str, Any] = {"notBefore": None, "notAfter": None, "renewalTime": None}
        if leaf is not None:
            begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
            dates = {
                "notBefore": to_rfc3339(begin),
                "notAfter": to_rfc3339(end),
                "renewalTime": to_rfc3339(
                    renewal_time(self.certificate.spec, begin, useful_until(begin, end, trust_ends))
                ),
            }
        status = "True" if defect is None else "False"
        in_order = Defect(notes[0].reason if notes else READY, "; ".join((READY_MESSAGE, *(n.message for n in notes))))
        return replace(self._set(READY, status, defect or in_order, now, dates), ends=trust_ends)

    def notes(self) -> tuple[Defect, ...]:
        """What Ready says beside being True: it stays said while a certificate is made."""
        ready = find_condition(self.conditions, READY)
        text = f"{READY_MESSAGE}; "
        if ready is None or ready.status != "True" or not ready.message.startswith(text):
            return ()
        return (Defect(ready.reason, ready.message.removeprefix(text)),)

    def refused(self, defect: Defect, now: datetime) -> "Status":
        """Set Ready to False without having looked at the Secret: nothing else is known."""
        return self._set(READY, "False", defect, now, {})

    def issuing(self, why: Defect, key_secret: str, now: datetime) -> "Status":
        """Begin an issuance. The name of the next key's Secret is set with it, so that it cannot be lost."""
        return self._set(ISSUING, "True", why, now, {"nextPrivateKeySecretName": key_secret})

    def stuck(self, why: Defect, now: datetime) -> "Status":
        """Say what keeps an issuance from going on, or, when none is under way, the Certificate from being kept.

        While an issuance is under way what is there may well be in order, so its own condition says it.
        """
        under_way = has_condition(self.conditions, ISSUING)
        return self._set(ISSUING, "True", why, now, {}) if under_way else self._set(READY, "False", why, now, {})

    def waiting(self, request: str, message: str, now: datetime) -> "Status":
        """Say in the conditions of an issuance under way what its CertificateRequest says; "" takes that away.

        The reasons stay: they say why it was begun. Ready is left alone while it is True.
        """
        said = f"{OF_REQUEST}{request} {NOT_ANSWERED} {message}" if message else ""
        status = self
        for kind, wanted in ((READY, "False"), (ISSUING, "True")):
            found = find_condition(status.conditions, kind)
            if found is not None and found.status == wanted:
                text = capped(found.message.partition(OF_REQUEST)[0] + said)
                status = status._set(kind, wanted, Defect(found.reason, text), now, {})
        return status

    def next_key(self, key_secret: str) -> "Status":
        """Note where the next private key is kept, for an issuance that somebody else began."""
        return replace(self, fields={**self.fields, "nextPrivateKeySecretName": key_secret})

    def issued(self, revision: int) -> "Status":
        """End an issuance well: the condition goes, as in cert-manager."""
        kept = tuple(c for c in self.conditions if c.type != ISSUING)
        fields = {
            **self.fields,
            "revision": revision,
            "nextPrivateKeySecretName": None,
            "lastFailureTime": None,
            "failedIssuanceAttempts": None,
        }
        return replace(self, conditions=kept, fields=fields)

    def failed(self, reason: str, message: str, now: datetime, *, mendable: bool = False) -> "Status":
        """End an issuance badly: it is tried again later, and sooner when what is `mendable` is mended."""
        attempts = (self.certificate.status.failed_issuance_attempts or 0) + 1
        again = f"The next try is at {to_rfc3339(now + backoff(self.certificate, attempts, now))}"
        if mendable:
            again = f"It goes on within a minute when this is mended. {again} in any case"
        text = f"The certificate request has failed to complete and will be retried: {message.rstrip('.')}. {again}"
        why = Defect(reason, text)
        return self._set(
            ISSUING,
            "False",
            why,
            now,
            {
                "lastFailureTime": to_rfc3339(now),
                "failedIssuanceAttempts": attempts,
                "nextPrivateKeySecretName": None,
            },
        )

    def until(self, now: datetime) -> datetime | None:
        """The next moment, `now` or later, from which what Ready says is no longer so by the certificate's dates; None: never."""
        begin, end = from_rfc3339(self.fields.get("notBefore")), from_rfc3339(self.fields.get("notAfter"))
        turns = (begin - SKEW if begin is not None else None, end, self.ends)
        return min((one for one in turns if one is not None and one >= now), default=None)

    def wish(self) -> Hashable:
        """What this status says, by value, without the times at which it was said: the same again says that it was undone."""
        ours = tuple(
            (one.type, one.status, one.reason, one.message, one.observed_generation)
            for one in self.conditions
            if one.type in (READY, ISSUING)
        )
        fields = sorted((name, value) for name, value in self.fields.items() if value is not None)
        return ours, tuple((name, str(value)) for name, value in fields if name != "lastFailureTime")

    def patch(self) -> dict[str, Any] | None:
        """The JSON merge patch for what differs from the Certificate's status, None when nothing does.

        It carries resourceVersion, so that a decision on old facts is refused instead of stored.
        """
        raw = self.certificate.raw_status if isinstance(self.certificate.raw_status, dict) else {}
        wanted = {**self.fields, "conditions": msgspec.to_builtins(list(self.conditions)) or None}
        changes = {name: wanted.get(name) for name in _FIELDS if wanted.get(name) != raw.get(name)}
        if not changes:
            return None
        return {
            "metadata": {"resourceVersion": self.certificate.metadata.resource_version},
            "status": changes,
        }

    def _set(self, kind: str, status: str, why: Defect, now: datetime, fields: Mapping[str, Any]) -> "Status":
        conditions = set_condition(
            self.conditions,
            kind,
            status,
            reason=why.reason,
            message=why.message,
            now=now,
            generation=self.certificate.metadata.generation,
        )
        return replace(self, conditions=conditions, fields={**self.fields, **fields})
