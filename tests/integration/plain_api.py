"""The plain HTTP client of the tests; it stands in tests/localmesh, whose own small calls are made with it too."""

from tests.localmesh.api import Api, Json, Refused

__all__ = ["Api", "Json", "Refused"]
