"""The admission policies of manifests/components/admission on a real API server: who may, who may not, and for what."""

import base64
import functools
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from signer.commands.checks.admission import check_admission
from signer.commands.checks.facts import Finding
from signer.commands.live import Listing
from tests import pki
from tests.integration.hot_path import CSRS, signer_name
from tests.integration.plain_api import Api, Json, Refused
from tests.localmesh import Cluster, istio_install, kubeconfig
from tests.localmesh.install import ISTIO, MANIFESTS, install, wait_established
from tests.localmesh.toolchain import find_kubectl
from tests.unit.commands.meshes import facts

pytestmark = pytest.mark.integration

BINDINGS = "/apis/mesh-signer.dev/v1alpha1/signerbindings"
RECORDS = "/apis/mesh-signer.dev/v1alpha1/signerrecords"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SIGNER = "ISTIO_META_CERT_SIGNER"
LABEL = "mesh-signer.dev/tenant"
OWN = "cert-manager"

Rule = tuple[str, str, str, Sequence[str]]  # verbs, resources, group, names


def proxy_config_crd() -> Json:
    """Istio's own definition of ProxyConfig, as istioctl installs it."""
    rendered = istio_install.render({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"})
    (found,) = [one for one in rendered.objects if one["metadata"]["name"] == "proxyconfigs.networking.istio.io"]
    return found


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with everything of overlays/istio in force. Other modules' tests write what these policies forbid."""
    cluster.apply(json.dumps(proxy_config_crd()))
    wait_established(cluster, "proxyconfigs.networking.istio.io")
    install(cluster, ISTIO)
    yield cluster
    rendered = subprocess.run([find_kubectl(), "kustomize", ISTIO], capture_output=True, text=True, check=True)
    ours = [one for one in yaml.safe_load_all(rendered.stdout) if one["kind"].startswith("ValidatingAdmissionPolicy")]
    cluster.kubectl("delete", "-f", "-", input=yaml.safe_dump_all(ours))
    assert len(ours) == 34


@pytest.fixture(scope="module")
def api(guarded: Cluster) -> Iterator[Api]:
    """A cluster-admin's connection, once each policy is in force (they are so a moment after they are stored)."""
    found = Api(kubeconfig.read(guarded.kubeconfig()))
    nobody = Person(guarded, found, "nobody")
    nobody.may(
        ("create", "proxyconfigs", "networking.istio.io", ()),
        ("create", "namespaces", "", ()),
        ("update", "certificatesigningrequests/status", "certificates.k8s.io", ()),
        ("sign", "signers", "certificates.k8s.io", ["clusterissuers.cert-manager.io/*"]),
        ("create", "signerbindings", "mesh-signer.dev", ()),
    )
    request = csr(found, signer_name("in-force"))
    tries: list[Callable[[], Any]] = [
        lambda: nobody.post(f"{proxy_configs('default')}?dryRun=All", proxy_config("in-force", {SIGNER: "foo"})),
        lambda: nobody.post("/api/v1/namespaces?dryRun=All", labelled("in-force", {LABEL: "a"})),
        lambda: nobody.answer(request, "?dryRun=All"),
        lambda: nobody.post(f"{BINDINGS}?dryRun=All", signer_binding("in-force", "default")),
    ]
    for one in tries:
        guarded.wait_for(functools.partial(refusal, one), "an admission policy")
    found.delete(f"{CSRS}/{request['metadata']['name']}")
    yield found
    nobody.forget()
    found.close()


class Person:
    """Somebody with the rights that he is given, who acts by impersonation."""

    def __init__(self, cluster: Cluster, api: Api, name: str = "") -> None:
        self.name = name or f"user-{secrets.token_hex(4)}"
        self._cluster = cluster
        self._api = api
        self._made: list[str] = []

    def may(self, *rules: Rule, namespace: str = "") -> None:
        """Give rights, in the whole cluster or by a RoleBinding in one namespace; returns when they are in force."""
        written = [
            {"apiGroups": [group], "resources": [resource], "verbs": verbs.split(), "resourceNames": list(names)}
            for verbs, resource, group, names in rules
        ]
        name = f"{self.name}-{secrets.token_hex(3)}"
        self._make(f"{RBAC}/clusterroles", {"kind": "ClusterRole", "rules": written}, name)
        self.bound(name, namespace)
        verbs, resource, group, names = rules[-1]
        resource, _, subresource = resource.partition("/")
        attributes = {"verb": verbs.split()[0], "group": group, "resource": resource, "subresource": subresource}
        attributes |= {"namespace": namespace, "name": names[0] if names else ""}
        self._wait(attributes)

    def bound(self, role: str, namespace: str = "") -> None:
        """Bind a ClusterRole that exists."""
        where = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
        binding = {
            "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.name}],
        }
        self._make(where, binding, f"{self.name}-{secrets.token_hex(3)}")
        if role == "cluster-admin":
            self._wait({"verb": "*", "group": "*", "resource": "*", "namespace": namespace})

    def _make(self, path: str, body: Json, name: str) -> None:
        self._api.post(path, body | {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}})
        self._made.append(f"{path}/{name}")

    def _wait(self, attributes: Json) -> None:
        review = {"spec": {"user": self.name, "resourceAttributes": attributes}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        self._cluster.wait_for(lambda: self._api.post(path, review)["status"]["allowed"], f"the rights of {self.name}")

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Json:
        return self._api.call(method, path, body, user=self.name, groups=["system:authenticated"], **options)

    def post(self, path: str, body: Json) -> Json:
        return self.call("POST", path, body)

    def put(self, path: str, body: Json) -> Json:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Json) -> Json:
        return self.call("PATCH", path, body, kind="application/merge-patch+json")

    def answer(self, request: Json, query: str = "", status: Json | None = None) -> Json:
        """Write the status of a request, with a certificate unless told otherwise."""
        return self.put(f"{CSRS}/{request['metadata']['name']}/status{query}", answered(request, status))

    def forget(self) -> None:
        for path in reversed(self._made):
            try:
                self._api.delete(path)
            except Refused as error:
                if error.code != 404:  # what was in the test's namespace went with it
                    raise
        self._made.clear()


@pytest.fixture
def person(guarded: Cluster, api: Api) -> Iterator[Callable[[], Person]]:
    made: list[Person] = []

    def make() -> Person:
        made.append(Person(guarded, api))
        return made[-1]

    yield make
    for one in made:
        one.forget()


def refusal(ask: Callable[[], Any]) -> str:
    """The message of a policy's refusal; "" when it was not refused, or by somebody else."""
    try:
        ask()
    except Refused as error:
        return error.message if error.code == 403 and "ValidatingAdmissionPolicy" in error.message else ""
    return ""


def proxy_configs(namespace: str) -> str:
    return f"/apis/networking.istio.io/v1beta1/namespaces/{namespace}/proxyconfigs"


def proxy_config(name: str, variables: Mapping[str, str], **spec: Any) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "ProxyConfig",
        "metadata": {"name": name},
        "spec": spec | {"environmentVariables": dict(variables)},
    }


