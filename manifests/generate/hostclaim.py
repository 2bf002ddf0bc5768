"""HostClaim: which namespace has a host; made once by us, removed by us when it is long unused, or by admins."""

from manifests.generate.references import conditions
from manifests.generate.schema import Rule, Schema, integer, list_of, record, string
from signer.edge.host import MAX_HOST, WILDCARD_CLAIM

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
HOST = rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$"

CLAIM_RULES: tuple[Rule, ...] = (
    (
        (
            "self.metadata.name == (self.spec.host.startsWith('*.')"
            f" ? '{WILDCARD_CLAIM}' + self.spec.host.substring(2) : self.spec.host)"
        ),
        f"metadata.name is spec.host, with {WILDCARD_CLAIM} for *.",
    ),
)
"""Rules over the whole object: one claim for each host, by its name."""


def claim_spec() -> Schema:
    """Spec of a HostClaim; host and namespace cannot be changed."""
    return record(
        "Who has which host. Host and namespace cannot be changed: remove the object to release the host.",
        {
            "host": string("The host, as shop.example.com or *.example.com.", maxLength=MAX_HOST, pattern=HOST),
            "namespace": string("Who has it.", minLength=1, maxLength=63, pattern=f"^{_LABEL}$"),
            "namespaceUID": string(
                "UID of that namespace: one made again under its name has the host once an EdgePolicy gives it back, which"
                " mesh-signer writes here.",
                minLength=1,
                maxLength=128,
            ),
            "since": string(
                "Since when that namespace has it, where an earlier one of its name had it before; absent: since this object"
                " was made.",
                format="date-time",
            ),
        },
        required=["host", "namespace", "namespaceUID"],
        rules=[
            (
                (
                    "self.host == oldSelf.host && self.__namespace__ == oldSelf.__namespace__ &&"
                    " (self.namespaceUID == oldSelf.namespaceUID || has(self.since))"
                ),
                (
                    "spec cannot be changed, but for the uid of a namespace made again, with since; an admin may remove the"
                    " object to release the host"
                ),
            )
        ],
    )


def _issuance() -> Schema:
    def times(text: str) -> Schema:
        return list_of(text, {"type": "string", "format": "date-time"}, maxItems=8)

    return record(
        "What was ordered for one set of names at one account of a CA, and what came of it.",
        {
            "names": string("Hash of the set.", maxLength=64),
            "account": string("The account's URL.", maxLength=2048),
            "orders": times("When it was ordered anew, of late."),
            "renewals": times("When it was renewed, of late."),
            "policies": list_of(
                "The EdgePolicies whose rate counts it.", {"type": "string", "maxLength": 253}, maxItems=16
            ),
            "failures": integer("How often in a row it failed.", format="int32", minimum=0),
            "failedAt": string("When it failed last.", format="date-time"),
            "notBefore": string("Until when it is not ordered again.", format="date-time"),
            "reason": string("Why, as one word.", maxLength=64),
            "certificate": string("CertID (RFC 9773) of the last certificate.", maxLength=256),
            "issuedAt": string("Its notBefore.", format="date-time"),
            "expiresAt": string("Its notAfter.", format="date-time"),
        },
        required=["names", "account"],
    )


def claim_status() -> Schema:
    """Status of a HostClaim."""
    return record(
        "How it is used; written by mesh-signer.",
        {
            "conditions": conditions(
                "Conflict: other namespaces want the host too. Proven: False while no CA can verify it. Served: its gateways show the certificate. Stopped: the API server refuses what is to be written for it.",
                "Conflict",
            )
            | {"maxItems": 8},
            "contenders": list_of(
                "The first of the namespaces that want it too.", {"type": "string", "maxLength": 63}, maxItems=16
            ),
            "issuances": list_of(
                "What was ordered for sets of names of which this host is the first: the CA's limits, the rate of"
                " EdgePolicies and the pauses after failures are kept by it.",
                _issuance(),
                maxItems=16,
            ),
            "secrets": list_of(
                "The Secrets that mesh-signer made for the namespace, for this host and others: only these are written or"
                " removed, and each only with its UID.",
                record(
                    "One Secret.",
                    {
                        "namespace": string("Where it is.", maxLength=63),
                        "name": string("Its name.", maxLength=253),
                        "uid": string("Its UID; absent while it is being made.", maxLength=128),
                        "publicKey": string(
                            "SHA-256 of the public key with which it was made, in hex.",
                            maxLength=64,
                            pattern="^[0-9a-f]*$",
                        ),
                    },
                    required=["namespace", "name"],
                ),
                maxItems=64,
            ),
            "unusedSince": string("Since when nobody wants it; absent while it is wanted.", format="date-time"),
        },
    )
