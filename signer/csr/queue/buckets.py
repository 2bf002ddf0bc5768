"""How many certificates a policy lets one namespace have of one signer: a token bucket each.

Pure: time is an argument (monotonic seconds). Used on the loop only.
"""

from typing import NamedTuple

from signer.api.issuer import IssuerRef
from signer.tenancy.world import Rate

# A bucket that is full again is as good as none; they are looked through when there are this many more of them.
_SWEEP_EVERY = 1024


class Limited(NamedTuple):
    """Whose bucket: a policy that says another rate begins a new one."""

    rate: Rate
    namespace: str
    signer: IssuerRef


class Buckets:
    """All buckets. Each holds `rate.certificates` at most and is filled evenly over `rate.per`."""

    def __init__(self) -> None:
        # When the bucket will be full again: the one number that a token bucket is (GCRA, ITU-T I.371, Annex A).
        self._full_at: dict[Limited, float] = {}
        self._sweep_at = _SWEEP_EVERY

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, limited: Limited, now: float) -> float:
        """Take a token; 0.0, or when there is none the seconds until there will be one."""
        step = _step(limited.rate)
        full_at = max(self._full_at.get(limited, now), now)
        # Full but for what `full_at` is ahead of now; a token is there while at most the whole but one is missing.
        wait = full_at - now - step * (limited.rate.certificates - 1)
        if wait > step * 1e-9:
            return wait
        self._full_at[limited] = full_at + step
        if len(self._full_at) >= self._sweep_at:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
            self._sweep_at = len(self._full_at) + _SWEEP_EVERY
        return 0.0


def _step(rate: Rate) -> float:
    return rate.per.total_seconds() / max(rate.certificates, 1)