def labelled(name: str, labels: Mapping[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}


def signer_binding(name: str, namespace: str) -> Json:
    spec = {"signerName": signer_name(name), "namespace": namespace, "namespaceUID": "0b6d1c1e-0000-4a8c-9f39-5a8f6d1a"}
    return {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "SignerBinding",
        "metadata": {"name": name},
        "spec": spec,
    }


def csr(api: Api, signer: str) -> Json:
    """An approved request."""
    made = api.post(
        CSRS,
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": f"admission-{secrets.token_hex(4)}"},
            "spec": {
                "request": base64.b64encode(pki.workload_csr("foo")).decode(),
                "signerName": signer,
                "usages": list(pki.WORKLOAD_USAGES),
            },
        },
    )
    approved = {"type": "Approved", "status": "True", "reason": "Test", "message": "by a test"}
    return api.put(f"{CSRS}/{made['metadata']['name']}/approval", made | {"status": {"conditions": [approved]}})


FAILED = {"type": "Failed", "status": "True", "reason": "Test", "message": "by a test"}
CERTIFICATE = base64.b64encode(pki.CA("admission").pem).decode()


def answered(request: Json, status: Json | None = None) -> Json:
    given = {"certificate": CERTIFICATE} if status is None else status
    return request | {"status": request["status"] | given}


