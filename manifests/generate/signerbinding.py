"""SignerBinding: which namespace owns a signer; written once by us, removed by admins."""

from manifests.generate.schema import DNS_SUBDOMAIN, Rule, Schema, record, string

_DOMAIN = "clusterissuers.cert-manager.io/"

BINDING_RULES: tuple[Rule, ...] = (
    (
        f"self.spec.signerName == '{_DOMAIN}' + self.metadata.name",
        f"spec.signerName is {_DOMAIN} and the name of this object",
    ),
)
"""Rules over the whole object: one binding for each signer, by its name."""


def binding_spec() -> Schema:
    """Spec of a SignerBinding; it cannot be changed."""
    return record(
        "Who owns which signer. It cannot be changed: remove the object to release the signer.",
        {
            "namespace": string(
                "The owner.", minLength=1, maxLength=63, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
            ),
            "namespaceUID": string(
                "UID that the owner had: a namespace made again under its name owns nothing.",
                minLength=1,
                maxLength=128,
            ),
            "signerName": string(
                "The signer, as clusterissuers.cert-manager.io/foo; this object has the same name, foo.",
                maxLength=len(_DOMAIN) + 253,
                pattern=rf"^{_DOMAIN.replace('.', '[.]')}{DNS_SUBDOMAIN.removeprefix('^')}",
            ),
        },
        required=["namespace", "namespaceUID", "signerName"],
        rules=[("self == oldSelf", "spec cannot be changed; an admin may remove the object to release the signer")],
    )


def binding_status() -> Schema:
    """Status of a SignerBinding."""
    return record(
        "What the owner does with it; written by mesh-signer, some minutes behind.",
        {
            "claimEndedTime": string(
                "When its owner stopped claiming the signer; absent while it claims.", format="date-time"
            ),
            "lastIssuedTime": string("When the newest certificate that is known of was issued.", format="date-time"),
        },
    )
