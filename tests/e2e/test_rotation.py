"""Certificates change under traffic: by a short policy, by a move to another signer, by outages."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.conftest import QUICK, SHORT, claim, refusals_of, wait_for_rotations
from tests.localmesh import istio_install
from tests.localmesh.istio_install import DOMAIN
from tests.localmesh.mesh import Mesh
from tests.localmesh.traffic import Traffic
from tests.localmesh.workload import Workload

pytestmark = pytest.mark.e2e

MAXIMUM = timedelta(minutes=2)

POLICY = """
apiVersion: mesh-signer.dev/v1alpha1
kind: SignerPolicy
metadata: {{name: short-{tenant}}}
spec:
  signers: [clusterissuers.cert-manager.io/{tenant}]
  namespaces: {{names: [{tenant}]}}
  maxLifetime: 2m
"""

SECOND = """
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: second-ca, namespace: cert-manager}
spec:
  isCA: true
  commonName: second
  secretName: second-ca-selfsigned
  issuerRef: {name: selfsigned-bar-issuer, kind: ClusterIssuer, group: cert-manager.io}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: second}
spec: {ca: {secretName: second-ca-selfsigned}}
"""


@pytest.fixture(scope="class")
def quick(mesh: Mesh) -> Iterator[list[Workload]]:
    """Two workloads that renew after 6 seconds of two minutes, though they ask for a day."""
    policies = "---".join(POLICY.format(tenant=tenant) for tenant in ("foo", "bar"))
    mesh.cluster.apply(policies)
    placed = [
        mesh.place("quick-server", "foo", "foo", server=True, environment=QUICK),
        mesh.place("quick-client", "foo", "foo", environment=QUICK),
    ]
    try:
        mesh.wait_ready(*placed)
        yield placed
    finally:
        mesh.remove(*placed)
        mesh.cluster.kubectl("delete", "signerpolicy", "short-foo", "short-bar")


@pytest.fixture(scope="class")
def second(mesh: Mesh) -> Iterator[str]:
    """A further CA, whose root the mesh config has."""
    mesh.cluster.apply(SECOND)
    mesh.cluster.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "clusterissuer", "second")
    config = istio_install.mesh_config(mesh.cluster)
    config["caCertificates"].append({"pem": mesh.root("second"), "certSigners": [f"{DOMAIN}/second"]})
    istio_install.write_mesh_config(mesh.cluster, config)
    yield "second"
    claim(mesh, "bar")


class TestShortPolicy:
    """A SignerPolicy with a maximum of two minutes, for the tenants and not for istio-system."""

    def test_no_request_fails_over_two_rotations(self, mesh: Mesh, quick: list[Workload]) -> None:
        """Over two rotations on both sides, each request on a new connection, none fails."""
        server, client = quick
        with Traffic((client, server)) as traffic:
            wait_for_rotations(mesh, quick, 2)
        assert traffic.failures == []
        assert traffic.answered > 20

    def test_lifetime(self, quick: list[Workload]) -> None:
        """What they have ends within two minutes."""
        for workload in quick:
            certificate = workload.certificate()
            assert certificate is not None
            assert certificate.not_valid_after_utc - datetime.now(UTC) <= MAXIMUM


class TestMove:
    """Bar changes its signer in its ProxyConfig."""

    def test_grace(self, mesh: Mesh, second: str) -> None:
        """New workloads get the new signer, and those that were there before renew undisturbed."""
        server = mesh.place("moved-server", "bar", "bar", server=True, environment=SHORT)
        client = mesh.place("moved-client", "bar", "bar", environment=SHORT)
        mesh.wait_ready(server, client)
        try:
            with Traffic((client, server)) as traffic:
                claim(mesh, second)
                newcomer = mesh.place("newcomer", "bar", second)
                mesh.wait_ready(newcomer)
                wait_for_rotations(mesh, [server, client], 1)
            assert traffic.failures == []
            assert issuer(newcomer) == "CN=second"
            assert issuer(client) == issuer(server) == "CN=bar"
            assert newcomer.ask(str(server)).refused_by_tls, "the new signer's root is not the old one's"
            mesh.remove(newcomer)
        finally:
            mesh.remove(server, client)

    def test_no_grace(self, mesh: Mesh, second: str) -> None:
        """With a grace of 0 the former signer is refused from now on, and a claim again brings it back."""
        claim(mesh, second)
        mesh.replace_signer("enforce", "--grace=0s")
        try:
            late = mesh.place("late", "bar", "bar", envoy=False)
            mesh.cluster.wait_for(lambda: refusals_of(mesh, late), "the refusal of bar's former signer")
            assert late.certificate() is None
            claim(mesh, "bar")
            late.restart()
            late.wait_ready()
            assert issuer(late) == "CN=bar"
            mesh.remove(late)
        finally:
            mesh.replace_signer("enforce")


def issuer(workload: Workload) -> str:
    """Who signed its certificate."""
    certificate = workload.certificate()
    return certificate.issuer.rfc4514_string() if certificate is not None else "nobody"


class TestOutages:
    """The control plane goes away and comes back in the middle."""

    def test_istiod_and_the_api_server(self, mesh: Mesh) -> None:
        """Istiod killed, the API server restarted: traffic goes on, and the mesh issues again by itself."""
        placed = [
            mesh.place("steady-server", "foo", "foo", server=True, environment=SHORT),
            mesh.place("steady-client", "foo", "foo", environment=SHORT),
        ]
        mesh.wait_ready(*placed)
        try:
            with Traffic((placed[1], placed[0])) as traffic:
                mesh.istiod.crash()
                mesh.cluster.api.stop()
                mesh.cluster.api.start()
                mesh.istiod.wait_ready()
                wait_for_rotations(mesh, placed, 1)
            newcomer = mesh.place("after", "foo", "foo")
            mesh.wait_ready(newcomer)
            assert newcomer.ask(str(placed[0])).status == 200
            mesh.remove(newcomer)
        finally:
            mesh.remove(*placed)
        assert traffic.failures == []
        assert mesh.istiod.restarts >= 1
        assert mesh.signer.ready()[0]