class TestClaims:
    WRITE: Rule = ("get create update patch", "proxyconfigs", "networking.istio.io", ())

    @pytest.fixture
    def tenant(self, person: Callable[[], Person], namespace: str) -> Person:
        """May write ProxyConfigs of one namespace, as many tenants may."""
        made = person()
        made.may(self.WRITE, namespace=namespace)
        return made

    def test_needs_the_verb(self, tenant: Person, namespace: str) -> None:
        """A ProxyConfig that names a signer is refused to a writer without `claim`, and the message says what he lacks."""
        message = refusal(lambda: tenant.post(proxy_configs(namespace), proxy_config("a", {SIGNER: "foo"})))
        assert f"{tenant.name} needs the verb claim on signers.mesh-signer.dev foo" in message
        selected = proxy_config("a", {SIGNER: "foo"}, selector={"matchLabels": {"app": "a"}})
        assert refusal(lambda: tenant.post(proxy_configs(namespace), selected))

    @pytest.mark.parametrize("name", ["foo", "team-a.team-a-ca", "a.b.example.com"])
    def test_the_verb_is_enough(self, tenant: Person, namespace: str, name: str) -> None:
        """With `claim` on a name, dots and all, that name may be written, and no other."""
        tenant.may(("claim", "signers", "mesh-signer.dev", [name]))
        tenant.post(proxy_configs(namespace), proxy_config("a", {SIGNER: name}))
        to_other = {"spec": {"environmentVariables": {SIGNER: "other"}}}
        assert "signers.mesh-signer.dev other" in refusal(
            lambda: tenant.patch(f"{proxy_configs(namespace)}/a", to_other)
        )

    def test_of_no_namespace(self, tenant: Person, namespace: str) -> None:
        """Being cluster-admin in one's own namespace is not a right to claim: that would be every signer."""
        tenant.bound("cluster-admin", namespace)
        assert refusal(lambda: tenant.post(proxy_configs(namespace), proxy_config("a", {SIGNER: "foo"})))

    def test_what_was_there_passes(self, api: Api, tenant: Person, namespace: str) -> None:
        """Once an admin has written the claim, its namespace changes everything else, and may take it away."""
        api.post(proxy_configs(namespace), proxy_config("a", {SIGNER: "foo"}))
        path = f"{proxy_configs(namespace)}/a"
        tenant.patch(path, {"metadata": {"labels": {"a": "b"}}, "spec": {"environmentVariables": {"OTHER": "1"}}})
        changed = tenant.patch(path, {"spec": {"environmentVariables": {SIGNER: None}}})
        assert changed["spec"]["environmentVariables"] == {"OTHER": "1"}
        back = {"spec": {"environmentVariables": {SIGNER: "foo"}}}
        assert refusal(lambda: tenant.patch(path, back))

    def test_others_pass(self, tenant: Person, namespace: str) -> None:
        """ProxyConfigs that name no signer are nobody's business."""
        for number, spec in enumerate(({}, {"concurrency": 1}, {"environmentVariables": {"A": "b", SIGNER: ""}})):
            body = proxy_config(f"a-{number}", {}) | {"spec": spec}
            tenant.post(proxy_configs(namespace), body)

    def test_examples(self, guarded: Cluster) -> None:
        """The examples of SignerPolicies, and of the role to claim, are ones that the API server takes."""
        told = guarded.kubectl("apply", "--dry-run=server", "-f", MANIFESTS / "examples" / "signerpolicies")
        assert told.count("signerpolicy.mesh-signer.dev/") == 3
        assert "clusterrole.rbac.authorization.k8s.io/claim-shop" in told

    def test_no_such_kind(self, api: Api) -> None:
        """`signers` is a name for roles alone: there is no such resource, and none is needed."""
        served = api.get("/apis/mesh-signer.dev/v1alpha1")["resources"]
        names = {one["name"] for one in served}
        assert "signerbindings" in names
        assert not names & {"signers", "namespaces"}


