"""Sidecars that take their files from the kubelet: no request to istiod, the same tenants, and the same refusals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.localmesh import istio_install
from tests.localmesh.asking import Answer
from tests.localmesh.errors import LocalMeshError
from tests.realnode.installation import MANIFESTS, Installation, name
from tests.realnode.istio import FILES, Istio
from tests.realnode.istio_images import sample

SERVES, ASKS = "filed", "filing"
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


def curl(istio: Istio, url: str) -> Answer:
    """What foo's workload with files gets."""
    where = ("exec", name(istio.pod(ASKS, "foo")), "-n", "foo", "-c", ASKS, "--")
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
