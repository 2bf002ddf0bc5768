"""How soon a Certificate may ask again: whatever makes it ask again and again is slowed down, and told.

Two parties that undo each other (a sync that puts another key pair into the Secret, a webhook that changes our requests, two
tools that disagree about the spec) would otherwise get a new certificate for each round, for ever. How fast requests may follow
one another is in signer/kube/pacing.py; here is which of them count, and what is said meanwhile. Renewals do not count: their
dates pace them, but where an issuer gives certificates whose renewal is due at once. Pure.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from signer.api.meta import to_rfc3339
from signer.api.text import some
from signer.certificates.policies import EXPIRED, RENEWING
from signer.certificates.renewal import MIN_AGE
from signer.certificates.spec.check import Defect
from signer.observe.printable import printable
from signer.observe.undone import UNDONE, named, said

_LISTED = 5


def counts(reason: str, *, at_once: bool = False) -> bool:
    """Whether an issuance for this reason is one of those that are paced."""
    return at_once or reason not in (RENEWING, EXPIRED)


def due_at_once(stored: datetime, ends: datetime, now: datetime) -> bool:
    """Whether it is now too soon for a renewal of a certificate that was stored then and ends then.

    No dates of ours make it due so soon: the issuer backdates it, or cuts its end to the same moment each time.
    """
    return now - stored < min(MIN_AGE, max(ends - stored, timedelta(0)) / 3)


def paused(why: Defect, writers: Sequence[str], until: datetime) -> Defect:
    """What is said meanwhile: why a certificate is to be made again, who else writes, and when it goes on."""
    message = (
        f"{why.message}; {named(writers)} It was issued too often in a short time: "
        f"the next try is after {to_rfc3339(until)}"
    )
    return Defect(why.reason, message)


def undone(what: Sequence[str], writers: Sequence[str], until: datetime) -> Defect:
    """What is said when somebody undoes each time what we put back into the Secret, without a new certificate."""
    return Defect(UNDONE, said(f"in the Secret {some(map(printable, what), _LISTED)}", writers, until))
