"""SPIFFE IDs of Kubernetes workloads, compared byte by byte.

There is no URL library here on purpose: one that decodes, lowers or trims would let two spellings be one identity,
and the wall between tenants stands on these strings. Pure functions over frozen values.
"""

import functools
import re
from dataclasses import dataclass

# SPIFFE-ID, section 2.1: a trust domain is lower case letters, digits, dots, dashes and underscores, at most 255
# bytes. Kubernetes: a namespace is an RFC 1123 label, a ServiceAccount an RFC 1123 subdomain. Together they stay below
# the 2048 bytes of section 2.3.
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_ID = re.compile(
    rf"spiffe://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)/ns/({_LABEL})/sa/({_LABEL}(?:\.{_LABEL})*)",
    re.ASCII,
)
_MAX_TRUST_DOMAIN = 255
_MAX_NAMESPACE = 63
_MAX_SERVICE_ACCOUNT = 253
_LONGEST = len("spiffe:///ns//sa/") + _MAX_TRUST_DOMAIN + _MAX_NAMESPACE + _MAX_SERVICE_ACCOUNT


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """Who a workload is: spiffe://<trust_domain>/ns/<namespace>/sa/<service_account>. str() gives the URI."""

    trust_domain: str
    namespace: str
    service_account: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


def parse_spiffe_id(uri: str) -> SpiffeId | None:
    """Read a workload's SPIFFE ID as Istio writes it (spiffe://<trust domain>/ns/<namespace>/sa/<account>).

    Returns None for anything else: another scheme or path, upper case, percent-encoding, user, port, query,
    fragment, empty or doubled segments. What is returned spells itself back: str(result) == uri.
    """
    return _parsed(uri) if len(uri) <= _LONGEST else None


@functools.lru_cache(maxsize=4096)  # a workload's is read several times for each of its requests
def _parsed(uri: str) -> SpiffeId | None:
    match = _ID.fullmatch(uri)
    if match is None:
        return None
    trust_domain, namespace, service_account = match.groups()
    if len(trust_domain) > _MAX_TRUST_DOMAIN or len(namespace) > _MAX_NAMESPACE:
        return None
    if len(service_account) > _MAX_SERVICE_ACCOUNT:
        return None
    return SpiffeId(trust_domain, namespace, service_account)
