"""CASource: the CA injector asks for a CA, the controllers answer; both are mesh-signer."""

from manifests.generate.schema import DNS_SUBDOMAIN, Schema, record, string


def source_spec() -> Schema:
    """Spec of a CASource; it cannot be changed."""
    return record(
        "Whose CA is asked for. It cannot be changed.",
        {
            "kind": string(
                "Certificate: the CA of its Secret; Secret: its own, if it allows that.", enum=["Certificate", "Secret"]
            ),
            "namespace": string(
                "Where it is.", minLength=1, maxLength=63, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
            ),
            "name": string("Its name.", minLength=1, maxLength=253, pattern=DNS_SUBDOMAIN),
        },
        required=["kind", "namespace", "name"],
        rules=[("self == oldSelf", "spec cannot be changed")],
    )


def source_status() -> Schema:
    """Status of a CASource."""
    return record(
        "The answer, written by mesh-signer's controllers.",
        {
            "caBundle": string(
                "The certificates of ca.crt, as they are there; absent when there is no answer.", format="byte"
            ),
            "reason": string("Available, or why there is no bundle, in one word.", maxLength=64),
            "message": string("The same in a sentence.", maxLength=1024),
            "namespaceUID": string(
                "The namespace from which a bundle was given first: of one that is made again under its name none is given.",
                maxLength=64,
            ),
        },
    )
