"""What kinds of objects have in common whose spec people write, and whose status we write.

Pure: reading never fails; what cannot be read is told in `problem`.
"""

from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar, cast

import msgspec

from signer.api.meta import ObjectMeta, known_fields, read_part

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T", bound=msgspec.Struct)


class HasSpec(msgspec.Struct, Generic[S], frozen=True, kw_only=True, rename="camel", dict=True):
    """An object with a spec, of `spec_type`. `raw_spec` is as received; use `spec` and `problem`."""

    spec_type: ClassVar[type[msgspec.Struct]]

    metadata: ObjectMeta
    raw_spec: Any = msgspec.field(name="spec", default=None)

    @cached_property
    def _spec(self) -> tuple[S, str]:
        return read_part(self.raw_spec, cast("type[S]", self.spec_type), "spec")

    @property
    def spec(self) -> S:
        """The spec, empty when there is a `problem`."""
        return self._spec[0]

    @property
    def problem(self) -> str:
        """Why the spec cannot be read, naming the field; "" when it can."""
        return self._spec[1]


H = TypeVar("H", bound=HasSpec[Any])


def only_what_is_read(obj: H) -> H:
    """Keep of a spec what its type has: of what others write for others much is of no use here."""
    return msgspec.structs.replace(obj, raw_spec=known_fields(obj.raw_spec, obj.spec_type))


class HasStatus(HasSpec[S], Generic[S, T], frozen=True, kw_only=True, rename="camel", dict=True):
    """One with a status too, of `status_type`. `raw_status` is as received; use `status`."""

    status_type: ClassVar[type[msgspec.Struct]]

    raw_status: Any = msgspec.field(name="status", default=None)

    @cached_property
    def status(self) -> T:
        """The status, empty when it cannot be read: it is ours to write again."""
        return read_part(self.raw_status, cast("type[T]", self.status_type), "status")[0]
