"""Whether the cert-manager.io CustomResourceDefinitions in a cluster are ours.

Where they are cert-manager's own, a real cert-manager works on them: then we take the CertificateSigningRequests only.
"""

from typing import Any, Protocol

from signer.kube.resource import Resource

CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
CERTIFICATES_CRD = "certificates.cert-manager.io"
OURS_ANNOTATION = "mesh-signer.dev/crds"


class Reader(Protocol):
    """What reads one object by name."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        """Return the object."""


async def read_crd(client: Reader) -> dict[str, Any]:
    """Read the CRD of Certificates. Raises NotFound while it is not installed, and what the client raises."""
    return await client.get(CUSTOM_RESOURCE_DEFINITIONS, CERTIFICATES_CRD)


def ours(crd: dict[str, Any]) -> bool:
    """Tell whether a CRD is one of manifests/crds."""
    metadata = crd.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and OURS_ANNOTATION in annotations
