"""What a HostClaim says of others that want its host."""

from datetime import UTC, datetime, timedelta

from signer.edge.hosts.claims import conflict

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_quiet() -> None:
    """A host that is wanted by its owner alone has nothing to tell."""
    assert conflict((), (), NOW) == ()


def test_contenders() -> None:
    """Others that want the host are named, a few of them; told again it is the same, so that nothing is written."""
    (two,) = conflict((), ("a", "b"), NOW)
    assert (two.type, two.status, two.message) == ("Conflict", "True", "wanted by a, b too")
    many = [f"n{number:02}" for number in range(16)]
    (condition,) = conflict((two,), many, NOW)
    assert condition.message == "wanted by n00, n01, n02 too and others"
    assert conflict((condition,), many, NOW + timedelta(hours=1)) == (condition,)


def test_it_ends() -> None:
    """When nobody else wants it any more, the condition says so."""
    before = conflict((), ("a",), NOW)
    (condition,) = conflict(before, (), NOW)
    assert (condition.type, condition.status) == ("Conflict", "False")
