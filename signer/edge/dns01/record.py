"""What DNS-01 puts into the DNS, and where: names, CNAME delegation, External-DNS' objects. Pure; no query is made here.

A wildcard and its apex are proven under one name with two values: whoever writes one must keep the other.
Sources: RFC 8555, 8.4; https://kubernetes-sigs.github.io/external-dns/latest/docs/sources/crd/
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signer.api.labels import PART_OF
from signer.api.text import shown
from signer.edge.challenges.presenter import Cause, Found
from signer.kube.resource import Resource
from signer.tenancy.verdict import Reason, Refuse

PREFIX = "_acme-challenge."
MAX_HOPS = 8
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_NAME = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*", re.ASCII)
DNS_ENDPOINTS = Resource("externaldns.k8s.io", "v1alpha1", "dnsendpoints", "DNSEndpoint", namespaced=True)
HOLDER = "mesh-signer.dev/challenge."
FAILED = "UpdateFailed"
"""The reason when whoever keeps a record refuses to, or gives no answer."""
MOST_HELD = 64
"""Values of one record: more than any Certificate needs, and few enough for one answer of a name server."""


def apex(dns_name: str) -> str:
    """Return a host's name without "*.", in lower case and without a trailing dot: what it shares one record with."""
    return dns_name.lower().removeprefix("*.").rstrip(".")


def record_name(dns_name: str) -> str:
    """Return the name of the TXT record for a host."""
    return f"{PREFIX}{apex(dns_name)}"


def delegated(name: str, cname_of: Callable[[str], str | None]) -> str | Refuse:
    """Follow CNAMEs from a record's name to where the TXT record is to be written (cnameStrategy: Follow).

    `cname_of` gives the target that was found for a name, or None. A loop, too many hops, or a target that is not a name is
    refused: whoever has the zone chose it, and we write where it leads.
    """
    seen = [name]
    while (target := cname_of(seen[-1])) is not None:
        clean = target.lower().rstrip(".")
        if not is_name(clean):
            return Refuse(
                (Reason("BadDelegation", f"{shown(seen[-1])} leads to {shown(target)}, which is not a name"),)
            )
        if clean in seen or len(seen) > MAX_HOPS:
            return Refuse(
                (Reason("BadDelegation", f"the CNAMEs of {shown(name)} lead in a circle, or on for too long"),)
            )
        seen.append(clean)
    return seen[-1]


def is_name(text: str) -> bool:
    """Tell whether a text is a name that a record can have, as we write names."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def zone_of(name: str, owner: str) -> str | None:
    """Return the zone of a name from the owner of the SOA record in an answer, None when that is none of its parents.

    A server answers with the SOA of the zone that the name is in, in the answer or beside it (RFC 2308, 2).
    """
    clean = owner.lower().rstrip(".")
    fits = clean == name or name.endswith(f".{clean}")
    return clean if fits and is_name(clean) else None


def hides_others(name: str, delegated_to: str) -> bool:
    """Tell whether a record there could hide somebody's addresses: a name that exists is no longer its wildcard's.

    Whoever has a delegated name may point it at any host below a wildcard. Names with an underscore are nobody's hosts.
    Source: RFC 4592, 2.2.1.
    """
    return delegated_to != name and not delegated_to.startswith("_")


def holder(uid: str) -> str:
    """Name the label and annotation by which an object's record is a Challenge's."""
    return f"{HOLDER}{uid}"


def note_seal(secret: bytes, text: str) -> str:
    """What only the holder of a secret can say of a text: by it we know a note of ours again."""
    return hmac.new(secret, b"mesh-signer dns01\0" + text.encode(), hashlib.sha256).hexdigest()[:32]


def dns_endpoint(name: str, values: Mapping[str, str], namespace: str, *, ttl: int = 60) -> dict[str, Any]:
    """Return External-DNS' object for a record: apex and wildcard share one. `values` are by the Challenges' uids.

    One object, because of two that name one record External-DNS obeys one only. Raises ValueError for a value that is no
    SHA-256 digest in base64url: it goes into a public zone.
    """
    if not values or any(not _VALUE.fullmatch(value) for value in values.values()):
        raise ValueError("each value is a SHA-256 digest in base64url, 43 characters (RFC 8555, 8.4)")
    version, kind = DNS_ENDPOINTS.api_version, DNS_ENDPOINTS.kind
    targets = [f'"{value}"' for value in sorted(set(values.values()))]
    endpoint = {"dnsName": name, "recordType": "TXT", "recordTTL": ttl, "targets": targets}
    holders = {holder(uid): value for uid, value in sorted(values.items())}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": endpoint_name(name),
            "namespace": namespace,
            "labels": PART_OF | dict.fromkeys(holders, ""),
            "annotations": holders,
        },
        "spec": {"endpoints": [endpoint]},
    }


def endpoint_name(name: str) -> str:
    """Name the object of a record."""
    return f"mesh-signer-acme-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def held(metadata: Mapping[str, Any]) -> dict[str, str] | None:
    """Return an object's values by the Challenges' uids; None when the object is somebody else's, or has more than ours can."""
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if any(labels.get(key) != value for key, value in PART_OF.items()):
        return None
    found = {
        key.removeprefix(HOLDER): value
        for key, value in annotations.items()
        if key.startswith(HOLDER) and _VALUE.fullmatch(value)
    }
    return found if len(found) <= MOST_HELD else None


@dataclass(frozen=True, slots=True)
class Answered:
    """What one authoritative server said: its TXT values of the name, or why there is no answer."""

    server: str
    values: frozenset[str] = frozenset()
    problem: str = ""


def propagated(wanted: Collection[str], seen: Iterable[Collection[str]]) -> bool:
    """Tell whether every authoritative server (one entry each) gives every value; more values do no harm."""
    answers = list(seen)
    return bool(wanted) and bool(answers) and all(set(wanted) <= set(answer) for answer in answers)


def classify(name: str, value: str, answers: Collection[Answered]) -> Found:
    """Name what the CA would meet. The first server that lacks the value, or says nothing, is told."""
    if propagated([value], [one.values for one in answers]):
        return Found(Cause.PASSED, "the record is there")
    if not answers:
        return waiting(name, "there is no name server to ask")
    late = min((one for one in answers if value not in one.values), key=lambda one: one.server)
    others = sum(value in one.values for one in answers)
    why = late.problem or "does not have the value yet"
    return waiting(name, f"name server {late.server} {why} ({others} of {len(answers)} have it)")


def waiting(name: str, why: str, cause: Cause = Cause.NOT_PROPAGATED) -> Found:
    """What keeps a record from being told to the CA, in one line."""
    return Found(cause, f"Waiting for DNS-01 challenge propagation: TXT {name}: {why}")
