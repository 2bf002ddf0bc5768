"""DNS-01 solvers of the ACME issuer, one record per DNS provider."""

from manifests.generate.references import secret_key, service_account
from manifests.generate.schema import Schema, record, string

PROVIDERS = (
    "acmeDNS",
    "akamai",
    "azureDNS",
    "cloudDNS",
    "cloudflare",
    "digitalocean",
    "externalDNS",
    "persistent",
    "rfc2136",
    "route53",
    "webhook",
)


def _azure() -> Schema:
    return record(
        "Azure DNS.",
        {
            "clientID": string("Application that may change the zone."),
            "clientSecretSecretRef": secret_key("Its secret."),
            "environment": string(
                "Azure cloud; AzurePublicCloud when unset.",
                enum=["AzurePublicCloud", "AzureChinaCloud", "AzureGermanCloud", "AzureUSGovernmentCloud"],
            ),
            "hostedZoneName": string("Zone to write to."),
            "managedIdentity": record(
                "Workload identity or managed identity instead of clientID and its secret.",
                {
                    "clientID": string("Client of the identity."),
                    "resourceID": string("Resource of the identity."),
                    "tenantID": string("Tenant of the identity."),
                },
            ),
            "resourceGroupName": string("Resource group of the zone."),
            "subscriptionID": string("Subscription of the zone."),
            "tenantID": string("Tenant of the application."),
            "zoneType": string(
                "Public (when unset) or private zone.",
                enum=["AzurePublicZone", "AzurePrivateZone"],
            ),
        },
        required=["resourceGroupName", "subscriptionID"],
    )


def _route53() -> Schema:
    return record(
        "Amazon Route 53.",
        {
            "accessKeyID": string("Access key; ambient credentials when neither this nor the reference is set."),
            "accessKeyIDSecretRef": secret_key("Secret with the access key."),
            "auth": record(
                "How to authenticate.",
                {
                    "kubernetes": record(
                        "With a token of a ServiceAccount.",
                        {"serviceAccountRef": service_account("The ServiceAccount.")},
                        required=["serviceAccountRef"],
                    ),
                },
                required=["kubernetes"],
            ),
            "hostedZoneID": string("Zone to write to; looked up by name when unset."),
            "region": string("AWS region."),
            "role": string("Role to assume."),
            "secretAccessKeySecretRef": secret_key("Secret with the secret access key."),
        },
    )


def _rfc2136() -> Schema:
    return record(
        "Dynamic DNS updates (RFC 2136).",
        {
            "nameserver": string("Server to send updates to, host:port."),
            "protocol": string("TCP or UDP (the default).", enum=["TCP", "UDP"]),
            "tsigAlgorithm": string("HMACMD5 (the default), HMACSHA1, HMACSHA256 or HMACSHA512."),
            "tsigKeyName": string("Name of the TSIG key (RFC 8945)."),
            "tsigSecretSecretRef": secret_key("Secret with the TSIG key."),
        },
        required=["nameserver"],
    )


def _external_dns() -> Schema:
    return record(
        "DNSEndpoint objects (externaldns.k8s.io/v1alpha1), which External-DNS carries out. Of mesh-signer alone.",
        {"namespace": string("Where they are made, for a ClusterIssuer; the Challenge's namespace when unset.")},
    )


def dns01() -> Schema:
    """The dns01 solver. That two providers exclude each other is left to the controller: CEL in a list costs too much."""
    return record(
        "Prove control by a TXT record.",
        {
            "acmeDNS": record(
                "An acme-dns server.",
                {
                    "accountSecretRef": secret_key("Secret with the account, as JSON."),
                    "host": string("Its address."),
                },
                required=["accountSecretRef", "host"],
            ),
            "akamai": record(
                "Akamai Edge DNS.",
                {
                    "accessTokenSecretRef": secret_key("Access token."),
                    "clientSecretSecretRef": secret_key("Client secret."),
                    "clientTokenSecretRef": secret_key("Client token."),
                    "serviceConsumerDomain": string("Host of the account's API."),
                },
                required=[
                    "accessTokenSecretRef",
                    "clientSecretSecretRef",
                    "clientTokenSecretRef",
                    "serviceConsumerDomain",
                ],
            ),
            "azureDNS": _azure(),
            "cloudDNS": record(
                "Google Cloud DNS.",
                {
                    "hostedZoneName": string("Zone to write to; looked up when unset."),
                    "project": string("Project of the zone."),
                    "serviceAccountSecretRef": secret_key("Secret with the service account's key."),
                },
                required=["project"],
            ),
            "cloudflare": record(
                "Cloudflare; an API token, or an API key with the account's address.",
                {
                    "apiKeySecretRef": secret_key("Secret with the API key."),
                    "apiTokenSecretRef": secret_key("Secret with the API token."),
                    "email": string("Address of the account, with an API key."),
                },
            ),
            "cnameStrategy": string("Whether a CNAME of the name is followed.", enum=["None", "Follow"]),
            "digitalocean": record(
                "DigitalOcean.",
                {"tokenSecretRef": secret_key("Secret with the token.")},
                required=["tokenSecretRef"],
            ),
            "externalDNS": _external_dns(),
            "persistent": record(
                "dns-persist-01 (draft-ietf-acme-dns-persist-01): a record that stands for good. Of mesh-signer alone.",
                {"issuerDomainName": string("Domain name of the CA, as in CAA records.")},
                required=["issuerDomainName"],
            ),
            "rfc2136": _rfc2136(),
            "route53": _route53(),
            "webhook": record(
                "A solver in the cluster that speaks cert-manager's webhook protocol.",
                {
                    "config": {
                        "description": "Passed to the solver as it is.",
                        "x-kubernetes-preserve-unknown-fields": True,
                    },
                    "groupName": string("API group of the solver."),
                    "solverName": string("Name of the solver in that group."),
                },
                required=["groupName", "solverName"],
            ),
        },
        one_of_at_least=PROVIDERS,
    )
