"""The Istio task on real parts: istiod's own certificate, and who reaches whom."""

import pytest
from cryptography import x509

from tests.localmesh.mesh import Mesh
from tests.localmesh.workload import Workload

pytestmark = pytest.mark.e2e


def test_istiod_has_its_certificate(mesh: Mesh) -> None:
    """Istiod is ready, which it never is without a DNS certificate, and that came from its own namespace's CA."""
    assert mesh.istiod.ready()
    assert mesh.istiod.restarts == 0
    stored = mesh.signer.audited(1, outcome="stored")
    assert stored[0]["signer"] == "clusterissuers.cert-manager.io/istio-system"


@pytest.mark.parametrize("name", ["httpbin.foo", "curl.foo", "httpbin.bar", "curl.bar"])
def test_identity(task: dict[str, Workload], name: str) -> None:
    """A workload has one SPIFFE ID, its own, from its tenant's CA."""
    workload = task[name]
    certificate = workload.certificate()
    assert certificate is not None
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [workload.spiffe_id]
    assert certificate.issuer.rfc4514_string() == f"CN={workload.namespace}"


@pytest.mark.parametrize("tenant", ["foo", "bar"])
def test_a_tenant_reaches_itself(task: dict[str, Workload], tenant: str) -> None:
    """Within a tenant, curl reaches httpbin."""
    answer = task[f"curl.{tenant}"].ask(f"httpbin.{tenant}")
    assert (answer.status, answer.text.splitlines()[-1]) == (200, f"httpbin.{tenant}")


@pytest.mark.parametrize(("source", "target"), [("foo", "bar"), ("bar", "foo")])
def test_a_tenant_reaches_no_other(task: dict[str, Workload], source: str, target: str) -> None:
    """Between tenants, the handshake fails on the certificate."""
    answer = task[f"curl.{source}"].ask(f"httpbin.{target}")
    assert answer.refused_by_tls, answer


def test_a_workload_ends_whole(mesh: Mesh) -> None:
    """Envoy is the agent's child, not ours: when the agent is killed Envoy ends too, and a restart has a new key."""
    workload = mesh.place("brief", "foo", "foo")
    try:
        mesh.wait_ready(workload)
        first = workload.certificate()
        assert first is not None
        assert [name for name in workload.processes().values() if name.endswith("envoy")]
        workload.kill()
        mesh.cluster.wait_for(lambda: not workload.processes(), "the end of Envoy", 10)
        workload.restart()
        mesh.wait_ready(workload)
        second = workload.certificate()
        assert second is not None
        assert second.public_key() != first.public_key()
    finally:
        mesh.remove(workload)
    assert not workload.processes()
