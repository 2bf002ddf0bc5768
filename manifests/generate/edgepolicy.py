"""EdgePolicy: what admins say about who may have public certificates for which hosts."""

from manifests.generate.references import conditions
from manifests.generate.schema import (
    DNS_SUBDOMAIN,
    SUBDOMAIN_MESSAGE,
    Schema,
    form,
    integer,
    list_of,
    record,
    string,
    string_map,
    string_set,
)
from manifests.generate.signerpolicy import namespaces, policy_spec

MAX_SUFFIXES = 256


def _rate() -> Schema:
    found: Schema = policy_spec()["properties"]["rate"] | {
        "description": "At most so many certificates in a time, in each namespace."
    }
    return found


def _issuer() -> Schema:
    return record(
        "One issuer.",
        {
            "kind": string(
                "ClusterIssuer, or Issuer: one of this name in the namespace of the Gateway.",
                enum=["ClusterIssuer", "Issuer"],
                default="ClusterIssuer",
            ),
            "name": string(
                "Its name.",
                minLength=1,
                maxLength=253,
                rules=[form(DNS_SUBDOMAIN, f"an issuer is expected: {SUBDOMAIN_MESSAGE}")],
            ),
        },
        required=["name"],
    )


def edge_policy_spec() -> Schema:
    """Spec of an EdgePolicy."""
    return record(
        "Which namespaces may have public certificates for which hosts, through which issuers. From now on policies alone"
        " decide about these hosts; of several the longest suffix counts.",
        {
            "hostSuffixes": string_set(
                "The hosts that this is about: these names and all below them, as shop.example.com.",
                MAX_SUFFIXES,
                minLength=1,
                maxLength=253,
                each=[
                    form(DNS_SUBDOMAIN, "a DNS name in lower case is expected, as shop.example.com, without a wildcard")
                ],
            )
            | {"minItems": 1},
            "issuers": list_of("Which issuers may be named. Left out: all.", _issuer(), maxItems=64),
            "maxHosts": integer(
                "How many hosts one namespace may have under this policy. Left out: no limit of its own.",
                format="int32",
                minimum=1,
                maximum=100_000,
            ),
            "namespaces": namespaces(
                "Their names. Each is for the namespace that had it when the policy was first seen (status.namespaceUIDs), not"
                " for one that is made again under it.",
                {
                    "remade": string(
                        "What becomes of a namespace of names that was deleted and made again, maybe by somebody else."
                        " Refuse, also when unset: it has nothing by its name. Allow: it may have the hosts as the earlier one.",
                        enum=["Refuse", "Allow"],
                    ),
                },
            )
            | {
                "description": (
                    "Which namespaces may have the hosts: those named, and those that have all of these labels."
                    " Left out: none, that is, the hosts are nobody's but by other policies."
                )
            },
            "rate": _rate(),
            "routesFrom": namespaces("Their names.", {})
            | {
                "description": (
                    "Namespaces whose VirtualServices and HTTPRoutes name hosts for the * of a Gateway of one of namespaces, or for"
                    " its listeners without a hostname: those of these hosts are in its certificate, as if the Gateway named"
                    " them. The routes get no Secret by it. Left out: routes of the Gateway's own namespace alone count."
                )
            },
        },
        required=["hostSuffixes"],
    )


def edge_policy_status() -> Schema:
    """Status of an EdgePolicy."""
    return record(
        "What came of it; written by mesh-signer.",
        {
            "conditions": conditions("Ready: it can be read.", "Ready") | {"maxItems": 8},
            "hosts": integer("How many hosts are claimed under it.", format="int32"),
            "namespaceUIDs": string_map(
                "Which namespace each of spec.namespaces.names was first given to, by uid. Grants rest on it: a namespace"
                " of another uid has nothing by its name.",
                maxProperties=1024,
            )
            | {"additionalProperties": {"type": "string", "maxLength": 128}},
        },
    )
