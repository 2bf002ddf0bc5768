"""Ways round the wall, tried on a mesh that runs: claims, other resources, other requesters, annotations.

Requests stand directly under the account of istiod, whose own checks are no part of the wall.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.e2e.conftest import claim
from tests.localmesh.istio_install import EXAMPLE
from tests.localmesh.istiod_requests import (
    Issued,
    NotIssuedError,
    Workload,
    make_csr,
    make_key,
    make_object,
    request_certificate,
)
from tests.localmesh.mesh import Mesh

pytestmark = pytest.mark.e2e

FOO = "spiffe://cluster.local/ns/foo/sa/httpbin"
UNRELATED = """
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: unrelated-ca, namespace: cert-manager}
spec:
  isCA: true
  commonName: unrelated
  secretName: unrelated-ca
  issuerRef: {name: selfsigned-bar-issuer, kind: ClusterIssuer, group: cert-manager.io}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: unrelated}
spec: {ca: {secretName: unrelated-ca}}
"""


@pytest.fixture
def istiod(mesh: Mesh) -> Path:
    """A kubeconfig of istiod's account."""
    return mesh.cluster.service_account_kubeconfig("istio-system", "istiod")


@pytest.fixture
def restored(mesh: Mesh) -> Iterator[None]:
    """Claims are afterwards as the task has them."""
    yield
    mesh.cluster.apply(EXAMPLE / "proxyconfigs.yaml")


def ask(user: Path, namespace: str, signer: str) -> Issued:
    """What istiod does for a workload."""
    return request_certificate(user, Workload(namespace, "default", signer), key="ec", timeout=20)


def refusal(user: Path, namespace: str, signer: str) -> str:
    """The condition that refuses a request."""
    with pytest.raises(NotIssuedError) as told:
        request_certificate(user, Workload(namespace, "default", signer), key="ec", timeout=4)
    return str(told.value)


class TestClaims:
    def test_a_newcomer(self, mesh: Mesh, istiod: Path, restored: None) -> None:  # noqa: ARG002 - the clean-up
        """Bar may write foo into its own ProxyConfig: foo has an owner already, who goes on undisturbed."""
        ask(istiod, "foo", "foo")
        claim(mesh, "foo")
        assert "SignerClaimed" in refusal(istiod, "bar", "foo")
        assert ask(istiod, "foo", "foo").chain

    def test_an_unrelated_signer(self, mesh: Mesh, istiod: Path, restored: None) -> None:  # noqa: ARG002 - the clean-up
        """A claim makes no signer of the mesh out of an issuer that is none."""
        mesh.cluster.apply(UNRELATED)
        mesh.cluster.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "clusterissuer", "unrelated")
        claim(mesh, "unrelated")
        assert "NotAMeshSigner" in refusal(istiod, "bar", "unrelated")

    def test_no_claims_at_all(self, mesh: Mesh, istiod: Path, restored: None) -> None:  # noqa: ARG002 - the clean-up
        """Without any ProxyConfig nothing is open: bar gets nothing of foo, while foo keeps its own in grace."""
        ask(istiod, "foo", "foo")
        mesh.cluster.kubectl("delete", "proxyconfigs", "--all", "--all-namespaces")
        assert "TenantMismatch" in refusal(istiod, "bar", "foo")
        assert ask(istiod, "foo", "foo").chain

    def test_a_namespace_that_does_not_exist(self, istiod: Path) -> None:
        """An identity of no namespace is nobody's."""
        assert "NamespaceNotFound" in refusal(istiod, "nowhere", "foo")


class TestOtherWays:
    @pytest.mark.parametrize(
        "wish",
        [
            pytest.param({"uris": [FOO]}, id="foo's identity"),
            pytest.param({"isCA": True, "commonName": "mine"}, id="a CA"),
            pytest.param({"dnsNames": ["httpbin.foo.svc"]}, id="a name of foo"),
        ],
    )
    def test_a_certificate(self, mesh: Mesh, wish: dict[str, Any]) -> None:
        """A Certificate in bar gets nothing from foo's ClusterIssuer, whatever it asks for."""
        spec = {**wish, "secretName": "stolen", "issuerRef": {"name": "foo", "kind": "ClusterIssuer"}}
        body = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "spec": spec}
        mesh.cluster.apply(json.dumps({**body, "metadata": {"name": "stolen", "namespace": "bar"}}))

        def refused() -> list[str]:
            requests = mesh.cluster.get("certificaterequests", "-n", "bar")["items"]
            conditions = [one for request in requests for one in request.get("status", {}).get("conditions", [])]
            return [one["message"] for one in conditions if one["type"] == "Ready" and one["reason"] == "Failed"]

        try:
            (message, *_) = mesh.cluster.wait_for(refused, "the refusal of bar's CertificateRequest")
            assert "ClusterIssuer foo" in message
            secrets = [one["metadata"]["name"] for one in mesh.cluster.get("secrets", "-n", "bar")["items"]]
            assert "stolen" not in secrets
        finally:
            mesh.cluster.kubectl("delete", "certificate", "stolen", "-n", "bar")
            mesh.cluster.kubectl("delete", "certificaterequests", "--all", "-n", "bar")

    def test_another_requester(self, mesh: Mesh) -> None:
        """Who is not istiod gets nothing from a mesh signer, approved or not: here an administrator."""
        body = make_object(Workload("foo", "httpbin", "foo"), make_csr(FOO, make_key("ec")))
        body["metadata"] = {"name": "by-an-administrator"}
        mesh.cluster.kubectl("create", "-f", "-", input=json.dumps(body))
        try:
            mesh.cluster.kubectl("certificate", "approve", "by-an-administrator")
            mesh.cluster.kubectl("wait", "--for=condition=Failed", "--timeout=20s", "csr/by-an-administrator")
            status = mesh.cluster.get("csr", "by-an-administrator")["status"]
        finally:
            mesh.cluster.kubectl("delete", "csr", "by-an-administrator")
        assert "certificate" not in status
        assert [one["reason"] for one in status["conditions"] if one["type"] == "Failed"] == ["RequesterNotAllowed"]

    def test_annotations(self, mesh: Mesh) -> None:
        """Annotations for a CA, ten years and another's key, added before the approval, count for nothing."""
        notes = {
            "experimental.cert-manager.io/request-is-ca": "true",
            "experimental.cert-manager.io/request-duration": "87600h",
            "experimental.cert-manager.io/private-key-secret-name": "foo-ca-selfsigned",
        }
        body = make_object(Workload("foo", "httpbin", "foo"), make_csr(FOO, make_key("ec")))
        body["metadata"] = {"name": "annotated", "annotations": notes}
        user = mesh.cluster.service_account_kubeconfig("istio-system", "istiod")
        mesh.cluster.kubectl("create", "-f", "-", input=json.dumps(body), user=user)
        try:
            mesh.cluster.kubectl("certificate", "approve", "annotated")
            chain = mesh.cluster.wait_for(
                lambda: mesh.cluster.get("csr", "annotated")["status"].get("certificate"), "the certificate"
            )
        finally:
            mesh.cluster.kubectl("delete", "csr", "annotated")
        leaf = x509.load_pem_x509_certificate(base64.b64decode(chain))
        assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
        assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 1
        assert leaf.issuer.rfc4514_string() == "CN=foo"
