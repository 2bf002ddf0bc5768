"""The known ways from a namespace's ServiceAccount to cluster-admin, tried with the tokens of ours: none leads up.

Each is tried under the shipped roles and policies, on a real API server; what our accounts need is tried beside it, so
that a refusal is one of the way and not of everything.
"""

import base64
import functools
import secrets
import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml

from signer.edge import reserved
from tests.integration.plain_api import Api, Json, Refused
from tests.integration.test_rbac import CSR
from tests.localmesh import Cluster, kubeconfig
from tests.localmesh.install import BASE, install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SIGNER_ACCOUNT
from tests.localmesh.toolchain import find_kubectl

pytestmark = pytest.mark.integration

TOKEN = "kubernetes.io/service-account-token"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CERTIFICATES = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CERTIFICATE_NAME = "cert-manager.io/certificate-name"
DATA = {"tls.crt": base64.b64encode(b"x").decode(), "tls.key": base64.b64encode(b"y").decode()}


def secret(name: str, kind: str, **fields: object) -> Json:
    metadata = {"name": name, "annotations": fields.pop("annotations", {}), "labels": fields.pop("labels", {})}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, **fields}


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


def refused(act: Callable[[], object]) -> str:
    """What the API server says to it, "" when it was done."""
    try:
        act()
    except Refused as error:
        return error.message if error.code in (403, 422) else ""
    return ""


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Iterator[Api]:
    """A cluster-admin's connection, with base installed and its policy for Secrets in force."""
    install(cluster)
    found = Api(kubeconfig.read(cluster.kubeconfig()))
    controllers = Api(kubeconfig.read(cluster.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT)))
    wanted = secret("in-force", "example.com/other")
    cluster.wait_for(
        lambda: "of the types" in refused(lambda: controllers.post(f"{path('default')}?dryRun=All", wanted)),
        "the policy for Secrets",
    )
    controllers.close()
    yield found
    found.close()
    rendered = subprocess.run([find_kubectl(), "kustomize", BASE], capture_output=True, text=True, check=True).stdout
    ours = [one for one in yaml.safe_load_all(rendered) if one["kind"].startswith("ValidatingAdmissionPolicy")]
    cluster.kubectl("delete", "-f", "-", input=yaml.safe_dump_all(ours))
    assert len(ours) == 6


@pytest.fixture(scope="module", params=[SIGNER_ACCOUNT, CONTROLLERS_ACCOUNT])
def thief(request: pytest.FixtureRequest, admin: Api, cluster: Cluster) -> Iterator[Api]:
    """Whoever holds the token of one of our ServiceAccounts."""
    del admin  # base is applied
    found = Api(kubeconfig.read(cluster.service_account_kubeconfig(NAMESPACE, request.param)))
    yield found
    found.close()


