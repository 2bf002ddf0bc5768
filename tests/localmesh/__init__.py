"""Real servers on loopback for the demo, the tests and the benchmarks; nothing here is part of the product.

What others use: `LocalCluster`, `ExistingCluster`, `build_module`, `LocalMeshError`, and the modules
`mesh` (a whole Istio: istiod, agents, Envoys), `istiod_requests` (requests exactly as istiod makes them) and `watcher` (an
independent count of what was issued).
"""

from tests.localmesh.build import build_module
from tests.localmesh.cluster import Cluster, ExistingCluster, LocalCluster
from tests.localmesh.errors import LocalMeshError

__all__ = ["Cluster", "ExistingCluster", "LocalCluster", "LocalMeshError", "build_module"]
