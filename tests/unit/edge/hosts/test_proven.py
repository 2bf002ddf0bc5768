"""Which hosts a certificate goes without: those that cannot be proven, and only where nobody else would be served."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from signer.api.meta import Condition, to_rfc3339
from signer.edge.host import Host
from signer.edge.hosts.proven import PATIENCE, PROVEN, InUse, Without, not_proven, proven, unproven, without

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEEP, GONE, THIRD = Host("keep.example.com"), Host("gone.example.com"), Host("example.com", wildcard=True)
LIFE = timedelta(days=90)


def failing(since: timedelta) -> Condition:
    return not_proven((), "no such host", NOW - since)[0]


def in_use(left: timedelta, *hosts: Host, life: timedelta = LIFE) -> InUse:
    return InUse(frozenset(str(host) for host in hosts), NOW + left - life, NOW + left)


DEAD = {GONE: failing(timedelta(days=20))}


class TestTheCaseOfOneDeadHost:
    def test_before_the_end(self) -> None:
        """While what is served lives on for long, the certificate stays for both, and the dead host is told."""
        served = in_use(timedelta(days=16), KEEP, GONE)
        found = without((GONE, KEEP), DEAD, served, NOW)
        assert found == Without((GONE,), left_out=False, again=served.near_end)
        assert served.near_end == NOW + timedelta(days=1)

    def test_near_the_end(self) -> None:
        """When a sixth is left, the others get one without it."""
        assert without((GONE, KEEP), DEAD, in_use(timedelta(days=15), KEEP, GONE), NOW) == Without(
            (GONE,), left_out=True
        )

    def test_nothing_is_served(self) -> None:
        """So they do where nothing but a placeholder is served, once it has lasted an hour."""
        assert without((GONE, KEEP), DEAD, None, NOW).left_out
        new = {GONE: failing(timedelta(minutes=50))}
        assert without((GONE, KEEP), new, None, NOW) == Without(again=NOW + timedelta(minutes=10))

    def test_it_comes_back(self) -> None:
        """What was proven since it failed is in, whatever the condition says; so is a host that was left out, at first."""
        assert (
            without((GONE, KEEP), DEAD, in_use(timedelta(days=1), KEEP, GONE, life=timedelta(days=20)), NOW).dead == ()
        )
        assert not without((GONE, KEEP), DEAD, in_use(timedelta(days=85), KEEP), NOW).left_out


HOSTS = st.lists(st.sampled_from((KEEP, GONE, THIRD)), min_size=1, unique=True).map(tuple)
SINCE = st.timedeltas(timedelta(0), timedelta(days=100))
IN_USE = st.none() | st.builds(
    lambda left, life, names: in_use(left, *names, life=life),
    st.timedeltas(timedelta(seconds=1), LIFE),
    st.timedeltas(timedelta(hours=1), 2 * LIFE),
    HOSTS,
)


@given(HOSTS, st.dictionaries(st.sampled_from((KEEP, GONE, THIRD)), SINCE.map(failing)), IN_USE)
def test_whatever_fails(hosts: tuple[Host, ...], conditions: dict[Host, Condition], served: InUse | None) -> None:
    """No host is left out that did not fail for an hour, nor all of them, nor any before the end of what is served."""
    found = without(hosts, conditions, served, NOW)
    for host in found.dead:
        assert host in hosts
        since = NOW - datetime.fromisoformat(str(conditions[host].last_transition_time))
        assert since >= PATIENCE
    if found.left_out:
        assert 0 < len(found.dead) < len(hosts)
        assert served is None or served.end - NOW <= (served.end - served.start) / 6
    if found.again is not None:
        assert found.again > NOW
        later = without(hosts, conditions, served, found.again)
        assert (later.dead, later.left_out) != (found.dead, found.left_out) or len(hosts) == len(later.dead)


class TestCondition:
    def test_it_lasts(self) -> None:
        """From the first failure on it says since when, whatever the words; success ends it, and says nothing new elsewhere."""
        first = not_proven((), "no such host", NOW)
        second = not_proven(first, "status 404", NOW + timedelta(hours=2))
        said = unproven(second)
        assert said is not None
        assert (said.message, said.last_transition_time) == ("status 404", to_rfc3339(NOW))
        assert unproven(proven(second, NOW)) is None
        assert proven((), NOW) == ()
        assert proven(proven(second, NOW), NOW + timedelta(1)) == proven(second, NOW)
        other = Condition(type="Served", status="True")
        assert not_proven((other,), "x", NOW)[0] == other
        assert [one.type for one in not_proven((other,), "x", NOW)] == ["Served", PROVEN]
