"""What the component gives the signer on a real API server, what it does not, and what becomes of work while it is missing."""

import pytest

from tests import pki
from tests.integration.pods.conftest import COMPONENT
from tests.integration.pods.kubelet import Kubelet
from tests.integration.pods.test_bundles import bundle_with, mesh_config
from tests.integration.test_rbac import CONTROLLERS, SIGNER, Ask, ask_all
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

GROUP = "certificates.k8s.io"
MAY = [
    *(Ask(verb, f"podcertificaterequests.{GROUP}", "default") for verb in ("get", "list", "watch")),
    Ask("update", f"podcertificaterequests/status.{GROUP}", "default"),
    Ask("get", "pods", "default"),
    Ask("get", "serviceaccounts", "default"),
    Ask("get", "nodes"),
    *(Ask(verb, f"clustertrustbundles.{GROUP}") for verb in ("list", "watch", "create", "patch", "delete")),
    Ask("attest", f"signers.{GROUP}", name="clusterissuers.cert-manager.io/*"),
]
MAY_NOT = [
    *(Ask(verb, "pods", "default") for verb in ("list", "watch", "create", "delete", "patch")),
    Ask("create", "pods/exec", "default"),
    *(Ask(verb, "nodes") for verb in ("list", "patch", "delete")),
    Ask("create", "serviceaccounts/token", "default"),
    *(Ask(verb, f"podcertificaterequests.{GROUP}", "default") for verb in ("create", "update", "delete")),
    Ask("attest", f"signers.{GROUP}", name="kubernetes.io/kube-apiserver-serving"),
    Ask("attest", f"signers.{GROUP}", name="example.com/foo"),
    Ask("get", "secrets", "default"),
]


def test_what_the_signer_may(served: LocalCluster) -> None:
    """The signer may do what Pods' certificates need, and nothing that would make it more than that."""
    answers = dict(zip(map(str, MAY + MAY_NOT), ask_all(served, SIGNER, MAY + MAY_NOT), strict=True))
    assert [name for name in map(str, MAY) if not answers[name]] == []
    assert [name for name in map(str, MAY_NOT) if answers[name]] == []


def test_nobody_else_gets_any_of_it(served: LocalCluster) -> None:
    """The controllers, which write Secrets, get nothing by the component: no answer to a Pod, no root of theirs for one."""
    theirs = [
        one
        for one in MAY
        if GROUP in one.resource and (one.verb not in {"list", "watch"} or "requests" in one.resource)
    ]
    assert not any(ask_all(served, CONTROLLERS, theirs))


def test_while_the_rights_are_missing(kubelet: Kubelet, signer: SignerProcess) -> None:  # noqa: ARG001
    """A bundle that may not be written is written once it may, and meanwhile the issuer's Events say why not."""
    tenants = kubelet.tenants
    tenants.add("without")
    name, old, new = tenants.signer("without"), tenants.cas["without"], pki.CA("without-new")
    bundle_with(tenants, name, old)
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/mesh-signer-pod-certificates"
    kubelet.api.delete(path)
    mesh_config(tenants, without=(old, new))
    event = tenants.place.event(tenants.name("without"), "WriteFailed", kind="ClusterIssuer")
    assert "forbidden" in event["message"]
    tenants.place.cluster.apply(COMPONENT / "rbac.yaml")
    bundle_with(tenants, name, old, new)
    mesh_config(tenants)
