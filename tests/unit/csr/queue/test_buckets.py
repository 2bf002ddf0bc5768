"""A token bucket for each policy's rate, namespace and signer: never more than the rate, never less when it is asked for."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.csr.queue.buckets import Buckets, Limited
from signer.tenancy.world import Rate
from tests.unit.csr.crafted import FOO, SHOP

MINUTE = Rate(6, timedelta(minutes=1))
LIMITED = Limited(MINUTE, "foo", FOO)


def test_a_burst_and_then_evenly() -> None:
    """As many at once as the rate names, then one each time that a part of the period is over."""
    buckets = Buckets()
    assert [buckets.take(LIMITED, 0.0) for _ in range(6)] == [0.0] * 6
    assert buckets.take(LIMITED, 0.0) == pytest.approx(10)
    assert buckets.take(LIMITED, 9.0) == pytest.approx(1)
    assert buckets.take(LIMITED, 10.0) == 0.0
    assert buckets.take(LIMITED, 10.0) == pytest.approx(10)
    assert [buckets.take(LIMITED, 1000.0) for _ in range(6)] == [0.0] * 6


def test_each_has_its_own() -> None:
    """One namespace's, signer's or policy's use takes nothing from another's."""
    buckets = Buckets()
    others = [
        LIMITED._replace(namespace="bar"),
        LIMITED._replace(signer=SHOP),
        LIMITED._replace(rate=Rate(1, MINUTE.per)),
    ]
    for _ in range(7):
        buckets.take(LIMITED, 0.0)
    assert [buckets.take(other, 0.0) for other in others] == [0.0, 0.0, 0.0]


@given(
    st.integers(1, 20),
    st.integers(1, 600),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200),
)
def test_never_more_than_the_rate(certificates: int, seconds: int, pauses: list[float]) -> None:
    """In no period are there more than the rate and what a full bucket held; what it says to wait is enough."""
    buckets, limited = Buckets(), LIMITED._replace(rate=Rate(certificates, timedelta(seconds=seconds)))
    now, taken = 0.0, []
    for pause in pauses:
        now += pause
        if wait := buckets.take(limited, now):
            now += wait
            assert buckets.take(limited, now) == 0.0
        taken.append(now)
    for begin in taken:
        within = [at for at in taken if begin <= at < begin + seconds - 1e-6]
        assert len(within) <= 2 * certificates


def test_memory() -> None:
    """Buckets that are full again are forgotten."""
    buckets = Buckets()
    for number in range(20_000):
        buckets.take(LIMITED._replace(namespace=f"n{number}"), float(number))
    assert len(buckets) < 2048
