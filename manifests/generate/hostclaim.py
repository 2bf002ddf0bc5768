"""HostClaim: which namespace has a host; made once by us, removed by us when it is long unused, or by admins."""

from manifests.generate.references import conditions
from manifests.generate.schema import Rule, Schema, list_of, record, string

WILDCARD = "wc--wildcard."
"""Stands for "*." in the name of a claim: no host's label may look like this (RFC 5890, 2.3.1: reserved LDH labels)."""
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
HOST = rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$"

CLAIM_RULES: tuple[Rule, ...] = (
    (
        (
            "self.metadata.name == (self.spec.host.startsWith('*.')"
            f" ? '{WILDCARD}' + self.spec.host.substring(2) : self.spec.host)"
        ),
        f"metadata.name is spec.host, with {WILDCARD} for *.",
    ),
)
"""Rules over the whole object: one claim for each host, by its name."""


def claim_spec() -> Schema:
    """Spec of a HostClaim; it cannot be changed."""
    return record(
        "Who has which host. It cannot be changed: remove the object to release the host.",
        {
            "host": string("The host, as shop.example.com or *.example.com.", maxLength=242, pattern=HOST),
            "namespace": string("Who has it.", minLength=1, maxLength=63, pattern=f"^{_LABEL}$"),
            "namespaceUID": string(
                "UID of that namespace: one made again under its name has nothing.", minLength=1, maxLength=128
            ),
        },
        required=["host", "namespace", "namespaceUID"],
        rules=[("self == oldSelf", "spec cannot be changed; an admin may remove the object to release the host")],
    )


def claim_status() -> Schema:
    """Status of a HostClaim."""
    return record(
        "How it is used; written by mesh-signer.",
        {
            "conditions": conditions("Conflict: other namespaces want the host too.", "Conflict") | {"maxItems": 8},
            "contenders": list_of(
                "The first of the namespaces that want it too.", {"type": "string", "maxLength": 63}, maxItems=16
            ),
            "unusedSince": string("Since when nobody wants it; absent while it is wanted.", format="date-time"),
        },
    )
