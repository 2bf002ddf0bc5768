"""The corpus while it is made: each file adds its requests here, with what must come of them."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.vectors import craft
from tests.vectors.craft import FOO, Csr


@dataclass(frozen=True)
class Vector:
    text: bytes | Callable[[], bytes]
    field: str = ""
    message: str = ""
    names: dict[str, object] | None = None


VECTORS: dict[str, Vector] = {}


def accepted(name: str, text: bytes | Callable[[], bytes], **names: object) -> None:
    """`names` are fields of the SigningRequest that differ from a workload's (dns_names, uris, subject, ...)."""
    VECTORS[name] = Vector(text, names={"uris": [FOO], "subject": "O="} | names)


def refused(name: str, text: bytes, field: str, message: str) -> None:
    VECTORS[name] = Vector(text, field=f"request{field and '.' + field}", message=message)


def with_extensions(*extensions: bytes) -> bytes:
    return Csr(attributes=[craft.ext_request(*extensions)]).pem()
