"""What several kinds share: references to Secrets, ServiceAccounts and issuers, and status conditions."""

from manifests.generate.schema import Schema, integer, list_of, record, string, strings

KEY_USAGES = (
    # RFC 5280 section 4.2.1.3, in Kubernetes' words
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    # RFC 5280 section 4.2.1.12: extended key usages
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
)


def secret_key(text: str, *, name_limits: Schema | None = None) -> Schema:
    """A reference to one entry of a Secret."""
    return record(
        text,
        {
            "key": string("Entry of the Secret's data; some uses have a default."),
            "name": string("Name of the Secret.", **(name_limits or {})),
        },
        required=["name"],
    )


def service_account(text: str) -> Schema:
    """A reference to a ServiceAccount for which a token is requested."""
    return record(
        text,
        {
            "audiences": strings("More audiences for the token."),
            "name": string("Name of the ServiceAccount."),
        },
        required=["name"],
    )


def issuer_reference(text: str) -> Schema:
    """A reference to an Issuer, a ClusterIssuer, or another project's issuer kind."""
    return record(
        text,
        {
            "group": string("API group of the issuer; cert-manager.io when unset."),
            "kind": string("Issuer (same namespace) or ClusterIssuer; Issuer when unset."),
            "name": string("Name of the issuer.", minLength=1),
        },
        required=["name"],
        rules=[
            (
                (
                    "(has(self.group) && self.group != '' && self.group != 'cert-manager.io') || !has(self.kind)"
                    " || self.kind in ['', 'Issuer', 'ClusterIssuer']"
                ),
                "kind is Issuer or ClusterIssuer (an issuer of another project needs its group as well)",
            ),
        ],
    )


def usages(text: str) -> Schema:
    """Key usages and extended key usages."""
    return list_of(text, {"type": "string", "enum": list(KEY_USAGES)})


def conditions(text: str, types: str, *, observed_generation: bool = True) -> Schema:
    """Status conditions, one per type."""
    fields = {
        "lastTransitionTime": string("When status last changed.", format="date-time"),
        "message": string("What happened, for people."),
        "reason": string("Why, as one CamelCase word."),
        "status": string("True, False or Unknown.", enum=["True", "False", "Unknown"]),
        "type": string(f"Which condition: {types}."),
    }
    if observed_generation:
        fields["observedGeneration"] = integer(
            "metadata.generation of the object this was found on; if it is behind, the condition is out of date.",
            format="int64",
        )
    return list_of(text, record("One condition.", fields, required=["status", "type"]), keys=["type"])
