"""Issuer and ClusterIssuer: one specification for both."""

from manifests.generate.acme import acme_issuer, acme_status
from manifests.generate.references import conditions, secret_key, service_account
from manifests.generate.schema import Schema, record, string, strings

_TYPES = ("acme", "ca", "selfSigned", "vault", "venafi")


def _ca() -> Schema:
    return record(
        "A CA whose certificate and key are in a Secret.",
        {
            "crlDistributionPoints": strings("CRL addresses written into each certificate (RFC 5280 4.2.1.13)."),
            "issuingCertificateURLs": strings(
                "Where the CA's own certificate can be fetched (RFC 5280 4.2.2.1).", minLength=1
            ),
            "ocspServers": strings("OCSP addresses written into each certificate (RFC 5280 4.2.2.1).", minLength=1),
            "secretName": string(
                "Secret with tls.crt, tls.key and, if known, ca.crt: in the Issuer's namespace, for a ClusterIssuer"
                " in the cluster resource namespace.",
                minLength=1,
            ),
        },
        required=["secretName"],
    )


def _vault() -> Schema:
    return record(
        "A HashiCorp Vault. Accepted, not supported: Ready is False and its message names the field.",
        {
            "auth": record(
                "How to authenticate: the first one set of tokenSecretRef, appRole, clientCertificate, kubernetes.",
                {
                    "appRole": record(
                        "With an AppRole.",
                        {
                            "path": string("Where it is mounted."),
                            "roleId": string("Its role."),
                            "secretRef": secret_key("Secret with its secret."),
                        },
                        required=["path", "roleId", "secretRef"],
                    ),
                    "clientCertificate": record(
                        "With a client certificate.",
                        {
                            "mountPath": string("Where it is mounted."),
                            "name": string("Role; any that fits when unset."),
                            "secretName": string("Secret with tls.crt and tls.key."),
                        },
                    ),
                    "kubernetes": record(
                        "With a ServiceAccount's token.",
                        {
                            "mountPath": string("Where it is mounted; /v1/auth/kubernetes when unset."),
                            "role": string("Its role."),
                            "secretRef": secret_key("Secret with a token."),
                            "serviceAccountRef": service_account("ServiceAccount to request a token for."),
                        },
                        required=["role"],
                    ),
                    "tokenSecretRef": secret_key("With a token from a Secret."),
                },
            ),
            "caBundle": string("PEM certificates that the server's own must chain to.", format="byte"),
            "caBundleSecretRef": secret_key("The same from a Secret."),
            "clientCertSecretRef": secret_key("Certificate for mutual TLS."),
            "clientKeySecretRef": secret_key("Key for mutual TLS."),
            "namespace": string("Vault namespace."),
            "path": string("Path of the PKI role's sign endpoint.", minLength=1),
            "server": string("Address of the server.", minLength=1),
            "serverName": string("Name to expect in the server's certificate."),
        },
        required=["auth", "path", "server"],
        rules=[
            (
                "!(has(self.caBundle) && self.caBundle.size() > 0 && has(self.caBundleSecretRef))",
                "caBundle and caBundleSecretRef cannot both be set",
            ),
            (
                "has(self.clientCertSecretRef) == has(self.clientKeySecretRef)",
                "clientCertSecretRef and clientKeySecretRef go together",
            ),
        ],
    )


def _venafi() -> Schema:
    return record(
        "A Venafi (CyberArk) server. Accepted, not supported: Ready is False and its message names the field.",
        {
            "cloud": record(
                "The hosted service.",
                {"apiTokenSecretRef": secret_key("Secret with the API key."), "url": string("Its address.")},
                required=["apiTokenSecretRef"],
            ),
            "tpp": record(
                "A server of one's own.",
                {
                    "caBundle": string("PEM certificates that the server's own must chain to.", format="byte"),
                    "caBundleSecretRef": secret_key("The same from a Secret."),
                    "credentialsRef": record(
                        "Secret with the credentials.", {"name": string("Its name.")}, required=["name"]
                    ),
                    "url": string("Its address.", minLength=1),
                },
                required=["credentialsRef", "url"],
                rules=[
                    (
                        "!(has(self.caBundle) && self.caBundle.size() > 0 && has(self.caBundleSecretRef))",
                        "caBundle and caBundleSecretRef cannot both be set",
                    ),
                ],
            ),
            "zone": string("Policy zone.", minLength=1),
        },
        required=["zone"],
        rules=[("has(self.cloud) != has(self.tpp)", "either cloud or tpp is expected")],
    )


def issuer_spec() -> Schema:
    """Spec of Issuer and ClusterIssuer: exactly one type."""
    return record(
        "What signs; exactly one type.",
        {
            "acme": acme_issuer(),
            "ca": _ca(),
            "selfSigned": record(
                "Each certificate is signed with its own key; the usual start of a CA.",
                {
                    "crlDistributionPoints": strings(
                        "CRL addresses written into each certificate (RFC 5280 4.2.1.13)."
                    ),
                },
            ),
            "vault": _vault(),
            "venafi": _venafi(),
        },
        rules=[
            (
                "[" + ", ".join(f"has(self.{name})" for name in _TYPES) + "].filter(set, set).size() == 1",
                "exactly one issuer type is expected: acme, ca, selfSigned, vault or venafi",
            ),
        ],
    )


def issuer_status() -> Schema:
    """Status of Issuer and ClusterIssuer."""
    return record(
        "What was found; written by the controller.",
        {"acme": acme_status(), "conditions": conditions("Whether the issuer can sign.", "Ready")},
    )
