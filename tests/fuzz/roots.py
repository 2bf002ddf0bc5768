"""Roots for the mesh config's target, always the same bytes."""

from datetime import UTC, datetime, timedelta

from tests import pki

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _root(name: str, generation: int = 0) -> str:
    key = pki.key("ed25519", n=sum(map(ord, name)))
    return pki.CA(name, private=key, now=_NOW + generation * timedelta(days=30)).pem.decode()


FOO, FOO_RENEWED, BAR = _root("foo"), _root("foo", 1), _root("bar")
