"""ClusterTrustBundles of certificates.k8s.io: the roots that a signer's certificates are verified by, for Pods to mount.

Pure. Source: k8s.io/api/certificates/v1beta1; ValidateClusterTrustBundleName: the name begins with the signer's, its slash a colon.
"""

import msgspec
from msgspec.structs import replace

from signer.api.labels import PART_OF, TRUST_BUNDLE
from signer.api.meta import ObjectMeta, slim_metadata
from signer.api.notes import text_note
from signer.kube.resource import Resource

CLUSTER_TRUST_BUNDLES = Resource(
    "certificates.k8s.io", "v1", "clustertrustbundles", "ClusterTrustBundle", namespaced=False
)
# v1alpha1 has the same fields, and nobody should rely on it.
KNOWN_VERSIONS = ("v1", "v1beta1")
FORMER_ROOTS = "mesh-signer.dev/former-roots"
"""The annotation that says until when a root stays that is no signer's any more: RFC 3339 times by its SHA-256, in JSON."""
_SUFFIX = "mesh-signer"
# More than the annotation ever has.
_NOTE = 4096


class ClusterTrustBundleSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The spec: whose roots, and the roots (PEM)."""

    signer_name: str = ""
    trust_bundle: str = ""


class ClusterTrustBundle(msgspec.Struct, frozen=True):
    """A ClusterTrustBundle; of others' only what names them is kept."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: ClusterTrustBundleSpec = msgspec.field(default_factory=ClusterTrustBundleSpec)

    @property
    def ours(self) -> bool:
        """Whether it is one that we keep: it has our name, and our label."""
        named = self.metadata.name == bundle_name(self.spec.signer_name)
        return named and TRUST_BUNDLE.items() <= self.metadata.labels.items()


def slim_bundle(bundle: ClusterTrustBundle) -> ClusterTrustBundle | None:
    """Keep a bundle of ours, of another of such a name its name, and of all others nothing."""
    if bundle.ours:
        kept = slim_metadata(bundle.metadata)
        notes = {
            name: note for name in (FORMER_ROOTS,) if (note := text_note(bundle.metadata.annotations, name, _NOTE))
        }
        version = bundle.metadata.resource_version
        return ClusterTrustBundle(
            replace(kept, resource_version=version, labels=dict(TRUST_BUNDLE), annotations=notes), bundle.spec
        )
    if not bundle.metadata.name.endswith(f":{_SUFFIX}"):
        return None
    return ClusterTrustBundle(slim_metadata(bundle.metadata), ClusterTrustBundleSpec(bundle.spec.signer_name))


def bundle_name(signer_name: str) -> str:
    """Return the name of the bundle that we keep for a signer."""
    return f"{signer_name.replace('/', ':')}:{_SUFFIX}"


def new_bundle(signer_name: str) -> dict[str, object]:
    """Return what is always so in a bundle of ours."""
    return {
        "metadata": {"name": bundle_name(signer_name), "labels": {**PART_OF, **TRUST_BUNDLE}},
        "spec": {"signerName": signer_name},
    }
