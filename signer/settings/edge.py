"""What an operator may set for the edge: the options, the values that they may have, and what they become. Pure."""

from collections.abc import Callable
from typing import Literal

import msgspec

from signer.settings.given import NAMESPACE, Given

_ISSUER_KINDS: tuple[Literal["ClusterIssuer", "Issuer"], ...] = ("ClusterIssuer", "Issuer")


class EdgeSettings(msgspec.Struct, frozen=True):
    """The edge's part of one process's settings. No `gateway_namespaces` means Istio's namespace."""

    http01_check_dns: bool = True
    http01_solver_bind: str = "none"
    recursive_nameservers: tuple[tuple[str, int], ...] = ()
    dns01_recursive_nameservers_only: bool = False
    gateway_namespaces: frozenset[str] = frozenset()
    default_issuer_name: str = ""
    default_issuer_kind: Literal["ClusterIssuer", "Issuer"] = "ClusterIssuer"


def add_edge_options(option: Callable[..., None]) -> None:
    """Add the edge's options by `option`, which takes name, help, and what argparse takes beside."""
    option(
        "http01-check-dns",
        "whether a host must resolve from here, and its addresses give the answer, before an ACME server is asked to check "
        "it (default true)",
        metavar="BOOL",
    )
    option(
        "http01-solver-bind",
        "address and port at which every replica answers challenges for Ingresses and for Gateways of the Gateway API "
        "(default none)",
    )
    option(
        "recursive-nameservers",
        "comma-separated IP:port of the DNS servers to ask about hosts and zones (default: the system's)",
        metavar="ADDRESSES",
    )
    option(
        "dns01-recursive-nameservers-only",
        "whether DNS-01 records are looked up at the recursive DNS servers alone, for zones whose own servers cannot be "
        "reached (default false)",
        metavar="BOOL",
    )
    option(
        "gateway-namespaces",
        "comma-separated namespaces in which administrators run gateways for others (default: Istio's namespace)",
        metavar="NAMES",
    )
    option("default-issuer-name", "the issuer of Gateways and Ingresses that name none (default: they get nothing)")
    option("default-issuer-kind", "its kind: ClusterIssuer or Issuer (default ClusterIssuer)", choices=_ISSUER_KINDS)


def edge_settings(given: Given) -> EdgeSettings:
    """Read the edge's settings. Raises SettingsError."""
    defaults = EdgeSettings()
    return EdgeSettings(
        http01_check_dns=given.boolean("http01-check-dns", default=defaults.http01_check_dns),
        http01_solver_bind=given.address("http01-solver-bind", defaults.http01_solver_bind),
        recursive_nameservers=given.nameservers("recursive-nameservers"),
        dns01_recursive_nameservers_only=given.boolean(
            "dns01-recursive-nameservers-only", default=defaults.dns01_recursive_nameservers_only
        ),
        gateway_namespaces=given.names("gateway-namespaces", NAMESPACE, "namespace"),
        default_issuer_name=given.object_name("default-issuer-name", "issuer"),
        default_issuer_kind=given.choice("default-issuer-kind", defaults.default_issuer_kind, _ISSUER_KINDS),
    )
