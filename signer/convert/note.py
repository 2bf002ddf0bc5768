"""What a person must know about a conversion: one sentence for each thing that has no equal, or that was misspelt.

Values only; a Notes belongs to one conversion and one thread.
"""

from dataclasses import dataclass, field
from typing import Any

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Note:
    """`subject` names the object ("ClusterIssuer letsencrypt"), `field` the place in it ("" for the object itself)."""

    subject: str
    field: str
    message: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.subject}: {self.field}: {self.message}" if self.field else f"{self.subject}: {self.message}"


@dataclass(slots=True)
class Notes:
    """Collects the notes about one object after another."""

    subject: str = ""
    all: list[Note] = field(default_factory=list)

    def about(self, obj: dict[str, Any], position: int) -> None:
        """From now on notes are about this object, the `position`th of the input (from 1)."""
        kind = text(obj.get("kind")) or "an object without a kind"
        metadata = mapping(obj.get("metadata"))
        name = text(metadata.get("name")) or f"number {position}"
        namespace = text(metadata.get("namespace"))
        self.subject = f"{shown(kind)} {shown(f'{namespace}/{name}' if namespace else name)}"

    def add(self, place: str, message: str) -> None:
        """Note something about the present object."""
        note = Note(self.subject, place, message)
        if note not in self.all:
            self.all.append(note)


def mapping(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one: what is not as expected is noted where fields are checked."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """The value if it is a text, else ""."""
    return value if isinstance(value, str) else ""


def shown(value: object) -> str:
    """A value of the input on one line, cut: it may hold anything."""
    written = value if isinstance(value, str) else repr(value)
    clean = "".join(char if char.isprintable() else "?" for char in written)
    return clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}..."
