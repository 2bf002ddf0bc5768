"""TenantBridge and TenantBridgePolicy: the two hands that build a bridge between tenants, and what came of it."""

from manifests.generate.references import conditions
from manifests.generate.schema import (
    Rule,
    Schema,
    boolean,
    form,
    integer,
    list_of,
    record,
    string,
    string_map,
    string_set,
)
from manifests.generate.signerpolicy import ACCOUNT, LABEL, NAMESPACE, TRUST_DOMAIN, limited_duration, namespaces
from signer.bridges.read import MAX_ACCOUNTS, MAX_CLIENTS, MAX_HOSTS

BRIDGE_RULES: tuple[Rule, ...] = (
    (
        f"self.metadata.name.matches(r'^{LABEL}$') && !self.metadata.name.endsWith('-cacert')",
        "metadata.name is a name of lower case letters, digits and '-', at most 63, that does not end in -cacert",
    ),
)
"""Rules over the whole object."""


def _lifetime(text: str, name: str) -> Schema:
    return limited_duration(text, limit=("duration(self) >= duration('1m')", f"{name} is at least 1m"))


def _end(text: str) -> Schema:
    return string(text, format="date-time")


def bridge_spec() -> Schema:
    """Spec of a TenantBridge."""
    return record(
        "Who may reach services of this namespace although another CA signs for them. It holds only within a"
        " TenantBridgePolicy, which admins write.",
        {
            "client": record(
                "The one workload that may come.",
                {
                    "namespace": string(
                        "Its namespace; it cannot be changed.",
                        maxLength=63,
                        rules=[NAMESPACE, ("self == oldSelf", "it cannot be changed: make another TenantBridge")],
                    ),
                    "serviceAccount": string("Its service account.", maxLength=253, rules=[ACCOUNT]),
                    "matchLabels": string_map(
                        "Labels of its Pods, all of which must be there: these proxies alone use the bridge.",
                        maxProperties=16,
                    )
                    | {"minProperties": 1, "additionalProperties": {"type": "string", "maxLength": 63}},
                },
                required=["namespace", "serviceAccount", "matchLabels"],
            ),
            "endTime": _end("When it ends. Left out: when it is deleted, or a policy no longer allows it."),
            "hosts": string_set(
                "The services that are reached, in full, as httpbin.foo.svc.cluster.local; all of the namespace as"
                " *.foo.svc.cluster.local, where a policy allows that.",
                MAX_HOSTS,
                maxLength=253,
                each=[
                    form(
                        rf"^([*]|{LABEL})[.]{LABEL}[.]svc([.]{LABEL})+$",
                        "the full name of a service is expected, as httpbin.foo.svc.cluster.local",
                    )
                ],
            )
            | {"minItems": 1},
            "lifetime": _lifetime(
                "Lifetime of the client's certificate, as 1h; 1h when unset. It is how long a copy of it is of use after"
                " the end.",
                "lifetime",
            ),
            "serviceAccounts": string_set(
                "The service accounts of the servers; certificates of others are not accepted. Left out: all of the"
                " namespace, as they are now.",
                MAX_ACCOUNTS,
                maxLength=253,
                each=[ACCOUNT],
            ),
        },
        required=["client", "hosts"],
    )


def _hash(text: str) -> Schema:
    return string(text, maxLength=64, pattern="^[0-9a-f]*$")


def bridge_status() -> Schema:
    """Status of a TenantBridge."""
    return record(
        "What came of it; written by mesh-signer.",
        {
            "clientNamespace": string("Where it was built.", maxLength=63),
            "clientNamespaceUID": string(
                "Which namespace it was built to: one made again under its name has nothing.", maxLength=128
            ),
            "conditions": conditions(
                "Ready: it stands. Working: nothing that is known of would make its requests fail. Contained: nobody"
                " but the client can use it, and it ends when it is to.",
                "Ready, Working, Contained",
            )
            | {"maxItems": 8},
            "formerRoot": _hash("SHA-256 of the root that was there before; ca.crt has it too."),
            "formerRootUntil": string("Until when.", format="date-time"),
            "notAfter": string("When the client's certificate ends.", format="date-time"),
            "root": _hash("SHA-256 of the root in ca.crt."),
            "rules": string_map(
                "The DestinationRules that were made in the client's namespace: name and uid. Before one is made its uid"
                ' is "".',
                maxProperties=2 * MAX_HOSTS,
            )
            | {"additionalProperties": {"type": "string", "maxLength": 128}},
            "secretUID": string("UID of the Secret that was made in the client's namespace.", maxLength=128),
        },
    )


def bridge_policy_spec() -> Schema:
    """Spec of a TenantBridgePolicy."""
    return record(
        "Which tenants may be reached from elsewhere at all, and by whom. It builds nothing by itself: a TenantBridge in"
        " the server's namespace does, within it.",
        {
            "allowWildcardHosts": boolean(
                "Whether a bridge may be to all services of a namespace at once (*.foo.svc.cluster.local); false when"
                " unset."
            ),
            "clients": list_of(
                "Who may be let in.",
                record(
                    "Service accounts of one namespace.",
                    {
                        "namespace": string("Their namespace.", maxLength=63, rules=[NAMESPACE]),
                        "serviceAccounts": string_set("Their names.", MAX_ACCOUNTS, maxLength=253, each=[ACCOUNT])
                        | {"minItems": 1},
                    },
                    required=["namespace", "serviceAccounts"],
                ),
                maxItems=MAX_CLIENTS,
            )
            | {"minItems": 1},
            "endTime": _end("When it ends, and every bridge within it. Left out: when it is deleted."),
            "maxLifetime": _lifetime(
                "Longest lifetime of a client's certificate, as 1h; 24h when unset.", "maxLifetime"
            ),
            "remade": string(
                "What becomes of a namespace, named here, that was deleted and made again, maybe by somebody else."
                " Refuse, also when unset: it has nothing by this policy until an admin makes the policy anew. Allow: it"
                " has what the earlier one had.",
                enum=["Refuse", "Allow"],
            ),
            "servers": namespaces(
                "Their names. Each is for the namespace that had it when the policy was first seen"
                " (status.namespaceUIDs)."
            )
            | {
                "description": "Whose services may be reached: the namespaces named, and those with all of these labels."
            },
            "trustDomain": string(
                "The trust domain of clients and servers, where the mesh has several.",
                maxLength=255,
                rules=[TRUST_DOMAIN],
            ),
        },
        required=["servers", "clients"],
    )


def bridge_policy_status() -> Schema:
    """Status of a TenantBridgePolicy."""
    return record(
        "What came of it; written by mesh-signer.",
        {
            "bridges": integer("How many bridges stand within it.", format="int32"),
            "conditions": conditions("Ready: it can be read, and its namespaces are recorded.", "Ready")
            | {"maxItems": 8},
            "namespaceUIDs": string_map(
                "Which namespace each name in the spec was first given to, by uid. Bridges rest on it.",
                maxProperties=2048,
            )
            | {"additionalProperties": {"type": "string", "maxLength": 128}},
        },
    )
