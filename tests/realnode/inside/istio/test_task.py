"""Istio's task "Custom CA Integration using Kubernetes CSR", in Pods: injected, intercepted, and signed by mesh-signer."""

import pytest
from cryptography import x509

from tests.localmesh import istio_install
from tests.realnode.installation import DEPLOYMENTS, NAMESPACE, Installation, name
from tests.realnode.istio import SYSTEM, Istio


def test_istiod_has_its_certificate_from_mesh_signer(istio: Istio) -> None:
    """The istiod of the chart runs as a Pod, under its own rights: it became ready, so it was given its certificate."""
    (pod,) = istio.cluster.get("pods", "-n", SYSTEM, "-l", "app=istiod")["items"]
    (container,) = pod["status"]["containerStatuses"]
    assert (container["ready"], container["restartCount"]) == (True, 0)
    trusted = istio.cluster.get("configmap", "istio-ca-root-cert", "-n", "default")["data"]["root-cert.pem"]
    assert trusted.strip() == istio_install.root(istio.cluster, "istio-system").strip()


def test_injected_and_intercepted(task: Istio) -> None:
    """The Pods of Istio's own files were given a sidecar and its rules by the webhook; the files name neither."""
    for app, namespace in (("httpbin", "foo"), ("curl", "foo"), ("httpbin", "bar")):
        pod = task.pod(app, namespace)
        ended = {one["name"]: one["state"] for one in pod["status"]["initContainerStatuses"]}
        assert ended["istio-init"]["terminated"]["exitCode"] == 0
        (proxy,) = [one for one in pod["spec"]["initContainers"] if one["name"] == "istio-proxy"]
        signers = [one["value"] for one in proxy["env"] if one["name"] == "ISTIO_META_CERT_SIGNER"]
        assert signers == [namespace], "the tenant's ProxyConfig names its signer"


@pytest.mark.parametrize(("app", "namespace"), [("curl", "foo"), ("httpbin", "foo"), ("httpbin", "bar")])
def test_each_has_a_certificate_of_its_tenants_ca(task: Istio, app: str, namespace: str) -> None:
    """What Envoy holds is the workload's own identity, issued by the tenant's CA, and it trusts this CA alone."""
    (leaf, *_), trusted = task.secrets(app, namespace)
    root = x509.load_pem_x509_certificate(istio_install.root(task.cluster, namespace).encode())
    leaf.verify_directly_issued_by(root)
    assert trusted == [root]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://cluster.local/ns/{namespace}/sa/{app}"
    ]


def test_foo_reaches_foo(task: Istio) -> None:
    """The task's first curl, word for word: foo's curl gets httpbin's page, and httpbin takes nothing but mTLS."""
    answer = task.node.wait_for(lambda: task.page("http://httpbin.foo:8000/html"), "foo's httpbin")
    assert "Herman Melville - Moby-Dick" in answer


def test_foo_does_not_reach_bar(task: Istio) -> None:
    """The task's second curl: bar's httpbin has a certificate of bar's CA, which foo's curl does not accept."""
    answer = task.node.wait_for(
        lambda: found if (found := task.curl("foo", "http://httpbin.bar:8000/html")).refused_by_tls else None,
        "a refusal",
    )
    assert "TLS" in answer.text


def test_without_a_sidecar_nobody_is_reached(task: Istio) -> None:
    """A Pod outside of the mesh gets no answer in the clear: what the others do is mTLS."""
    task.deploy("curl", "default")
    task.wait("curl", "default")
    answer = task.curl("default", "http://httpbin.foo:8000/html")
    assert answer.status == 0
    assert "exit code 56" in answer.text


def test_the_shipped_rights_are_enough(signer: Installation, task: Istio) -> None:
    """Nothing that our Pods asked of the API server in all of this was forbidden to them."""
    for pod in (pod for one in DEPLOYMENTS for pod in signer.pods(one)):
        place = f"/api/v1/namespaces/{NAMESPACE}/pods/{name(pod)}:9402/proxy/metrics"
        lines = task.kubectl("get", "--raw", place).splitlines()
        assert [one for one in lines if one.startswith("mesh_signer_")], "they are its metrics"
        told = [one for one in lines if one.startswith("mesh_signer_api_errors_total{") and 'code="403"' in one]
        assert not [one for one in told if float(one.split()[-1])], told
