"""When a certificate is renewed, and when a failed issuance is tried again.

Pure: the time is an argument.
"""

from datetime import UTC, datetime, timedelta

from signer.api.certificate import Certificate, CertificateSpec
from signer.api.meta import find_condition, from_rfc3339
from signer.api.renew_before import renew_before_of
from signer.api.retry import ends_pause, retry_time
from signer.certificates.well_known import ISSUING

DEFAULT_DURATION = timedelta(days=90)
MIN_DURATION = timedelta(hours=1)
MIN_RENEW_BEFORE = timedelta(minutes=5)
MIN_AGE = timedelta(minutes=5)
SOON = timedelta(minutes=5)
"""After the first failure: many are over by then, and a CA that allows five failed validations an hour still allows three."""
FIRST_BACKOFF = timedelta(hours=1)
LONGEST_BACKOFF = timedelta(hours=32)


def renewal_time(spec: CertificateSpec, not_before: datetime, not_after: datetime) -> datetime:
    """The moment from which a certificate with these dates is to be renewed, in whole seconds (cut).

    renewBefore counts only when it is shorter than the certificate really lives, since an issuer may give less than
    asked: a renewal at once, for ever, would be the result. Without a setting the last third is for renewal. The cut
    to seconds makes this value equal to the one in the status, which is what a timer is set by.
    Unlike in cert-manager it is never before the first 5 minutes, or the first third of a shorter life, have passed:
    `duration: 1h, renewBefore: 59m59s` would otherwise renew every second.
    Source: https://cert-manager.io/docs/usage/certificate/#reissuance-triggered-by-expiry-renewal
    """
    lifetime = not_after - not_before
    before = renew_before_of(spec, lifetime) or lifetime / 3
    due = max(not_after - before, not_before + min(MIN_AGE, lifetime / 3))
    return due.astimezone(UTC).replace(microsecond=0)


def useful_until(not_before: datetime, not_after: datetime, trust_ends: datetime | None) -> datetime:
    """The end of a certificate, or of what is above it (`trust_ends`) where that ends first.

    What had ended before the certificate began counts for nothing: a new certificate would be no better.
    """
    return min(not_after, trust_ends) if trust_ends is not None and trust_ends > not_before else not_after


def backoff_left(certificate: Certificate, now: datetime) -> timedelta:
    """How long the next issuance must still wait after failed ones; zero when it need not.

    Five minutes after the first failure, an hour after the second, doubled by each further one, 32 hours at most. A change
    of the spec since the failure ends the wait: the failure belongs to the old wish. The generation of the Issuing condition
    tells. So does the owner, by an annotation with a later time (signer/api/retry.py).
    What is in use never waits longer than a twelfth of its life (but an hour), and an hour when a twentieth is left: a
    certificate of six days would else end between two tries.
    """
    status = certificate.status
    failed_at = from_rfc3339(status.last_failure_time)
    if failed_at is None or ends_pause(retry_time(certificate.metadata.annotations), failed_at, now):
        return timedelta(0)
    issuing = find_condition(status.conditions, ISSUING)
    if issuing is not None and issuing.observed_generation not in (None, certificate.metadata.generation):
        return timedelta(0)
    attempts = max(status.failed_issuance_attempts or 1, 1)
    return max(failed_at + backoff(certificate, attempts, now) - now, timedelta(0))


def backoff(certificate: Certificate, attempts: int, now: datetime) -> timedelta:
    """How long a Certificate waits after so many failed issuances, one at least, as things are now."""
    if attempts <= 1:
        return SOON
    # 2^5 hours is the longest; a larger exponent would only overflow.
    return min(FIRST_BACKOFF * (1 << min(attempts - 2, 10)), _longest(certificate, now))


def _longest(certificate: Certificate, now: datetime) -> timedelta:
    start, end = from_rfc3339(certificate.status.not_before), from_rfc3339(certificate.status.not_after)
    if start is None or end is None or start >= end:
        return LONGEST_BACKOFF
    if end - now < (end - start) / 20:
        return FIRST_BACKOFF
    return min(max((end - start) / 12, FIRST_BACKOFF), LONGEST_BACKOFF)
