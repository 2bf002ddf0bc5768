"""Read by each Python at its start under a shifted clock: `time.sleep` waits by select.

Python sleeps until a moment of the monotonic clock. libfaketime (0.9.10) moves that moment by the shift even where it is
told to leave that clock alone, and the sleep fails with EINVAL. select waits for a span, which nothing moves.
"""

import select
import time
from typing import Any


def _sleep(seconds: Any, /) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
