"""Signer names of the certificates.k8s.io API, and the issuer that each one means. Pure.

The grammar is cert-manager's, so that a mesh may move from it without a change: `clusterissuers.cert-manager.io/NAME`
and `issuers.cert-manager.io/NAMESPACE.NAME`, split at the first dot, since names may hold dots and namespaces may not.
"""

from functools import lru_cache

from signer.api.certificate import FORMER_GROUP
from signer.api.issuer import GROUP, IssuerRef
from signer.api.meant import letters_of, nearly
from signer.api.text import shown

CLUSTER_ISSUER_DOMAIN = f"clusterissuers.{GROUP}"
ISSUER_DOMAIN = f"issuers.{GROUP}"
_FORMER = {letters_of(f"{kind}.{FORMER_GROUP}"): f"{kind}.{GROUP}" for kind in ("clusterissuers", "issuers")}


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


def misspelt_signer(signer_name: str) -> str:
    """Say what is probably wrong with a signer name that is nearly one of ours; "" for ours, and for somebody else's.

    For each name of somebody else's signer that is met, so it is remembered by domain.
    """
    return _slip(signer_name.partition("/")[0])


@lru_cache(maxsize=512)
def _slip(domain: str) -> str:
    if domain in (CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN):
        return ""
    meant = _FORMER.get(letters_of(domain)) or next(
        (one for one in (CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN) if nearly(domain, one)), ""
    )
    if not meant:
        return ""
    path = "NAME" if meant == CLUSTER_ISSUER_DOMAIN else "NAMESPACE.NAME"
    return f"spec.signerName: {shown(domain)} is no domain of signers that is known, so nobody answers: is {meant}/{path} meant?"
