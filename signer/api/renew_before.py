"""What renewBefore and renewBeforePercentage of a Certificate mean for a certificate of a given life. Pure."""

from datetime import timedelta

from signer.api.certificate import CertificateSpec
from signer.api.duration import InvalidDuration, parse_duration


def renew_before_of(spec: CertificateSpec, lifetime: timedelta) -> timedelta | None:
    """How long before its end the spec wants a certificate of this life renewed; None when it does not say, or in vain."""
    renew_before = _duration(spec.renew_before)
    if renew_before is not None and timedelta(0) < renew_before < lifetime:
        return renew_before
    percentage = spec.renew_before_percentage
    if percentage is not None and 0 < percentage < 100:
        return lifetime * percentage / 100
    return None


def _duration(text: str | None) -> timedelta | None:
    if not text:
        return None
    try:
        return parse_duration(text)
    except InvalidDuration:
        return None
