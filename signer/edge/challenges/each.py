"""Writes to objects of many tenants, one after the other: what is refused of one keeps no other from its turn.

Admission policies, quotas and webhooks refuse us writes, and a tenant chooses what his objects are. Used on the loop.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from signer.api.event import ObjectReference, named
from signer.kube.errors import ApiError, NotFound
from signer.kube.resource import Resource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InTheWay:
    """An object that we could neither change nor take away, and what the API server said to that."""

    ref: ObjectReference
    message: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.ref.kind} {self.ref.namespace}/{self.ref.name} cannot be changed: {self.message}"


class EachForItself:
    """Remembers what was refused. What fails for other reasons is raised by `done`, when all others had their turn."""

    def __init__(self) -> None:
        self._in_the_way: list[InTheWay] = []
        self._failed: ApiError | None = None

    @contextmanager
    def one(self, resource: Resource, metadata: Mapping[str, Any]) -> Iterator[None]:
        """Write to one of them; Unreachable goes on to the caller, since it is none of its doing."""
        try:
            yield
        except NotFound:
            return
        except ApiError as error:
            if not error.lasting:
                self._failed = self._failed or error
                return
            ref = named(resource, str(metadata["namespace"]), str(metadata["name"]), str(metadata["uid"]))
            found = InTheWay(ref, error.message)
            log.info("%s", found)
            self._in_the_way.append(found)

    def done(self) -> list[InTheWay]:
        """Return what was refused; raises ApiError for what may go another time."""
        if self._failed is not None:
            raise self._failed
        return self._in_the_way