@pytest.fixture(scope="module")
def controllers(admin: Api, cluster: Cluster) -> Iterator[Api]:
    """The controllers' own connection."""
    del admin  # base is applied
    found = Api(kubeconfig.read(cluster.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT)))
    yield found
    found.close()


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "up"},
    "spec": {"serviceAccountName": "default", "containers": [{"name": "a", "image": "a"}]},
}
WORKLOAD = {
    "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]},
}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
OURS = [
    {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE} for name in (SIGNER_ACCOUNT, CONTROLLERS_ACCOUNT)
]
HOOK = {
    "name": "up.example.com",
    "clientConfig": {"url": "https://127.0.0.1/"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


def csr(signer: str) -> Json:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": f"up-{secrets.token_hex(4)}"},
        "spec": {"request": CSR, "signerName": signer, "usages": ["client auth"]},
    }


WAYS: dict[str, Callable[[Api], object]] = {
    **{
        f"a Secret of the type {kind} in {namespace}": functools.partial(
            lambda api, kind, namespace: api.post(
                path(namespace),
                secret(
                    f"up-{secrets.token_hex(3)}",
                    kind,
                    annotations={"kubernetes.io/service-account.name": "default"},
                    data=DATA,
                ),
            ),
            kind=kind,
            namespace=namespace,
        )
        for kind in (TOKEN, "bootstrap.kubernetes.io/token", "example.com/any")
        for namespace in ("kube-system", "default", NAMESPACE)
    },
    **{
        f"a Secret of the type {kind} in {namespace}": functools.partial(
            lambda api, kind, namespace: api.post(path(namespace), secret("up", kind, data=DATA)),
            kind=kind,
            namespace=namespace,
        )
        for kind in ("kubernetes.io/tls", "Opaque")
        for namespace in ("kube-system", "kube-public")
    },
    "the same by server-side apply": lambda api: api.apply(
        path("kube-system", "up"), secret("up", TOKEN, annotations={"kubernetes.io/service-account.name": "default"})
    ),
    "a token of a stronger ServiceAccount": lambda api: api.post(
        "/api/v1/namespaces/kube-system/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    ),
    "a token of our own namespace's": lambda api: api.post(
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{CONTROLLERS_ACCOUNT}/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    ),
    "impersonation": lambda api: api.call("GET", "/api/v1/nodes", user="admin", groups=["system:masters"]),
    "a ServiceAccount": lambda api: api.post(
        "/api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": "up"}}
    ),
    "a ClusterRoleBinding": lambda api: api.post(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": "up"}, "roleRef": ROLE_REF, "subjects": OURS}
    ),
    "a RoleBinding in our own namespace": lambda api: api.post(
        f"{RBAC}/namespaces/{NAMESPACE}/rolebindings",
        {"metadata": {"name": "up"}, "roleRef": ROLE_REF, "subjects": OURS},
    ),
    "more rights in our own ClusterRole": lambda api: api.patch(
        f"{RBAC}/clusterroles/mesh-signer-controllers",
        {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]},
    ),
    "a role that is aggregated into admin": lambda api: api.post(
        f"{RBAC}/clusterroles",
        {
            "metadata": {"name": "up", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        },
    ),
    "a mutating webhook": lambda api: api.post(
        f"{ADMISSION}/mutatingwebhookconfigurations", {"metadata": {"name": "up"}, "webhooks": [HOOK]}
    ),
    "a validating webhook": lambda api: api.post(
        f"{ADMISSION}/validatingwebhookconfigurations", {"metadata": {"name": "up"}, "webhooks": [HOOK]}
    ),
    "an end to our own policy": lambda api: api.delete(
        f"{ADMISSION}/validatingadmissionpolicybindings/controllers-secrets.mesh-signer.dev"
    ),
    "a policy that lets more through": lambda api: api.patch(
        f"{ADMISSION}/validatingadmissionpolicies/controllers-secrets.mesh-signer.dev", {"spec": {"validations": []}}
    ),
    "a Pod": lambda api: api.post("/api/v1/namespaces/kube-system/pods", POD),
    "a Pod in our own namespace": lambda api: api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", POD),
    "a shell in a Pod": lambda api: api.post(
        f"/api/v1/namespaces/{NAMESPACE}/pods/any/exec?command=sh&stdout=true", {}
    ),
    "a container added to a Pod": lambda api: api.patch(
        f"/api/v1/namespaces/{NAMESPACE}/pods/any/ephemeralcontainers", {}
    ),
    **{
        f"one of {plural}": functools.partial(
            lambda api, group, plural: api.post(
                f"/apis/{group}/v1/namespaces/kube-system/{plural}", {"metadata": {"name": "up"}, "spec": WORKLOAD}
            ),
            group=group,
            plural=plural,
        )
        for group, plural in (
            ("apps", "deployments"),
            ("apps", "daemonsets"),
            ("apps", "statefulsets"),
            ("batch", "jobs"),
            ("batch", "cronjobs"),
        )
    },
    "a label on a namespace": lambda api: api.patch(
        "/api/v1/namespaces/default", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    ),
    "a node": lambda api: api.post("/api/v1/nodes", {"metadata": {"name": "up"}}),
    "a node's proxy": lambda api: api.get("/api/v1/nodes/any/proxy/pods"),
    "an API of our own": lambda api: api.post(
        "/apis/apiregistration.k8s.io/v1/apiservices",
        {"metadata": {"name": "v1.up.example.com"}, "spec": {"group": "up.example.com", "version": "v1"}},
    ),
    "a client certificate of the API server's CA": lambda api: api.post(
        CERTIFICATES, csr("kubernetes.io/kube-apiserver-client")
    ),
    "a node's client certificate": lambda api: api.post(
        CERTIFICATES, csr("kubernetes.io/kube-apiserver-client-kubelet")
    ),
    "istiod's mesh config": lambda api: api.patch("/api/v1/namespaces/istio-system/configmaps/istio", {"data": {}}),
    "the ConfigMap of the API server's CAs": lambda api: api.patch(
        "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", {"data": {}}
    ),
    "ownership of a signer, by hand": lambda api: api.call(
        "DELETE", "/apis/mesh-signer.dev/v1alpha1/signerpolicies/any"
    ),
}


