"""What all Kubernetes objects share: metadata, conditions, times, and reading a spec without ever failing on one object.

Pure: nothing here waits or keeps state.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from signer.api.text import fitted
from signer.kube.encoding.codec import Withheld
from signer.kube.resource import Resource

S = TypeVar("S", bound=msgspec.Struct)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's copy of the whole object: nobody else's, and as large as the object."""
_EARLIEST, _LATEST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class OwnerReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who an object belongs to; the garbage collector deletes it with its owner."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None

    def names(self, resource: Resource) -> bool:
        """Tell whether an object of this kind is meant, whatever its version."""
        group = self.api_version.rpartition("/")[0]
        return self.kind == resource.kind and group == resource.group


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The metadata that we use; `namespace` is "" for cluster-scoped objects."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Leave out what is never read."""
        if _LAST_APPLIED in self.annotations:
            del self.annotations[_LAST_APPLIED]

    def owned_by(self, owner: "ObjectMeta", resource: Resource) -> bool:
        """Tell whether `owner`, an object of `resource`, is the controlling owner.

        Only an object of the same namespace, or of none, can be: whoever may write in another one may write any owner
        reference there, and the garbage collector leaves it when a second owner is of a kind that it does not know.
        """
        return (
            bool(owner.uid)
            and owner.namespace in ("", self.namespace)
            and any(ref.controller and ref.uid == owner.uid and ref.names(resource) for ref in self.owner_references)
        )


def slim_metadata(metadata: ObjectMeta) -> ObjectMeta:
    """Keep what names an object, and its age."""
    return ObjectMeta(
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        creation_timestamp=metadata.creation_timestamp,
        deletion_timestamp=metadata.deletion_timestamp,
    )


def controller_reference(resource: Resource, metadata: ObjectMeta) -> dict[str, Any]:
    """Return the entry of ownerReferences by which this object controls another, which goes when it goes."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One entry of status.conditions: status is "True", "False" or "Unknown"; times are RFC 3339 text."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int | None = None


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of this type, or None."""
    return next((c for c in conditions if c.type == type_), None)


def has_condition(conditions: Iterable[Condition], type_: str, status: str = "True") -> bool:
    """Tell whether the condition of this type is there with this status."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == status


def set_condition(
    conditions: Sequence[Condition],
    type_: str,
    status: str,
    *,
    reason: str,
    message: str,
    now: datetime,
    generation: int | None = None,
) -> tuple[Condition, ...]:
    """Return the conditions with this one set, at its old place or at the end.

    lastTransitionTime changes only when the status does, as the Kubernetes API conventions ask; setting what is
    already there gives an equal tuple, so that a caller can tell that nothing is to be written. A message that quotes
    too much is cut (text.fitted).
    """
    old = find_condition(conditions, type_)
    since = old.last_transition_time if old is not None and old.status == status else None
    new = Condition(
        type=type_,
        status=status,
        reason=reason,
        message=fitted(message),
        last_transition_time=since or to_rfc3339(now),
        observed_generation=generation,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if c.type == type_ else c for c in conditions)


def to_rfc3339(moment: datetime) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds (cut, not rounded), "Z"."""
    # A year has four digits, before 1000 too.
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def from_rfc3339(text: str | None) -> datetime | None:
    """Read a time of the API server, in UTC; None for nothing, and for text that is not a time with a zone.

    Times before the year 1000 and after 9000 are moved to it: who may write a status may write any time, and adding a
    day to the last one that Python knows is an error.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return min(max(moment, _EARLIEST), _LATEST).astimezone(UTC)


def read_part(raw: object, kind: type[S], where: str) -> tuple[S, str]:
    """Read one part of an object (its spec or status) into a Struct.

    Returns the Struct and "", or an empty Struct and one sentence that names the field: one bad object must not
    stop the others, so this never raises.
    """
    if isinstance(raw, Withheld):
        return _empty(kind), _withheld(where, raw)
    try:
        return msgspec.convert({} if raw is None else raw, kind), ""
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        field = where + path.rstrip("`").removeprefix("$").removeprefix("key in `$")
        return kind(), f"{field}: {text[:1].lower()}{text[1:]}"


@lru_cache(maxsize=64)
def _empty(kind: type[S]) -> S:
    """One for all: of what is withheld there may be thousands."""
    return kind()


@lru_cache(maxsize=64)
def _withheld(where: str, why: str) -> str:
    return f"{where}: {why}"


def known_fields(raw: object, kind: type[msgspec.Struct]) -> object:
    """Return a part of an object without the fields that its Struct does not have; what is no mapping stays as it is.

    In the order in which they stand there: of several that are wrong the first one is told.
    """
    if not isinstance(raw, dict):
        return raw
    kept: dict[str, object] = {}
    known = _inner_structs(kind)
    for name, value in raw.items():
        if name in known:
            inner = known[name]
            kept[name] = value if inner is None else _known_inside(value, inner)
    return kept


def _known_inside(value: object, kind: type[msgspec.Struct]) -> object:
    return [known_fields(one, kind) for one in value] if isinstance(value, list) else known_fields(value, kind)


@lru_cache(maxsize=256)
def _inner_structs(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    return {field.encode_name: _struct_of(field.type) for field in msgspec.structs.fields(kind)}


def unsupported_fields(raw: object, kind: type[msgspec.Struct], where: str) -> tuple[str, ...]:
    """Name the fields in `raw` that the Struct does not have, as paths such as "spec.keystores".

    Empty values (null, {}, [], "" and false) ask for nothing and are left out. This is how nothing is silently
    ignored: a field that the schema accepts and that we do not read is found here, whatever its name.
    """
    if not isinstance(raw, Mapping):
        return ()
    known = _inner_structs(kind)
    found: list[str] = []
    for name, value in raw.items():
        path = f"{where}.{name}"
        if name not in known:
            if value is not None and value is not False and value not in ([], "", {}):
                found.append(path)
            continue
        inner = known[name]
        if inner is None:
            continue
        if isinstance(value, Sequence) and not isinstance(value, str):
            for index, item in enumerate(value):
                found.extend(unsupported_fields(item, inner, f"{path}[{index}]"))
        else:
            found.extend(unsupported_fields(value, inner, path))
    return tuple(sorted(found))


def _struct_of(annotation: Any) -> type[msgspec.Struct] | None:
    """Return the Struct inside an annotation such as `Subject | None` or `tuple[OtherName, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    if get_origin(annotation) in (tuple, list, Union, UnionType):
        for argument in get_args(annotation):
            inner = _struct_of(argument)
            if inner is not None:
                return inner
    return None
