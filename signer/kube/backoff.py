"""How long to wait before the next try: one pure formula for reflector, queue and leases.

Pure: the source of randomness is an argument.
"""

import random as _random
from collections.abc import Callable

# A server (or something between us and it) may ask for a pause, but not switch us off with `Retry-After: 86400`.
LONGEST_RETRY_AFTER = 60.0


def delay(
    attempt: int,
    *,
    first: float,
    cap: float,
    retry_after: float | None = None,
    random: Callable[[], float] = _random.random,
) -> float:
    """Seconds to wait before try number `attempt` + 1; doubles each time, with jitter, so that replicas spread out.

    Args:
        attempt: how many tries failed in a row; 0 or less means none, and no wait.
        first: the wait after the first failure, in seconds, before jitter.
        cap: the longest wait, in seconds.
        retry_after: what the server asked for, in seconds; honoured as the least wait, up to LONGEST_RETRY_AFTER.
        random: gives values in [0, 1).

    Returns:
        Between half of and the full exponential wait, or a little more than retry_after if that is longer.
    """
    if attempt <= 0 and retry_after is None:
        return 0.0
    dice = random()
    # The exponent is bounded so that a failure that lasts a month cannot overflow a float.
    wait = min(cap, first * 2.0 ** min(attempt - 1, 64)) if attempt > 0 else 0.0
    wait *= 0.5 + dice / 2
    if retry_after is not None and retry_after > 0:
        asked = min(retry_after, LONGEST_RETRY_AFTER)
        wait = max(wait, asked * (1 + dice / 10))
    return wait
