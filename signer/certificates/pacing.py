"""How soon a Certificate may ask again: whatever makes it ask again and again is slowed down, and told.

Two parties that undo each other (a sync that puts another key pair into the Secret, a webhook that changes our requests, two
tools that disagree about the spec) would otherwise get a new certificate for each round, for ever. How fast requests may follow
one another is in signer/kube/pacing.py; here is which of them count, and what is said meanwhile. Renewals do not count: their
dates pace them. Pure.
"""

from collections.abc import Sequence
from datetime import datetime

from signer.api.text import shown
from signer.certificates.policies import EXPIRED, RENEWING
from signer.certificates.spec_check import Defect

_NAMED = 3


def counts(reason: str) -> bool:
    """Whether an issuance for this reason is one of those that are paced."""
    return reason not in (RENEWING, EXPIRED)


def paused(why: Defect, writers: Sequence[str], until: datetime) -> Defect:
    """What is said meanwhile: why a certificate is to be made again, who else writes, and when it goes on."""
    others = ", ".join(shown(name) for name in writers[:_NAMED])
    # We write Secrets under cert-manager's name, so that each may take them over; one that works beside us is not told apart.
    who = f"; written by {others} too" if others else "; no other writer is named: does a cert-manager work here too?"
    message = (
        f"{why.message}{who}. It was issued too often in a short time: the next try is after {until:%Y-%m-%dT%H:%M:%SZ}"
    )
    return Defect(why.reason, message)