NAMED, READ = "is read by others than gateways", "others read more in a Secret than a certificate"
# What else than a gateway's or workload's certificate a Secret may be to those who read it: by name, and by label.
SPECIAL: dict[str, tuple[Json, str]] = {
    **{
        f"by its name {name}": ({"name": name}, NAMED)
        for name in (
            "cacerts",
            "external-ca-cert",
            "istio-ca-root-cert",
            "istio-ca-secret",
            "istio-kubeconfig",
            "istio-ztunnel",
            "istiod-tls",
            "gateway-cacert",
            "istio-remote-secret-evil",
            "bootstrap-token-abcdef",
            "sh.helm.release.v1.istiod.v9",
        )
    },
    **{
        f"by a made name {prefix}": ({"generateName": prefix}, NAMED)
        for prefix in ("istio-remote-secret-", "bootstrap-token-")
    },
    **{
        f"by its label {label}": ({"name": "evil", "labels": {label: value}}, READ)
        for label, value in (
            ("istio/multiCluster", "true"),
            ("istio/multiCluster", ""),
            ("istio.io/multiCluster", "true"),
            ("kiali.io/multiCluster", "true"),
            ("argocd.argoproj.io/secret-type", "cluster"),
            ("sealedsecrets.bitnami.com/sealed-secrets-key", "active"),
            ("cluster.x-k8s.io/cluster-name", "a"),
            ("auth.kubernetes.io/is-bootstrap-token", "true"),
        )
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_up(thief: Api, way: str) -> None:
    """Whoever holds a token of ours is refused, by RBAC or by the policy for Secrets."""
    with pytest.raises(Refused) as found:
        WAYS[way](thief)
    assert found.value.code == 403, found.value


@pytest.mark.parametrize("signer", ["kubernetes.io/kube-apiserver-client", "kubernetes.io/kubelet-serving"])
@pytest.mark.parametrize("subresource", ["approval", "status"])
def test_requests_of_other_signers(thief: Api, admin: Api, signer: str, subresource: str) -> None:
    """What somebody else asked of a signer of Kubernetes' own can be neither approved nor answered."""
    made = admin.post(CERTIFICATES, csr(signer))
    name = made["metadata"]["name"]
    made["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "Up"}]}
    if subresource == "approval":
        made["status"]["conditions"][0]["type"] = "Approved"
    try:
        assert refused(lambda: thief.put(f"{CERTIFICATES}/{name}/{subresource}", made))
    finally:
        admin.delete(f"{CERTIFICATES}/{name}")


class TestSecrets:
    """What the controllers may write, and what of others' they may not."""

    def test_their_own(self, controllers: Api, admin: Api, namespace: str) -> None:
        """A Certificate's Secret, the next private key and an account's key are written, changed and deleted."""
        controllers.apply(path(namespace, "tls"), secret("tls", "kubernetes.io/tls", data=DATA))
        made = controllers.post(path(namespace), secret("account", "Opaque", data={"tls.key": DATA["tls.key"]}))
        assert made["metadata"]["managedFields"]
        admin.patch(path(namespace, "tls"), {"metadata": {"annotations": {CERTIFICATE_NAME: "tls"}}})
        controllers.patch(path(namespace, "tls"), {"metadata": {"labels": {"a": "b"}}})
        controllers.delete(path(namespace, "tls"))

    def test_somebody_elses(self, controllers: Api, admin: Api, namespace: str) -> None:
        """A Secret that we never wrote, and that names no Certificate, is neither changed nor deleted."""
        for number, (kind, data) in enumerate(
            (
                ("kubernetes.io/tls", DATA),
                ("Opaque", {"password": DATA["tls.key"]}),
                ("Opaque", {"ca.crt": DATA["tls.crt"], "tls.key": DATA["tls.key"]}),
            )
        ):
            name = f"theirs-{number}"
            admin.post(path(namespace), secret(name, kind, data=data))
            for act in (
                lambda name=name: controllers.patch(path(namespace, name), {"data": {"tls.crt": DATA["tls.key"]}}),
                lambda name=name, kind=kind: controllers.apply(path(namespace, name), secret(name, kind, data=DATA)),
                lambda name=name: controllers.delete(path(namespace, name)),
                # Saying that it is a Certificate's is not a record: what counts is what was there before.
                lambda name=name: controllers.patch(
                    path(namespace, name), {"metadata": {"annotations": {CERTIFICATE_NAME: "up"}}}
                ),
            ):
                assert f"Secret {name} was not written by mesh-signer" in refused(act)
            assert admin.get(path(namespace, name))["data"] == data

    def test_handed_over(self, controllers: Api, admin: Api, namespace: str) -> None:
        """One that its owner hands over to a Certificate is written; so is one without a certificate yet."""
        admin.post(
            path(namespace), secret("given", "kubernetes.io/tls", data=DATA, annotations={CERTIFICATE_NAME: "a"})
        )
        admin.post(
            path(namespace), secret("empty", "kubernetes.io/tls", data={"tls.crt": "", "tls.key": DATA["tls.key"]})
        )
        admin.post(path(namespace), secret("opaque", "Opaque"))
        admin.post(path(namespace), secret("opaque-key", "Opaque", data={"tls.crt": "", "tls.key": DATA["tls.key"]}))
        for name in ("given", "empty", "opaque", "opaque-key"):
            written = controllers.patch(path(namespace, name), {"data": DATA})
            assert written["data"] == DATA

    @pytest.mark.unverified("rights are tried here, with texts that are no certificates")
    def test_without_its_notes(self, controllers: Api, admin: Api, namespace: str) -> None:
        """A Secret whose annotations somebody took away is still known by who applied it: ours, or cert-manager."""
        for name, manager in (("mine", "cert-manager-certificates-issuing"), ("before", "mesh-signer-certificates")):
            target = f"{path(namespace, name)}?fieldManager={manager}&force=true"
            body = secret(name, "kubernetes.io/tls", data=DATA)
            admin.call("PATCH", target, body, kind="application/apply-patch+yaml")
            controllers.call(
                "PATCH",
                target,
                body | {"data": DATA | {"ca.crt": DATA["tls.crt"]}},
                kind="application/apply-patch+yaml",
            )
            assert "ca.crt" in admin.get(path(namespace, name))["data"]

    @pytest.mark.parametrize("kind", ["Opaque", "kubernetes.io/tls"])
    @pytest.mark.parametrize("name", SPECIAL)
    def test_what_others_read(self, controllers: Api, namespace: str, name: str, kind: str) -> None:
        """No CA, kubeconfig or remote cluster of istiod's, nor anything like it, is made with the controllers' token."""
        metadata, said = SPECIAL[name]
        body = secret("", kind, data=DATA) | {"metadata": metadata}
        assert said in refused(lambda: controllers.post(path(namespace), body))
        if "name" in metadata:
            assert said in refused(lambda: controllers.apply(path(namespace, str(metadata["name"])), body))

    @pytest.mark.unverified("rights are tried here, with texts that are no certificates")
    def test_a_label_that_others_read_is_not_added(self, controllers: Api, admin: Api, namespace: str) -> None:
        """A Secret that we may write is not made into a remote cluster; one that its owner labelled goes on being written."""
        noted = {CERTIFICATE_NAME: "a"}
        admin.post(path(namespace), secret("mine", "kubernetes.io/tls", data=DATA, annotations=noted))
        label = {"istio/multiCluster": "true"}
        change = {"metadata": {"labels": label}}
        assert READ in refused(lambda: controllers.patch(path(namespace, "mine"), change))
        admin.post(path(namespace), secret("so", "kubernetes.io/tls", data=DATA, annotations=noted, labels=label))
        controllers.patch(path(namespace, "so"), {"data": {"tls.crt": DATA["tls.key"]}})
        assert READ in refused(
            lambda: controllers.patch(path(namespace, "so"), {"metadata": {"labels": {"istio/multiCluster": "other"}}})
        )

    @pytest.mark.unverified("rights are tried here, with texts that are no certificates")
    def test_an_opened_namespace(self, cluster: Cluster, controllers: Api, admin: Api, namespace: str) -> None:
        """Where an admin has a Certificate for istiod's CA, a label opens the namespace; one that is there is renewed without."""
        admin.post(
            path(namespace), secret("cacerts", "kubernetes.io/tls", data=DATA, annotations={CERTIFICATE_NAME: "ca"})
        )
        controllers.patch(path(namespace, "cacerts"), {"data": {"tls.crt": DATA["tls.key"]}})
        admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"mesh-signer.dev/secrets": "any"}}})
        body = secret("istiod-tls", "kubernetes.io/tls", data=DATA)
        # The API server's own view of the namespace comes a moment later.
        cluster.wait_for(
            lambda: not refused(lambda: controllers.apply(path(namespace, "istiod-tls"), body)), "the label"
        )

    def test_the_names_are_those_that_gateways_may_not_name(self) -> None:
        """What a Gateway may not name, because Istio reads it, is in the policy too; only a client CA's suffix is not."""
        text = (BASE / "admission-controllers.yaml").read_text()
        assert all(f"'{name}'" in text for name in reserved.RESERVED)

    def test_a_token_is_not_handed_over(self, controllers: Api, admin: Api, namespace: str) -> None:
        """A ServiceAccount's token is not ours, whatever is written on it."""
        notes = {CERTIFICATE_NAME: "up", "kubernetes.io/service-account.name": "default"}
        admin.post(path(namespace), secret("token", TOKEN, annotations=notes))
        said = refused(lambda: controllers.patch(path(namespace, "token"), {"metadata": {"labels": {"a": "b"}}}))
        assert "of the types kubernetes.io/tls and Opaque only" in said

    def test_a_closed_namespace(self, cluster: Cluster, controllers: Api, admin: Api, namespace: str) -> None:
        """An admin's label closes a namespace, for new Secrets and for those that are there."""
        controllers.post(path(namespace), secret("before", "kubernetes.io/tls", data=DATA))
        admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"mesh-signer.dev/secrets": "none"}}})
        said = f"mesh-signer writes no Secrets in {namespace}"
        body = secret("after", "kubernetes.io/tls", data=DATA)
        # The API server's own view of the namespace comes a moment later.
        cluster.wait_for(
            lambda: said in refused(lambda: controllers.post(f"{path(namespace)}?dryRun=All", body)), "the label"
        )
        assert said in refused(lambda: controllers.post(path(namespace), body))
        assert refused(lambda: controllers.patch(path(namespace, "before"), {"data": {"a": "eA=="}}))
