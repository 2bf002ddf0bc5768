"""The annotation by which an owner has something tried again before its pause after failures is over. Pure.

`mesh-signer.dev/retry: 2026-11-30T12:00:00Z` on a Certificate, or on the Gateway or Ingress that asks for it. A time ends the
pause after the failures before it, once: the next failure is later, and has a pause of its own. A time to come counts from
then on, so that nobody can write down today that he never waits again.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from signer.api.meta import from_rfc3339
from signer.api.notes import text_note

RETRY = "mesh-signer.dev/retry"
_LONGEST = 64


def retry_time(annotations: Mapping[str, Any]) -> datetime | None:
    """Return the time that is written there, aware UTC; None where there is none that can be read."""
    text = text_note(annotations, RETRY, _LONGEST)
    return from_rfc3339(text) if 0 < len(text) <= _LONGEST else None


def ends_pause(asked: datetime | None, failed_at: datetime | None, now: datetime) -> bool:
    """Tell whether a time that was asked for ends the pause after a failure."""
    return asked is not None and failed_at is not None and failed_at < asked <= now
