"""Which addresses the edge asks anything, where somebody else chose the name that led there. Pure.

Tenants write hosts, zones and Issuers: what they lead us to must not be a way into the cluster.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from issuers.acme.targets import AddressRule
from signer.api.issuer import IssuerRef

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
COMPANY = AddressRule(allowed=tuple(ipaddress.ip_network(one) for one in _PRIVATE))
"""Where a ClusterIssuer's zones and hosts may lead: a company has networks of its own, but not on this machine."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses are dialled.

    `tenants`: for namespaced Issuers, their name servers, zones and hosts. `zones`: for the zones and hosts of ClusterIssuers.
    `roots`: PEM of what acme-dns servers and DNS products are trusted by; None: what the system trusts. `elsewhere`: products
    that are not where they are for all the world, by the origin of their URL; for tests.
    """

    tenants: AddressRule = field(default_factory=AddressRule)
    zones: AddressRule = COMPANY
    roots: bytes | None = field(default=None, kw_only=True)
    elsewhere: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)

    def of(self, ref: IssuerRef | None) -> AddressRule:
        """The rule for what an issuer's zones and hosts lead to."""
        return self.zones if ref is not None and ref.kind == "ClusterIssuer" else self.tenants
