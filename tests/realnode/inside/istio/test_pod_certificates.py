"""Sidecars that take their files from the kubelet: no request to istiod, the same tenants, and the same refusals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests import pki
from tests.localmesh import istio_install
from tests.localmesh.asking import Answer
from tests.localmesh.errors import LocalMeshError
from tests.realnode.installation import MANIFESTS, Installation, name
from tests.realnode.istio import FILES, Istio
from tests.realnode.istio_images import sample
from tests.realnode.own_cas import announce, make_tenant, remove_tenant, write_ca

SERVES, ASKS = "filed", "filing"
RED, LATER = "red", "later"
# Goes on until the file `stop` is there; then `told` has the status of each answer.
_LOAD = """
(while [ ! -e /tmp/stop ]; do
  curl --silent --max-time 10 --output /dev/null --write-out '%{{http_code}}\\n' {url} >> /tmp/codes; sleep 0.1
done; mv /tmp/codes /tmp/told) > /dev/null 2>&1 &
"""
_PLACED = ((SERVES, "httpbin", "foo"), (ASKS, "curl", "foo"), (SERVES, "httpbin", "bar"))
_ANNOTATIONS = {
    "inject.istio.io/templates": f"sidecar,{FILES}",
    "proxy.istio.io/config": json.dumps({"proxyMetadata": {"XDS_ROOT_CA": "/var/run/secrets/istio/root-cert.pem"}}),
}


@pytest.fixture(scope="module")
def filed(signer: Installation, task: Istio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Istio]:
    """Istio's samples under other names, with the annotations of docs/pod-certificates.md."""
    signer.with_component("pod-certificates", tmp_path_factory.mktemp("overlay"))
    for app, which, namespace in _PLACED:
        task.cluster.apply(_text(app, which, namespace))
    for app, _, namespace in _PLACED:
        task.wait(app, namespace)
    yield task
    for app, which, namespace in _PLACED:
        task.kubectl("delete", "-f", "-", input=_text(app, which, namespace))
    for file in ("rbac.yaml", "admission.yaml"):
        task.kubectl("delete", "-f", str(MANIFESTS / "components" / "pod-certificates" / file))
    task.kubectl("delete", "clustertrustbundles", "--all")
    signer.by_kustomize()


def _text(app: str, which: str, namespace: str) -> str:
    documents: list[Any] = [one for one in yaml.safe_load_all(sample(which).replace(f"{which}\n", f"{app}\n")) if one]
    for one in documents:
        one["metadata"]["namespace"] = namespace
        if one["kind"] == "Deployment":
            one["spec"]["template"]["metadata"]["annotations"] = _ANNOTATIONS
    return yaml.safe_dump_all(documents)


def curl(istio: Istio, url: str, namespace: str = "foo") -> Answer:
    """What a tenant's workload with files gets."""
    where = ("exec", name(istio.pod(ASKS, namespace)), "-n", namespace, "-c", ASKS, "--")
    try:
        said = istio.kubectl(
            *where, "curl", "--silent", "--show-error", "--max-time", "15", "-w", "\n%{http_code}", url
        )
    except LocalMeshError as error:
        return Answer(0, str(error))
    text, _, status = said.rpartition("\n")
    return Answer(int(status), text)


@pytest.mark.parametrize(("app", "namespace"), [(SERVES, "foo"), (ASKS, "foo"), (SERVES, "bar")])
def test_each_has_its_files(filed: Istio, app: str, namespace: str) -> None:
    """Its agent found the files and asks istiod for no certificate; Envoy has the tenant's chain, and trusts its root alone."""
    pod = name(filed.pod(app, namespace))
    logged = filed.kubectl("logs", pod, "-n", namespace, "-c", "istio-proxy")
    assert "workload certificate files detected" in logged
    (leaf, *_), trusted = filed.secrets(app, namespace)
    root = x509.load_pem_x509_certificate(istio_install.root(filed.cluster, namespace).encode())
    leaf.verify_directly_issued_by(root)
    assert trusted == [root]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://cluster.local/ns/{namespace}/sa/{app}"
    ]


