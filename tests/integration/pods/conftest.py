"""A cluster that serves PodCertificateRequests and ClusterTrustBundles, with all that we ship for them."""

from collections.abc import Iterator

import pytest

from tests.integration.plain_api import Refused
from tests.integration.pods.kubelet import FLAGS, Kubelet
from tests.integration.tenants import Tenants, meshed
from tests.localmesh import LocalCluster
from tests.localmesh.install import COMPONENTS, install
from tests.localmesh.signer import SignerProcess

COMPONENT = COMPONENTS / "pod-certificates"
CONTROLLERS = "--controllers=csr,podcertificates,trustbundles"


@pytest.fixture(scope="module")
def served() -> Iterator[LocalCluster]:
    """The cluster, with base and component, the admission policy in force."""
    with LocalCluster(api_flags=FLAGS) as cluster:
        install(cluster, more=[COMPONENT / "rbac.yaml", COMPONENT / "admission.yaml"])
        yield cluster


@pytest.fixture(scope="module")
def tenants(served: LocalCluster) -> Iterator[Tenants]:
    """Two tenants as in the Istio task."""
    with meshed(served) as found:
        found.add("foo", "bar")
        yield found


@pytest.fixture(scope="module")
def kubelet(tenants: Tenants) -> Kubelet:
    """A node with a kubelet's rights, once nobody else may ask in its name."""
    found = Kubelet.of(tenants)
    pod = found.pod(tenants.name("foo"))

    def in_force() -> bool:
        body = found.request(pod, tenants.signer("foo"))
        path = f"/apis/certificates.k8s.io/v1beta1/namespaces/{tenants.name('foo')}/podcertificaterequests?dryRun=All"
        try:
            found.api.call("POST", path, body, user="somebody", groups=("system:masters",))
        except Refused as error:
            return error.code == 403
        return False

    tenants.place.until("the admission policy", in_force)
    return found


@pytest.fixture(scope="module")
def signer(served: LocalCluster, tenants: Tenants) -> Iterator[SignerProcess]:  # noqa: ARG001 - they come first
    """The signer as its Deployment runs it with the component."""
    with SignerProcess(served, CONTROLLERS, tenancy="enforce") as process:
        yield process