class TestCertificates:
    # What cert-manager's ClusterRole cert-manager-controller-certificatesigningrequests says.
    CERT_MANAGER: tuple[Rule, ...] = (
        ("get list watch update", "certificatesigningrequests", "certificates.k8s.io", ()),
        ("update patch", "certificatesigningrequests/status", "certificates.k8s.io", ()),
        (
            "sign",
            "signers",
            "certificates.k8s.io",
            ["clusterissuers.cert-manager.io/*", "issuers.cert-manager.io/*", "example.com/*"],
        ),
    )

    @pytest.fixture
    def other(self, person: Callable[[], Person]) -> Person:
        """Another signer beside us: it has cert-manager's own rights, and those of one more domain."""
        made = person()
        made.may(*self.CERT_MANAGER)
        return made

    @pytest.fixture
    def request_for(self, api: Api) -> Iterator[Callable[[str], Json]]:
        made: list[Json] = []

        def make(signer: str) -> Json:
            made.append(csr(api, signer))
            return made[-1]

        yield make
        for one in made:
            path = f"{CSRS}/{one['metadata']['name']}"
            if api.find(path):
                api.delete(path)

    @pytest.mark.parametrize("signer", ["clusterissuers.cert-manager.io/foo", "issuers.cert-manager.io/shop.ca"])
    @pytest.mark.parametrize("fails", [False, True], ids=["issue", "fail"])
    def test_another_signer(self, other: Person, request_for: Callable[[str], Json], signer: str, fails: bool) -> None:
        """Whoever is not our signer answers no request of our domains, though the API server's own rule would let him."""
        request = request_for(signer)
        status: Json | None = {"conditions": [*request["status"]["conditions"], FAILED]} if fails else None
        message = refusal(lambda: other.answer(request, status=status))
        assert f"{other.name} needs the verb sign on signers.mesh-signer.dev {signer}" in message

    def test_a_refusal_with_the_approval(
        self, person: Callable[[], Person], request_for: Callable[[str], Json]
    ) -> None:
        """Whoever may approve cannot refuse in the signer's place, by a condition that is written with the approval."""
        signer = "clusterissuers.cert-manager.io/foo"
        approver = person()
        approver.may(
            ("update get", "certificatesigningrequests/approval", "certificates.k8s.io", ()),
            ("approve", "signers", "certificates.k8s.io", [signer]),
        )
        request = request_for(signer)
        changed = request | {"status": {"conditions": [*request["status"]["conditions"], FAILED]}}
        message = refusal(lambda: approver.put(f"{CSRS}/{request['metadata']['name']}/approval", changed))
        assert f"{approver.name} needs the verb sign on signers.mesh-signer.dev {signer}" in message

    def test_ours(self, guarded: Cluster, request_for: Callable[[str], Json]) -> None:
        """The signer answers under the roles that are installed, by certificate and by refusal."""
        access = kubeconfig.read(guarded.service_account_kubeconfig(OWN, "mesh-signer"))
        signer = Api(access)
        for domain in ("clusterissuers.cert-manager.io/foo", "issuers.cert-manager.io/shop.ca"):
            for fails in (False, True):
                request = request_for(domain)
                given: Json | None = {"conditions": [*request["status"]["conditions"], FAILED]} if fails else None
                signer.put(f"{CSRS}/{request['metadata']['name']}/status", answered(request, given))
        signer.close()

    def test_other_domains(self, other: Person, request_for: Callable[[str], Json]) -> None:
        """Other domains' signers work as before, also those whose name begins like ours."""
        for signer in ("example.com/foo", "example.com/clusterissuers.cert-manager.io"):
            assert other.answer(request_for(signer))["status"]["certificate"]

    def test_exceptions(self, other: Person, request_for: Callable[[str], Json]) -> None:
        """A role says which of our domains' signers another one may still answer."""
        other.may(("sign", "signers", "mesh-signer.dev", ["clusterissuers.cert-manager.io/letsencrypt"]))
        assert other.answer(request_for("clusterissuers.cert-manager.io/letsencrypt"))["status"]["certificate"]
        assert refusal(lambda: other.answer(request_for("clusterissuers.cert-manager.io/foo")))
        other.may(("sign", "signers", "mesh-signer.dev", ["issuers.cert-manager.io/*"]))
        assert other.answer(request_for("issuers.cert-manager.io/shop.ca"))["status"]["certificate"]

    def test_approving_and_deleting(
        self, person: Callable[[], Person], request_for: Callable[[str], Json], api: Api
    ) -> None:
        """Istiod's own writes pass: it approves, writes a status that says nothing new, and deletes, answered or not."""
        istiod = person()
        verbs = "update create get delete watch"
        names = (
            "certificatesigningrequests",
            "certificatesigningrequests/approval",
            "certificatesigningrequests/status",
        )
        istiod.may(
            *((verbs, name, "certificates.k8s.io", ()) for name in names),
            ("approve sign", "signers", "certificates.k8s.io", ["clusterissuers.cert-manager.io/foo"]),
        )
        request = request_for("clusterissuers.cert-manager.io/foo")
        path = f"{CSRS}/{request['metadata']['name']}"
        again = istiod.put(f"{path}/approval", request)
        answer = api.put(f"{path}/status", answered(again))  # by a cluster-admin, who has every verb
        istiod.put(f"{path}/status", answer)
        istiod.call("DELETE", path)
        assert api.find(path) is None


