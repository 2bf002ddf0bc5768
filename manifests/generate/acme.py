"""The ACME issuer (RFC 8555) with its solvers."""

from manifests.generate.dns import dns01
from manifests.generate.pods import labels_and_annotations, pod_template
from manifests.generate.references import secret_key
from manifests.generate.schema import (
    DNS_SUBDOMAIN,
    Schema,
    boolean,
    integer,
    list_of,
    record,
    string,
    string_map,
    strings,
)

_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def _service_type() -> Schema:
    return string(
        "Type of the solver's Service: NodePort when unset, or ClusterIP.", enum=["", "ClusterIP", "NodePort"]
    )


def _parent_reference() -> Schema:
    return record(
        "One Gateway, as in the Gateway API.",
        {
            "group": string(
                "API group of the parent.",
                default="gateway.networking.k8s.io",
                maxLength=253,
                pattern=r"^$|" + DNS_SUBDOMAIN,
            ),
            "kind": string(
                "Kind of the parent.",
                default="Gateway",
                maxLength=63,
                minLength=1,
                pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
            ),
            "name": string("Name of the parent.", maxLength=253, minLength=1),
            "namespace": string(
                "Its namespace; the challenge's when unset.", maxLength=63, minLength=1, pattern=_DNS_LABEL
            ),
            "port": integer("Only listeners on this port.", format="int32", maximum=65535, minimum=1),
            "sectionName": string("Only the listener of this name.", maxLength=253, minLength=1, pattern=DNS_SUBDOMAIN),
        },
        required=["name"],
    )


def _http01() -> Schema:
    return record(
        "Prove control by a file under /.well-known/acme-challenge/.",
        {
            "gatewayHTTPRoute": record(
                "Answer through an HTTPRoute of the Gateway API.",
                {
                    "labels": string_map("Labels of the HTTPRoute."),
                    "parentRefs": list_of("Gateways that it attaches to.", _parent_reference()),
                    "podTemplate": pod_template(),
                    "serviceType": _service_type(),
                },
            ),
            "selfCheck": record(
                "What mesh-signer looks at before the server is told that the answer is in place.",
                {
                    "addresses": list_of(
                        "IP addresses to look at in place of those that the name leads to.",
                        {"type": "string", "maxLength": 64},
                        maxItems=8,
                    ),
                    "mode": string(
                        "Public: the gateway's Pods, then where the name leads, as the server will. Gateway: its Pods alone."
                        " None: nothing.",
                        enum=["Public", "Gateway", "None"],
                    ),
                    "nameservers": list_of(
                        "IP addresses, with a port or without, of the DNS servers to ask for the name.",
                        {"type": "string", "maxLength": 64},
                        maxItems=8,
                    ),
                },
            ),
            "ingress": record(
                "Answer through an Ingress.",
                {
                    "class": string("Class of the Ingress, as its annotation."),
                    "ingressClassName": string("Class of the Ingress.", maxLength=253, pattern=DNS_SUBDOMAIN),
                    "ingressTemplate": record(
                        "Changes to the Ingress.",
                        {"metadata": labels_and_annotations("Labels and annotations added to the Ingress.")},
                    ),
                    "name": string("An existing Ingress to extend instead."),
                    "podTemplate": pod_template(),
                    "serviceType": _service_type(),
                },
                rules=[
                    (
                        (
                            "(has(self.class) ? 1 : 0) + (has(self.ingressClassName) ? 1 : 0)"
                            " + (has(self.name) && self.name != '' ? 1 : 0) <= 1"
                        ),
                        "only one of class, ingressClassName and name is possible",
                    ),
                ],
            ),
        },
        one_of=["ingress", "gatewayHTTPRoute"],
    )


def solver() -> Schema:
    """One entry of spec.acme.solvers."""
    return record(
        "One way to prove control of names.",
        {
            "dns01": dns01(),
            "http01": _http01(),
            "selector": record(
                "For which names; all when unset. The most specific solver wins.",
                {
                    "dnsNames": strings("Exactly these names."),
                    "dnsZones": strings("Names in these zones; the longest zone wins."),
                    "matchLabels": string_map("Only Certificates with these labels."),
                },
            ),
        },
        one_of=["dns01", "http01"],
    )


def acme_issuer() -> Schema:
    """spec.acme of an issuer."""
    return record(
        "An ACME server (RFC 8555), which answers CertificateRequests.",
        {
            "caBundle": string("PEM certificates that the server's own must chain to.", format="byte"),
            "disableAccountKeyGeneration": boolean("Use only an account key that exists."),
            "email": string("Contact of the account."),
            "enableDurationFeature": boolean("Ask for the Certificate's duration; few servers allow it."),
            "externalAccountBinding": record(
                "Bind the account to one at the server's operator.",
                {
                    "keyAlgorithm": string("Not used any more.", enum=["HS256", "HS384", "HS512"]),
                    "keyID": string("Name of the operator's key.", minLength=1),
                    "keySecretRef": secret_key("Secret with the operator's key, base64url."),
                },
                required=["keyID", "keySecretRef"],
            ),
            "preferredChain": string("Common name of the root to prefer, if the server offers several.", maxLength=64),
            "privateKeySecretRef": secret_key("Secret for the account's key.", name_limits={"minLength": 1}),
            "profile": string("Certificate profile to ask the server for."),
            "server": string("URL of the server's directory.", minLength=1),
            "skipTLSVerify": boolean("Do not check the server's certificate. For tests only."),
            "solvers": list_of("Ways to prove control of names.", solver()),
        },
        required=["privateKeySecretRef", "server"],
        rules=[
            (
                "!(has(self.caBundle) && self.caBundle.size() > 0 && has(self.skipTLSVerify) && self.skipTLSVerify)",
                "caBundle and skipTLSVerify cannot both be set",
            ),
        ],
    )


def acme_status() -> Schema:
    """status.acme of an issuer."""
    return record(
        "The ACME account.",
        {
            "lastExternalAccount": string("keyID of the external account that the account was last registered with."),
            "lastPrivateKeyHash": string("Hash of the key that the account was last registered with."),
            "lastRegisteredEmail": string("Contact that the account was last registered with."),
            "lastServer": string("Directory that the account was last registered with."),
            "uri": string("URL of the account."),
        },
    )
