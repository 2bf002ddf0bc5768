"""Worlds and requests for the tests of the wall in the hot path."""

from tests.unit.csr.crafted import FOO
from tests.unit.tenancy.worlds import BAR, binding

OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))


BAR_SIGNER = "clusterissuers.cert-manager.io/bar"
