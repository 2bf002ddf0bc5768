"""How many ClusterTrustBundles the Issuers of one namespace have, and of how many bytes: they are of the cluster, and tenants make Issuers.

Each Pod that mounts one has its kubelet read it, and the API server keeps it with those of all others. What is there stays, and the first
by name that find room are made. Of signers that an admin made the mesh's, and of ClusterIssuers, there are as many as admins make.
Used by one round at a time.
"""

from collections import defaultdict
from collections.abc import Iterable

from signer.api.issuer import IssuerRef

MOST_OF_A_NAMESPACE = 32
BYTES_OF_A_NAMESPACE = 256 * 1024


class BundleShares:
    """What the bundles of each namespace's Issuers take. `there`: those that are, with the bytes of their roots; `exempt` have no share."""

    def __init__(self, there: Iterable[tuple[IssuerRef, int]], exempt: frozenset[IssuerRef]) -> None:
        self._exempt = exempt
        self._sizes: defaultdict[str, dict[IssuerRef, int]] = defaultdict(dict)
        for ref, size in there:
            self.take(ref, size)

    def take(self, ref: IssuerRef, size: int) -> None:
        """Count what a bundle has now."""
        if ref.kind == "Issuer" and ref not in self._exempt:
            self._sizes[ref.namespace][ref] = size

    def lacks(self, ref: IssuerRef, size: int) -> str:
        """Say why a bundle may not have so many bytes; "" where it may."""
        if ref.kind != "Issuer" or ref in self._exempt:
            return ""
        sizes = self._sizes[ref.namespace]
        if ref not in sizes and len(sizes) >= MOST_OF_A_NAMESPACE:
            return (
                f"the Issuers of namespace {ref.namespace} have {len(sizes)} ClusterTrustBundles, and no more are made: delete "
                "Issuers that nobody uses; a day after the last certificate theirs go"
            )
        if size > sizes.get(ref, 0) and sum(sizes.values()) - sizes.get(ref, 0) + size > BYTES_OF_A_NAMESPACE:
            return (
                f"the ClusterTrustBundles of the Issuers of namespace {ref.namespace} would have more than "
                f"{BYTES_OF_A_NAMESPACE // 1024} KiB: use roots of a usual size, or fewer Issuers"
            )
        return ""