def as_collector(api: Api, path: str, metadata: Json) -> None:
    """Patch metadata as Kubernetes' garbage collector does."""
    user = "system:serviceaccount:kube-system:generic-garbage-collector"
    api.call("PATCH", path, {"metadata": metadata}, user=user, kind="application/merge-patch+json")


class TestBindings:
    @pytest.fixture
    def name(self, api: Api) -> Iterator[str]:
        name = f"b-{secrets.token_hex(4)}"
        yield name
        if api.find(f"{BINDINGS}/{name}"):
            api.delete(f"{BINDINGS}/{name}")

    @pytest.fixture
    def signer(self, guarded: Cluster) -> Iterator[Api]:
        made = Api(kubeconfig.read(guarded.service_account_kubeconfig(OWN, "mesh-signer")))
        yield made
        made.close()

    def test_only_ours_write(self, api: Api, signer: Api, name: str) -> None:
        """Not even a cluster-admin makes a SignerBinding or says when a claim ended; the signer does both."""
        assert "write a SignerPolicy" in refusal(lambda: api.post(BINDINGS, signer_binding(name, "default")))
        signer.post(BINDINGS, signer_binding(name, "default"))
        ended = {"status": {"claimEndedTime": "2026-11-22T12:00:00Z"}}
        assert refusal(lambda: api.patch(f"{BINDINGS}/{name}/status", ended))
        assert refusal(lambda: api.patch(f"{BINDINGS}/{name}", {"metadata": {"labels": {"a": "b"}}}))
        assert signer.patch(f"{BINDINGS}/{name}/status", ended)["status"] == ended["status"]

    def test_release(self, api: Api, signer: Api, person: Callable[[], Person], name: str) -> None:
        """To delete one, one by one or all at once, takes the verb `release`: cluster-admins have it."""
        signer.post(BINDINGS, signer_binding(name, "default"))
        someone = person()
        someone.may(("get list delete deletecollection", "signerbindings", "mesh-signer.dev", ()))
        message = refusal(lambda: someone.call("DELETE", f"{BINDINGS}/{name}"))
        assert f"{someone.name} needs the verb release on signerbindings.mesh-signer.dev {name}" in message
        assert refusal(lambda: someone.call("DELETE", BINDINGS))
        someone.may(("release", "signerbindings", "mesh-signer.dev", [name]))
        someone.call("DELETE", f"{BINDINGS}/{name}")
        signer.post(BINDINGS, signer_binding(name, "default"))
        api.delete(f"{BINDINGS}/{name}")

    @pytest.mark.parametrize("policy", ["Foreground", "Orphan"])
    def test_deleted_for_good(self, guarded: Cluster, api: Api, signer: Api, name: str, policy: str) -> None:
        """One that was deleted with a propagationPolicy goes: of what is being deleted finalizers are taken, and nothing else."""
        body, path, hold = signer_binding(name, "default"), f"{BINDINGS}/{name}", "a.example/hold"
        body["metadata"]["finalizers"] = [hold]
        signer.post(BINDINGS, body)
        assert refusal(lambda: as_collector(api, path, {"finalizers": []})), "it is not being deleted"
        api.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy})
        guarded.wait_for(lambda: api.get(path)["metadata"]["finalizers"] == [hold], "the garbage collector's part", 60)
        more: dict[str, Any]
        for more in ({"labels": {"a": "b"}}, {"annotations": {"a": "b"}}):
            assert refusal(functools.partial(as_collector, api, path, {"finalizers": [], **more}))
        as_collector(api, path, {"finalizers": []})
        assert api.find(path) is None

    def test_restore(self, api: Api, person: Callable[[], Person], name: str) -> None:
        """Who restores has the verb, says so on the object, and writes a status once; the one without the other is not enough."""
        someone = person()
        someone.may(("create", "signerbindings", "mesh-signer.dev", ()))
        plain, marked = signer_binding(name, "default"), signer_binding(name, "default")
        marked["metadata"]["annotations"] = {"mesh-signer.dev/restored-from": "2026-11-29T12:00:00Z"}
        assert refusal(lambda: someone.call("POST", BINDINGS, marked))
        someone.may(("restore", "signerbindings", "mesh-signer.dev", [name]))
        assert "needs the verb restore" in refusal(lambda: someone.call("POST", BINDINGS, plain))
        someone.call("POST", BINDINGS, marked)
        status = f"{BINDINGS}/{name}/status"
        first, second = ({"status": {"claimEndedTime": f"2026-11-2{day}T12:00:00Z"}} for day in "23")
        assert api.patch(status, first)["status"] == first["status"]
        assert refusal(lambda: api.patch(status, second))
        assert refusal(lambda: api.patch(f"{BINDINGS}/{name}", {"metadata": {"labels": {"a": "b"}}}))
        api.delete(f"{BINDINGS}/{name}")


