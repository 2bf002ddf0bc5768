"""Another signer beside us on the real API server: it cannot be undone, so it is told loudly. Replicas are no strangers."""

import base64
from collections.abc import Iterator

import pytest

from tests.integration.hot_path import CSRS
from tests.integration.tenants import Tenants, meshed
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration
METRIC = "mesh_signer_foreign_certificates_total"


@pytest.fixture
def tenants(installed: Cluster) -> Iterator[Tenants]:
    with meshed(installed) as made:
        made.add("foo")
        yield made


def test_a_stranger(tenants: Tenants) -> None:
    """Somebody with the CA's key and the right to `sign` is quicker: metric, Event on the issuer, log, not ready."""
    place, foo = tenants.place, tenants.name("foo")
    with SignerProcess(place.cluster, "--controllers=csr", tenancy="enforce") as process:
        assert place.answered(tenants.ask("foo")).chain  # it is watching
        made = tenants.create("foo")
        leaf = tenants.cas["foo"].intermediate("leaf", is_ca=False)
        status = {"certificate": base64.b64encode(leaf.pem).decode()}
        place.api.put(f"{CSRS}/{made['metadata']['name']}/status", made | {"status": status})
        place.until("the metric", lambda: process.metric(METRIC, signer=tenants.signer("foo")) == 1)
        event = place.event(foo, "ForeignCertificate", kind="ClusterIssuer")
        assert made["metadata"]["name"] in event["message"]
        assert "was not made by mesh-signer" in process.log
        ready, why = process.ready()
        assert not ready
        assert f"somebody else wrote a certificate of {tenants.signer('foo')}" in why
        assert place.answered(tenants.ask("foo")).chain  # those who ask are served as ever


def test_replicas_are_no_strangers(tenants: Tenants) -> None:
    """Two replicas see each other's certificates come, and take them for what they are."""
    cluster = tenants.place.cluster
    with (
        SignerProcess(cluster, "--controllers=csr", tenancy="enforce") as one,
        SignerProcess(cluster, "--controllers=csr", tenancy="enforce") as other,
    ):
        tenants.place.until("two replicas", lambda: one.metric("mesh_signer_replicas") == 2)
        for name in [tenants.ask("foo") for _ in range(40)]:
            assert tenants.place.answered(name).chain

        def counts() -> list[float]:
            return [process.metric("mesh_signer_issued_total") for process in (one, other)]

        tenants.place.until("all to be counted", lambda: sum(counts()) >= 40)
        assert sum(counts()) == 40
        assert all(counts())
        assert [process.metric(METRIC) for process in (one, other)] == [0, 0]
        assert all(process.ready()[0] for process in (one, other))
