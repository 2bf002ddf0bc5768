"""What a Gateway or an Ingress wants: one certificate for each Secret that it names. Values; immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from signer.api.certificate import IssuerReference
from signer.edge.host import Host
from signer.tenancy.verdict import Reason

SourceKind = Literal["Gateway", "APIGateway", "Ingress", "VirtualService"]
_WORDS: Mapping[SourceKind, str] = {
    "Gateway": "Gateway",
    "APIGateway": "Gateway (Gateway API)",
    "Ingress": "Ingress",
    "VirtualService": "VirtualService",
}


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """The object that wants something."""

    kind: SourceKind
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{_WORDS[self.kind]} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Wish:
    """One certificate: for these hosts (sorted), from this issuer, in a Secret of this name.

    `key_algorithm` is "" unless several Secrets serve one listener. `options` are fields of the Certificate's spec,
    from annotations. `secret_namespace` is where the Secret is to be, "" for wherever the proxies read it.
    """

    sources: tuple[Source, ...]
    secret_name: str
    hosts: tuple[Host, ...]
    issuer: IssuerReference
    key_algorithm: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secret_namespace: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """What was passed over, where in the object, and why. `harmless`: nothing is wrong, it is just not ours.

    `beside`: told, but no certificate is refused for it.
    """

    field: str
    reason: Reason
    harmless: bool = False
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Wishes:
    """All that one object wants, and what of it was passed over. `unread`: Secrets whose hosts are not all known."""

    source: Source
    certificates: tuple[Wish, ...] = ()
    passed: tuple[Passed, ...] = ()
    unread: frozenset[str] = frozenset()
