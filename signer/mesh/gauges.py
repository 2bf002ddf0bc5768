"""Gauges of the mesh: how much is behind the wall, and how fresh what is known of it is. Used on the loop only."""

from signer.observe.metrics import Metrics
from signer.tenancy.world import World


class MeshGauges:
    """Sets `mesh_signer_mesh_signers`, `mesh_signer_bindings` and `mesh_signer_mesh_source_age_seconds`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def update(self, world: World) -> None:
        """Show the world as it is now."""
        self._metrics.mesh_signers.set(len(world.signers))
        self._metrics.bindings.set(len(world.bindings))

    def source_age(self, source: str, seconds: float) -> None:
        """Show how long ago a source was heard of, which a bookmark does each minute."""
        self._metrics.mesh_source_age.labels(source).set(seconds)