class TestRecords:
    def test_only_ours_write(self, guarded: Cluster, api: Api, person: Callable[[], Person]) -> None:
        """Nobody else says what is remembered of a signer; to delete that takes the verb `release`."""
        name = f"clusterissuers.r-{secrets.token_hex(4)}"
        body = {
            "apiVersion": "mesh-signer.dev/v1alpha1",
            "kind": "SignerRecord",
            "metadata": {"name": name},
            "spec": {"signerName": "clusterissuers.cert-manager.io/r"},
        }
        status = {"status": {"givenOut": True}}
        assert "only mesh-signer writes SignerRecords" in refusal(lambda: api.post(RECORDS, body))
        for account in ("mesh-signer", "mesh-signer-controllers"):
            ours = Api(kubeconfig.read(guarded.service_account_kubeconfig(OWN, account)))
            ours.post(RECORDS, body)
            assert refusal(lambda: api.patch(f"{RECORDS}/{name}/status", status))
            assert ours.patch(f"{RECORDS}/{name}/status", status)["status"] == status["status"]
            someone = person()
            someone.may(("get list delete deletecollection", "signerrecords", "mesh-signer.dev", ()))
            assert "needs the verb release on signerrecords" in refusal(
                functools.partial(someone.call, "DELETE", f"{RECORDS}/{name}")
            )
            someone.may(("release", "signerrecords", "mesh-signer.dev", [name]))
            someone.call("DELETE", f"{RECORDS}/{name}")
            ours.close()


