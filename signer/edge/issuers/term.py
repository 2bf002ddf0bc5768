"""What the controllers of ACME issuers, Orders, Challenges and renewals share while this process leads.

A value, made anew for each term of leadership; what it holds lives on the loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from signer.edge.issuers.accounts import Accounts
from signer.edge.issuers.metrics import AcmeMetrics
from signer.kube.client import ApiClient
from signer.observe.events import EventRecorder


@dataclass(frozen=True, slots=True)
class Term:
    """Whom to ask, whom to tell, and what time it is (aware UTC)."""

    client: ApiClient
    recorder: EventRecorder
    accounts: Accounts
    metrics: AcmeMetrics
    clock: Callable[[], datetime]
