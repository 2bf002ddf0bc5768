"""What DNS-01 puts into the DNS, and where: names, CNAME delegation, External-DNS' objects. Pure; no query is made here.

A wildcard and its apex are proven under one name with two values: whoever writes one must keep the other.
Sources: RFC 8555, 8.4; https://kubernetes-sigs.github.io/external-dns/latest/docs/sources/crd/
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from signer.edge.challenge_routes import PART_OF
from signer.tenancy.claims import shown
from signer.tenancy.verdict import Reason, Refuse

PREFIX = "_acme-challenge."
MAX_HOPS = 8
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_NAME = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*", re.ASCII)
DNS_ENDPOINT = ("externaldns.k8s.io/v1alpha1", "DNSEndpoint")


def record_name(dns_name: str) -> str:
    """Return the name of the TXT record for a host (without "*."), in lower case and without a trailing dot."""
    return f"{PREFIX}{dns_name.lower().removeprefix('*.').rstrip('.')}"


def delegated(name: str, cname_of: Callable[[str], str | None]) -> str | Refuse:
    """Follow CNAMEs from a record's name to where the TXT record is to be written (cnameStrategy: Follow).

    `cname_of` gives the target that was found for a name, or None. A loop, too many hops, or a target that is no name is
    refused: whoever has the zone chose it, and we write where it leads.
    """
    seen = [name]
    while (target := cname_of(seen[-1])) is not None:
        clean = target.lower().rstrip(".")
        if len(clean) > 253 or not _NAME.fullmatch(clean):
            return Refuse((Reason("BadDelegation", f"{shown(seen[-1])} leads to {shown(target)}, which is no name"),))
        if clean in seen or len(seen) > MAX_HOPS:
            return Refuse(
                (Reason("BadDelegation", f"the CNAMEs of {shown(name)} lead in a circle, or on for too long"),)
            )
        seen.append(clean)
    return seen[-1]


def dns_endpoint(name: str, values: Iterable[str], namespace: str, *, ttl: int = 60) -> dict[str, Any]:
    """Return External-DNS' object for a record with all of its values: apex and wildcard share one.

    Raises ValueError for a value that is no SHA-256 digest in base64url: it goes into a public zone.
    """
    wanted = sorted(set(values))
    if not wanted or any(not _VALUE.fullmatch(value) for value in wanted):
        raise ValueError("each value is a SHA-256 digest in base64url, 43 characters (RFC 8555, 8.4)")
    version, kind = DNS_ENDPOINT
    endpoint = {"dnsName": name, "recordType": "TXT", "recordTTL": ttl, "targets": [f'"{value}"' for value in wanted]}
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": f"mesh-signer-acme-{digest}", "namespace": namespace, "labels": dict(PART_OF)},
        "spec": {"endpoints": [endpoint]},
    }


def propagated(wanted: Collection[str], seen: Iterable[Collection[str]]) -> bool:
    """Tell whether every authoritative server (one entry each) gives every value; more values do no harm."""
    answers = list(seen)
    return bool(wanted) and bool(answers) and all(set(wanted) <= set(answer) for answer in answers)