class TestNamespaceLabels:
    WRITE: Rule = ("get create update patch", "namespaces", "", ())

    @pytest.fixture
    def someone(self, person: Callable[[], Person]) -> Person:
        """May change every Namespace, as many pipelines may, and in every way."""
        made = person()
        made.may(
            self.WRITE,
            ("update patch", "namespaces/status", "", ()),
            ("update patch", "namespaces/finalize", "", ()),
        )
        return made

    @pytest.mark.parametrize("value", ["b", None], ids=["set", "remove"])
    def test_needs_the_verb(self, api: Api, someone: Person, namespace: str, value: str | None) -> None:
        """A label under mesh-signer.dev/ is set, changed and removed by those with the verb `label` alone."""
        path = f"/api/v1/namespaces/{namespace}"
        change = {"metadata": {"labels": {LABEL: value}}}
        if value is not None:
            assert refusal(lambda: someone.patch(path, change))
        api.patch(path, {"metadata": {"labels": {LABEL: "a"}}})
        message = refusal(lambda: someone.patch(path, change))
        assert f"{someone.name} needs the verb label on namespaces.mesh-signer.dev {namespace}" in message
        someone.may(("label", "namespaces", "mesh-signer.dev", [namespace]))
        assert someone.patch(path, change)["metadata"]["labels"].get(LABEL) == value

    def test_new_namespace(self, someone: Person) -> None:
        """Nobody makes a Namespace that has the label from the start."""
        name = f"test-{secrets.token_hex(4)}"
        assert refusal(lambda: someone.post("/api/v1/namespaces", labelled(name, {LABEL: "a"})))

    @pytest.mark.parametrize("subresource", ["status", "finalize"])
    def test_not_by_a_subresource(self, api: Api, someone: Person, namespace: str, subresource: str) -> None:
        """Subresources of a Namespace write labels too, and are asked about too."""
        path = f"/api/v1/namespaces/{namespace}"
        body = api.get(path)
        body["metadata"]["labels"]["free"] = "1"
        written = someone.put(f"{path}/{subresource}", body)
        assert written["metadata"]["labels"]["free"] == "1"  # so the refusal below is the policy's doing
        body = api.get(path)
        body["metadata"]["labels"][LABEL] = "a"
        assert refusal(lambda: someone.put(f"{path}/{subresource}", body))

    def test_of_no_namespace(self, person: Callable[[], Person], namespace: str) -> None:
        """A tenant who is cluster-admin in his own namespace may label it, but not so."""
        tenant = person()
        tenant.bound("cluster-admin", namespace)
        path = f"/api/v1/namespaces/{namespace}"
        tenant.patch(path, {"metadata": {"labels": {"team": "a"}}})
        assert refusal(lambda: tenant.patch(path, {"metadata": {"labels": {LABEL: "a"}}}))

    def test_others_pass(self, api: Api, someone: Person, namespace: str) -> None:
        """Other labels are nobody's business, also those that look alike, and where ours stay as they are."""
        path = f"/api/v1/namespaces/{namespace}"
        api.patch(path, {"metadata": {"labels": {LABEL: "a"}}})
        others = {"istio-injection": "enabled", "mesh-signer.devious/tenant": "a", "not.mesh-signer.dev/tenant": "a"}
        written = someone.patch(path, {"metadata": {"labels": others}})
        assert written["metadata"]["labels"].items() >= (others | {LABEL: "a"}).items()


class TestDoctorOnThem:
    """What `doctor` says of the policies as an API server stores them."""

    @staticmethod
    def told(cluster: Cluster) -> dict[str, Finding]:
        read: dict[str, Any] = {
            field: Listing(tuple(cluster.get(kind)["items"]))
            for field, kind in (
                ("admission_policies", "validatingadmissionpolicies"),
                ("admission_bindings", "validatingadmissionpolicybindings"),
            )
        }
        here = facts(deployments=[{"metadata": {"name": "mesh-signer-controllers"}}], **read)
        return {one.where: one for one in check_admission(here)}

    def test_a_weakened_one(self, api: Api, guarded: Cluster) -> None:
        """As installed they are in order; a field that `kubectl apply` leaves is named, and the remedy takes it away."""
        assert self.told(guarded) == {}
        where = "ValidatingAdmissionPolicyBinding namespace-labels.mesh-signer.dev"
        narrowed = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"enforce": "yes"}}}}}
        path = (
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/namespace-labels.mesh-signer.dev"
        )
        api.patch(path, narrowed)
        guarded.apply_kustomize(ISTIO)
        found = self.told(guarded)
        assert list(found) == [where]
        assert "spec.matchResources is set" in found[where].what
        file = found[where].mend.split()[3]
        guarded.kubectl("replace", "-f", MANIFESTS.parent / file)
        assert self.told(guarded) == {}
