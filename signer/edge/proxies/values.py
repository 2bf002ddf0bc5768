"""Gateways' Pods, and looks at them: which Pods, where a look goes, what it may follow, and what it saw. Pure.

No byte of an answer is kept: it may come from anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from signer.edge.host import Host

MAX_BODY = 1024
"""Bytes that are read of an answer; a key authorization has fewer than 200."""
MAX_REDIRECTS = 10
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class GatewayPod:
    """A Pod that could be a gateway's proxy."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """One Pod of a gateway: its address, and where it listens for the public ports 80 and 443."""

    address: str
    ports: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look asks for: this path of a host, where `key` is the right answer."""

    host: Host
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw.

    `error`: what kept it from an answer ("reset", "refused", "timeout", "tls", "unreachable"; "" for none). `redirect`: a
    location that must not be followed. `matches`: the body is the key authorization; `overlong`: it was longer than MAX_BODY.
    """

    error: str = ""
    through_https: bool = False
    status: int = 0
    redirect: str = ""
    matches: bool = False
    overlong: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """What one Pod showed for one host: a serial number, or what kept it from it ("refused", "reset", "timeout", "tls")."""

    host: Host
    address: str
    serial: int | None = None
    error: str = ""


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether a Gateway's selector takes a Pod; an empty one takes all, as in Istio."""
    return all(labels.get(key) == value for key, value in selector.items())


def may_follow(scheme: str, port: int | None, followed: int) -> bool:
    """Tell whether a redirect is followed: as CAs do, to ports 80 and 443 only, and so many at most (RFC 8555, 8.3)."""
    return followed < MAX_REDIRECTS and scheme in _PORTS and (port is None or port in _PORTS.values())


def asked_for(host: Host) -> str:
    """The name to ask a gateway for: a wildcard's is one that nobody has of his own."""
    return f"mesh-signer-probe.{host.name}" if host.wildcard else host.name
