"""When a certificate is renewed: the CA's advice (ARI, RFC 9773), our own rule without it, and the emergency. Pure.

One instant is chosen once and kept by the caller, so that a restart does not throw the dice again. `fraction` is a
random number in [0, 1), drawn by the caller.
"""

import base64
import datetime as dt
import enum
from dataclasses import dataclass

from cryptography import x509

from issuers.acme.answers import Window
from issuers.x509 import parts
from issuers.x509.der import DerError
from issuers.x509.extensions import AUTHORITY_KEY_IDENTIFIER, read_authority_key

# RFC 9773, section 4.3.2: a client bounds Retry-After itself; without one, or after a failure, six hours (4.3.3).
CHECK_AT_LEAST = dt.timedelta(hours=1)
CHECK_AT_MOST = dt.timedelta(hours=24)
CHECK_UNTOLD = dt.timedelta(hours=6)
_JITTER = 0.1

# Certificates with a shorter life than this are renewed at half of it (Let's Encrypt's advice for its 6-day profile).
SHORT_LIFE = dt.timedelta(days=10)
# What is left of the life when advice is no longer listened to, and when a person must be woken.
EMERGENCY = 20
ALARM = 50
# A CA that always says "now" must not be asked for a new certificate all the time. NotBefore may lie before the issuance (Let's
# Encrypt's by an hour), so the rest that is counted from it grows with each certificate that was renewed as soon as it had rested.
_REST = dt.timedelta(hours=1)
_LONGEST_REST = dt.timedelta(days=1)
_MOST_IN_A_ROW = 8


@dataclass(frozen=True, slots=True)
class Life:
    """A certificate's life, aware UTC. `end` is NotAfter."""

    start: dt.datetime
    end: dt.datetime

    @property
    def length(self) -> dt.timedelta:
        """All of it."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Advice:
    """What ARI said last: the window, and the one instant in it that was chosen. This is kept in a status."""

    window: Window
    instant: dt.datetime


class Why(enum.StrEnum):
    """What decided the instant."""

    ADVICE = "RenewalInfo"
    RULE = "RemainingLife"
    ASKED = "RenewBefore"
    EMERGENCY = "NearlyExpired"


@dataclass(frozen=True, slots=True)
class Plan:
    """Renew at `at` (at once when it is past). `alarm` says that a person should know now."""

    at: dt.datetime
    why: Why
    alarm: bool = False


def life(leaf: x509.Certificate) -> Life:
    """The life of a certificate."""
    return Life(leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def emergency(of: Life, now: dt.datetime) -> bool:
    """Whether so little of the life is left that advice, pauses and limits of our own no longer count."""
    return of.end - now < of.length / EMERGENCY


def certificate_id(leaf: x509.Certificate) -> str | None:
    """The CertID of RFC 9773, section 4.1; None when the certificate has no authority key identifier.

    Both parts are base64url without padding: the key identifier, and the serial number's bytes in DER, sign byte
    included.
    """
    try:
        value = parts.extension(leaf, AUTHORITY_KEY_IDENTIFIER)
        identifier = read_authority_key(value).key_id if value is not None else None
    except DerError:
        return None
    if not identifier:
        return None
    serial = leaf.serial_number
    # One bit more than the number has, for the sign.
    encoded = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    return f"{_base64url(identifier)}.{_base64url(encoded)}"


def take_advice(window: Window, fraction: float, kept: Advice | None = None) -> Advice:
    """The instant for a window: the one that was kept while the window still holds it, else a new one anywhere in it."""
    if kept is not None and window.start <= kept.instant <= window.end:
        return Advice(window, kept.instant)
    return Advice(window, window.start + (window.end - window.start) * fraction)


def next_check(now: dt.datetime, retry_after: dt.datetime | None, fraction: float) -> dt.datetime:
    """When to ask for renewalInfo again: by Retry-After, 1 to 24 hours away, up to a tenth later.

    The tenth is for the CA: not all ask at the same time.
    """
    wait = CHECK_UNTOLD if retry_after is None else retry_after - now
    wait = min(max(wait, CHECK_AT_LEAST), CHECK_AT_MOST)
    return now + min(wait * (1 + _JITTER * fraction), CHECK_AT_MOST)


def rule(of: Life, fraction: float, renew_before: dt.timedelta | None = None) -> Plan:
    """Without advice: a third of the life left, half of a short one; or what the Certificate's renewBefore says.

    `fraction` moves it up to a fiftieth of the life earlier.
    """
    if renew_before is not None and dt.timedelta() < renew_before < of.length:
        return Plan(of.end - renew_before, Why.ASKED)
    left = of.length / 2 if of.length < SHORT_LIFE else of.length / 3
    return Plan(of.end - left - of.length / 50 * fraction, Why.RULE)


def rested(of: Life, in_a_row: int = 0) -> dt.datetime:
    """Before when no advice renews a certificate. `in_a_row`: how many before it were renewed by advice that was past by then."""
    shortest = min(_REST, of.length / 24)
    return of.start + min(shortest * (1 << min(in_a_row, _MOST_IN_A_ROW)), _LONGEST_REST, of.length / 4)


def plan(
    of: Life,
    now: dt.datetime,
    *,
    advice: Advice | None,
    fraction: float,
    renew_before: dt.timedelta | None = None,
    in_a_row: int = 0,
) -> Plan:
    """When to renew a certificate.

    Args:
        of: its life.
        now: aware UTC.
        advice: what the CA said last, or None when it has no ARI or was never reached.
        fraction: kept with the certificate, so that the plan stays the same from call to call.
        renew_before: the Certificate's own wish; advice goes before it, as a CA that revokes knows more.
        in_a_row: as for `rested`.
    """
    left = of.end - now
    alarm = left < of.length / ALARM
    if emergency(of, now):
        return Plan(now, Why.EMERGENCY, alarm)
    last = of.end - of.length / EMERGENCY
    if advice is None:
        found = rule(of, fraction, renew_before)
        return Plan(min(found.at, last), found.why, alarm)
    return Plan(min(max(advice.instant, rested(of, in_a_row)), last), Why.ADVICE, alarm)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
