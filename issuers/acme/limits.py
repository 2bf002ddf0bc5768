"""A CA's rate limits, kept by ourselves before the CA is asked: token buckets for each namespace and for all. Pure.

An account is shared by all tenants of a ClusterIssuer. Whoever makes Gateways in a loop would spend its limits, and
then nobody's certificate is renewed. So each namespace has a share, and a third of every bucket is for renewals only.

The caller keeps `State` and gives it back; after a restart it is made anew by `count` from the orders that are on record
(what is not on record is not counted: the CA's own limits still hold).
Numbers are those of Let's Encrypt: https://letsencrypt.org/docs/rate-limits/
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# What new certificates cannot spend.
KEPT_FOR_RENEWALS = 1 / 3


class Bucket(NamedTuple):
    """`size` at once, and as many again in each `period`."""

    size: float
    period: dt.timedelta


_ORDERS = Bucket(300, dt.timedelta(hours=3))
_NAMESPACE = Bucket(100, dt.timedelta(hours=3))
_SAME_SET = Bucket(5, dt.timedelta(days=7))
_FAILURES = Bucket(5, dt.timedelta(hours=1))
_NAMESPACE_FAILURES = Bucket(30, dt.timedelta(hours=1))


class Key(NamedTuple):
    """Which bucket: of which CA's account, what is counted, and for whom ("" for all)."""

    issuer: str
    limit: str
    subject: str = ""


class Level(NamedTuple):
    """How full a bucket was, and when."""

    tokens: float
    at: dt.datetime


State = Mapping[Key, Level]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one CA.

    Attributes:
        orders: new orders of the account.
        namespace: the part of those that one namespace may have.
        same_set: certificates for exactly the same names; renewals with ARI are free of it.
        failures: failed validations of one name.
        namespace_failures: failed validations of one namespace; ours, so that one that only fails is paused.
    """

    orders: Bucket = _ORDERS
    namespace: Bucket = _NAMESPACE
    same_set: Bucket = _SAME_SET
    failures: Bucket = _FAILURES
    namespace_failures: Bucket = _NAMESPACE_FAILURES


@dataclass(frozen=True, slots=True)
class Asking:
    """One order that somebody wants to make."""

    issuer: str
    namespace: str
    set_key: str
    names: tuple[str, ...]
    renewal: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """It may be made, and has been counted in `state`."""

    state: State


@dataclass(frozen=True, slots=True)
class Held:
    """Not before `until`: the bucket `limit` of `subject` is too low. Nothing was counted."""

    limit: str
    subject: str
    until: dt.datetime


def ask(limits: Limits, state: State, asking: Asking, now: dt.datetime) -> Granted | Held:
    """Whether an order may be made now. All its buckets must have a token, or none is touched."""
    reserve = 0.0 if asking.renewal else KEPT_FOR_RENEWALS
    taken = dict(state)
    latest: Held | None = None
    for key, bucket, cost, kept in _buckets(limits, asking, reserve):
        level = _level(state, key, bucket, now)
        wait = _wait(bucket, level, max(cost, kept * bucket.size + cost))
        if wait > dt.timedelta():
            held = Held(key.limit, key.subject, now + wait)
            if latest is None or held.until > latest.until:
                latest = held
        taken[key] = Level(level - cost, _newer(state, key, now))
    return latest or Granted(taken)


def count(limits: Limits, state: State, asking: Asking, now: dt.datetime) -> State:
    """Count an order that is made whatever the limits say, or that was made before a restart. No bucket goes below empty."""
    taken = dict(state)
    for key, bucket, cost, _ in _buckets(limits, asking, 0.0):
        if cost:
            taken[key] = Level(max(0.0, _level(state, key, bucket, now) - cost), _newer(state, key, now))
    return taken


def give_back(limits: Limits, state: State, asking: Asking, now: dt.datetime) -> State:
    """Uncount an order that did not come about: what a CA refuses, or does not answer, spends none of its limits.

    Whoever asks a CA that is away for a minute would else be held back by the limit of five a week for a day.
    """
    returned = dict(state)
    for key, bucket, cost, _ in _buckets(limits, asking, 0.0):
        if cost and key in state:
            returned[key] = Level(min(bucket.size, _level(state, key, bucket, now) + cost), _newer(state, key, now))
    return returned


def count_failures(
    limits: Limits, state: State, issuer: str, namespace: str, names: Iterable[str], now: dt.datetime
) -> State:
    """Count a failed validation of each of these names, and of their namespace."""
    taken = dict(state)
    for name in names:
        for key in (Key(issuer, "failures", name), Key(issuer, "namespace_failures", namespace)):
            level = _level(taken, key, _bucket(limits, key.limit), now)
            taken[key] = Level(max(0.0, level - 1), _newer(taken, key, now))
    return taken


def remaining(limits: Limits, state: State, key: Key, now: dt.datetime) -> float:
    """How many tokens a bucket has now, for a metric."""
    return _level(state, key, _bucket(limits, key.limit), now)


def forget_full(limits: Limits, state: State, now: dt.datetime) -> State:
    """The state without the buckets that are full again: what is kept does not grow with the names ever seen."""
    return {
        key: level
        for key, level in state.items()
        if _level(state, key, bucket := _bucket(limits, key.limit), now) < bucket.size
    }


def _buckets(limits: Limits, asking: Asking, reserve: float) -> list[tuple[Key, Bucket, float, float]]:
    issuer = asking.issuer
    found = [
        (Key(issuer, "orders"), limits.orders, 1.0, reserve),
        (Key(issuer, "namespace", asking.namespace), limits.namespace, 1.0, reserve),
        # A renewal with ARI is exempt at the CA; counting it here still ends a loop of ours.
        (Key(issuer, "same_set", asking.set_key), limits.same_set, 1.0, reserve),
    ]
    # Failures are counted when they happen; here is only looked whether one more would be allowed.
    looked_at = [Key(issuer, "failures", name) for name in asking.names]
    for key in (Key(issuer, "namespace_failures", asking.namespace), *looked_at):
        bucket = _bucket(limits, key.limit)
        found.append((key, bucket, 0.0, 1 / bucket.size))
    return found


def _bucket(limits: Limits, limit: str) -> Bucket:
    found: Bucket = getattr(limits, limit)
    return found


def _level(state: State, key: Key, bucket: Bucket, now: dt.datetime) -> float:
    found = state.get(key)
    if found is None:
        return bucket.size
    # A clock that went back gives nothing and takes nothing.
    passed = max(now - found.at, dt.timedelta())
    return min(bucket.size, found.tokens + bucket.size * (passed / bucket.period))


def _newer(state: State, key: Key, now: dt.datetime) -> dt.datetime:
    """Not before what is kept, or a clock that went back and forth would fill buckets."""
    return max(now, state[key].at) if key in state else now


def _wait(bucket: Bucket, level: float, needed: float) -> dt.timedelta:
    # A whisker, as a third of three is not one in floating point.
    if level >= needed - 1e-9:
        return dt.timedelta()
    return bucket.period * ((needed - level) / bucket.size)
