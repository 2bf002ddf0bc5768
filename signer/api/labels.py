"""Labels of our own, said once: what is ours is found by them. Names that cert-manager gave are in certificates/well_known."""

EDGE_LABEL = "mesh-signer.dev/edge"
SOURCE_NAMESPACE = "mesh-signer.dev/source-namespace"
BRIDGE_UID = "mesh-signer.dev/bridge-uid"
"""On what was made for a TenantBridge, in the namespace of its client: the TenantBridge's uid."""
BRIDGE_NAME = "mesh-signer.dev/bridge"
"""An annotation beside it, for people: the TenantBridge, as NAMESPACE/NAME."""
SOURCE_NAMESPACE_UID = "mesh-signer.dev/source-namespace-uid"

PART_OF = {"app.kubernetes.io/part-of": "mesh-signer"}

# On the ClusterTrustBundles that we keep, for the labelSelector of a Pod's volume.
TRUST_BUNDLE = {"mesh-signer.dev/trust-bundle": "roots"}