def test_one_tenant(filed: Istio) -> None:
    """A workload with files reaches its own tenant's, with files and without; and one without reaches it."""
    for url in (f"http://{SERVES}.foo:8000/html", "http://httpbin.foo:8000/html"):
        found = filed.node.wait_for(lambda url=url: found if (found := curl(filed, url)).status == 200 else None, url)
        assert "Moby-Dick" in found.text
    assert "Moby-Dick" in filed.node.wait_for(lambda: filed.page(f"http://{SERVES}.foo:8000/html"), "from without")


def test_another_tenant(filed: Istio) -> None:
    """It does not reach another tenant's, with files or without."""
    for url in (f"http://{SERVES}.bar:8000/html", "http://httpbin.bar:8000/html"):
        found = filed.node.wait_for(
            lambda url=url: found if (found := curl(filed, url)).refused_by_tls else None, "a refusal"
        )
        assert "TLS" in found.text


def test_a_root_is_changed(filed: Istio) -> None:
    """While a tenant's root is changed, with both in the bundle, not one request between its workloads fails, old and new ones."""
    cluster, old, new = filed.cluster, pki.CA("red-root"), pki.CA("red-root-of-tomorrow")
    make_tenant(cluster, RED, old)
    announce(cluster, RED, old)
    cluster.kubectl("label", "namespace", RED, "istio-injection=enabled")
    cluster.apply(json.dumps(_claim(RED)))
    # A Pod that istiod injects before it has seen the claim asks for the default's signer, for good.
    filed.node.wait_for(
        lambda: _given(filed, RED) == f"clusterissuers.cert-manager.io/{RED}", "istiod to see the claim"
    )
    for app, which in ((SERVES, "httpbin"), (ASKS, "curl")):
        cluster.apply(_text(app, which, RED))
    for app in (SERVES, ASKS):
        filed.wait(app, RED)
    url = f"http://{SERVES}.{RED}:8000/status/200"
    filed.node.wait_for(lambda: curl(filed, url, RED).status == 200, "the first answer")
    asks = ("exec", name(filed.pod(ASKS, RED)), "-n", RED, "-c", ASKS, "--", "sh", "-c")
    filed.kubectl(*asks, _LOAD.format(url=url))

    announce(cluster, RED, old, new)
    both = {old.certificate, new.certificate}
    for app in (SERVES, ASKS):
        filed.node.wait_for(lambda app=app: set(filed.secrets(app, RED)[1]) == both, f"both roots in {app}", 240)
    write_ca(cluster, RED, new)

    def below_the_new_root() -> bool:
        cluster.apply(_text(LATER, "httpbin", RED))
        filed.wait(LATER, RED)
        if filed.secrets(LATER, RED)[0][0].issuer == new.certificate.subject:
            return True
        filed.kubectl("delete", "-f", "-", input=_text(LATER, "httpbin", RED))
        return False

    filed.node.wait_for(below_the_new_root, "a certificate below the new root")
    later = f"http://{LATER}.{RED}:8000/status/200"
    filed.node.wait_for(lambda: curl(filed, later, RED).status == 200, "an answer of the new one")
    filed.kubectl(*asks, "touch /tmp/stop")
    told = filed.node.wait_for(lambda: filed.kubectl(*asks, "cat /tmp/told 2>/dev/null || true"), "the end of the load")
    codes = told.split()
    assert len(codes) > 50
    assert set(codes) == {"200"}
    remove_tenant(cluster, RED)


def _given(istio: Istio, namespace: str) -> str:
    """The signer that istiod's injector would give a Pod of a namespace now: what the API server says to one that is not made."""
    documents = yaml.safe_load_all(_text(ASKS, "curl", namespace))
    template = next(one for one in documents if one["kind"] == "Deployment")["spec"]["template"]
    meta = template["metadata"] | {"name": "tried", "namespace": namespace}
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    made = json.loads(istio.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(pod)))
    (volume,) = [one for one in made["spec"]["volumes"] if one["name"] == "workload-certs"]
    named = [one["podCertificate"]["signerName"] for one in volume["projected"]["sources"] if "podCertificate" in one]
    return str(named[0])


def _claim(namespace: str) -> Any:
    spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": namespace}}
    meta = {"name": "claim", "namespace": namespace}
    return {"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig", "metadata": meta, "spec": spec}
