"""mesh-signer's manifests in a cluster, in the one order that docs/install.md has: for the demos, tests and benchmarks.

    install(cluster)                                # the namespaces, the CRDs and base
    install(cluster, ISTIO)                         # the overlay in place of base
    install(cluster, BESIDE, crds=OWN_CRDS)         # beside cert-manager's CRDs
    install(cluster, crds=None)                     # whose CRDs are there, or are to be missing
    install(cluster, more=[COMPONENTS / "requester" / "requester.yaml"])
    install_crds(cluster)                           # the CRDs alone

All of it is applied as a user would, and may be applied again. Synchronous.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
NAMESPACES = MANIFESTS / "namespaces"
CRDS = MANIFESTS / "crds"
OWN_CRDS = CRDS / "mesh-signer"  # those of mesh-signer.dev alone
BASE = MANIFESTS / "base"
ISTIO = MANIFESTS / "overlays" / "istio"
BESIDE = MANIFESTS / "overlays" / "beside-cert-manager"
COMPONENTS = MANIFESTS / "components"


def install(cluster: Cluster, variant: Path = BASE, *, crds: Path | None = CRDS, more: Sequence[Path] = ()) -> None:
    """Apply `variant` (base or an overlay) after all that it stands on; returns when the CRDs are served.

    `crds` None leaves the CRDs as they are; `more` are further files or folders. Raises LocalMeshError.
    """
    if variant != BESIDE:  # there the namespaces are cert-manager's and Istio's
        cluster.apply_kustomize(NAMESPACES)
    if crds is not None:
        cluster.apply_kustomize(crds)
    cluster.apply_kustomize(variant)
    for path in more:
        cluster.apply(path)
    if crds is not None:
        wait_established(cluster, *definitions(crds))


def install_crds(cluster: Cluster, crds: Path = CRDS, *, again: bool = False) -> None:
    """Apply a folder of CRDs, and return when they are served.

    Done once for each cluster, since dozens of modules begin with it and none takes the CRDs from the shared one;
    whoever did so to a cluster of its own says `again`.
    """
    if again or crds not in cluster.installed:
        cluster.apply_kustomize(crds)
        wait_established(cluster, *definitions(crds))
        cluster.installed.add(crds)


@functools.cache
def definitions(folder: Path) -> tuple[str, ...]:
    """The names of the CRDs in a folder and below it."""
    read = [one for file in sorted(folder.rglob("*.yaml")) for one in yaml.load_all(file.read_text(), yaml.CSafeLoader)]
    return tuple(one["metadata"]["name"] for one in read if one["kind"] == "CustomResourceDefinition")


def wait_established(cluster: Cluster, *names: str) -> None:
    """Return when these CRDs are served, at the latest after a minute; without names all that there are."""
    which = [f"crd/{name}" for name in names] or ["crd", "--all"]

    def waited() -> bool:
        try:
            cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *which)
        except LocalMeshError as error:
            # Of a definition that came this moment: it has no conditions at all.
            if "accessor error" in str(error):
                return False
            raise
        return True

    cluster.wait_for(waited, f"CRDs that are served: {' '.join(names) or 'all'}", 60)
