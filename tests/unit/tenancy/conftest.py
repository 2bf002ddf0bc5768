"""An Index with the mesh of the Istio task."""

import pytest

from signer.tenancy.index import Index
from signer.tenancy.world import Settings
from tests.unit.tenancy.indexed import NOW, mesh, namespace_object


@pytest.fixture
def index() -> Index:
    """An index of a mesh with two signers and two namespaces, all of it read."""
    made = Index(Settings())
    made.world.unsynced = ""
    made.config_maps.put("istio", mesh("foo", "bar"))
    for name in ("foo", "bar"):
        made.put_namespace(namespace_object(name))
    made.settle(NOW)
    return made
