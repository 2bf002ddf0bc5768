"""Signer names of the certificates.k8s.io API, and the issuer that each one means. Pure.

The grammar is cert-manager's, so that a mesh may move from it without a change: `clusterissuers.cert-manager.io/NAME`
and `issuers.cert-manager.io/NAMESPACE.NAME`, split at the first dot, since names may hold dots and namespaces may not.
"""

from signer.api.issuer import GROUP, IssuerRef

CLUSTER_ISSUER_DOMAIN = f"clusterissuers.{GROUP}"
ISSUER_DOMAIN = f"issuers.{GROUP}"


def parse_signer_name(signer_name: str) -> IssuerRef | None:
    """Return the issuer that a signer name means, or None for the name of somebody else's signer.

    A name of ours without a dot (`issuers.cert-manager.io/foo`) means an Issuer in no namespace: it never exists.
    """
    domain, separator, path = signer_name.partition("/")
    if not separator or "/" in path:
        return None
    if domain == CLUSTER_ISSUER_DOMAIN:
        return IssuerRef("ClusterIssuer", "", path)
    if domain == ISSUER_DOMAIN:
        namespace, dot, name = path.partition(".")
        return IssuerRef("Issuer", namespace, name) if dot else IssuerRef("Issuer", "", path)
    return None


def signer_name_of(ref: IssuerRef) -> str:
    """Return the signer name that means this issuer."""
    if ref.kind == "ClusterIssuer":
        return f"{CLUSTER_ISSUER_DOMAIN}/{ref.name}"
    return f"{ISSUER_DOMAIN}/{ref.namespace}.{ref.name}"
