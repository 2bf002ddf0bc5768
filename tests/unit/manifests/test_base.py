"""What the kustomizations install: identities, Pods, and how they stand in the cluster."""

import argparse
import re
from typing import Any

import pytest

import signer
from signer.edge.http01.routes import SOLVER_PORT, SOLVER_SERVICE
from signer.settings.options import add_arguments
from signer.settings.values import Settings, settings_from
from tests.unit.manifests.kustomize import MANIFESTS, Objects, build, build_with_components, read_all

DEPLOYMENTS = ("mesh-signer", "mesh-signer-controllers")
EDGE_POLICIES = {
    (kind, f"{name}.mesh-signer.dev")
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    for name in (
        "challenge-objects",
        "challenge-routes",
        "challenge-gateways",
        "challenge-httproutes",
        "challenge-ingresses",
        "challenge-grants",
        "challenge-deletions",
        "challenge-records",
        "hostclaims",
    )
}
POLICIES = {
    (kind, f"{name}.mesh-signer.dev")
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    for name in ("claims", "certificates", "bindings", "namespace-labels", "readmissions")
}


@pytest.fixture(scope="module")
def base() -> Objects:
    return build(MANIFESTS / "base")


def pod(objects: Objects, name: str) -> dict[str, Any]:
    found: dict[str, Any] = objects["Deployment", name]["spec"]["template"]
    return found


def settings(objects: Objects, name: str) -> Settings:
    """The settings that a Pod starts with, read by the program's own parser."""
    (container,) = pod(objects, name)["spec"]["containers"]
    command, *given = container["args"]
    assert command == "run"
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    environment = {"POD_NAME": "a-pod", "POD_NAMESPACE": "the-namespace"}
    assert [variable["name"] for variable in container["env"]] == list(environment)
    expanded = [argument.replace("$(POD_NAMESPACE)", environment["POD_NAMESPACE"]) for argument in given]
    return settings_from(vars(parser.parse_args(expanded)), environment, host="h", process=1)


@pytest.mark.parametrize("name", DEPLOYMENTS)
class TestPods:
    def test_no_privileges(self, base: Objects, name: str) -> None:
        """A process that is taken over has no root, no capability, no file to change."""
        spec = pod(base, name)["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for word in ("hostNetwork", "hostPID", "hostIPC", "initContainers"):
            assert word not in spec
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        assert [volume for volume in spec["volumes"] if "hostPath" in volume] == []

    def test_no_sidecar(self, base: Objects, name: str) -> None:
        """The mesh cannot give the Pod a sidecar or capture its traffic: it is up before the mesh is."""
        metadata = pod(base, name)["metadata"]
        assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
        assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"
        assert metadata["labels"]["istio.io/dataplane-mode"] == "none"

    def test_own_identity(self, base: Objects, name: str) -> None:
        """Each Deployment has a ServiceAccount of its own, whose token no other Pod gets by accident."""
        spec = pod(base, name)["spec"]
        assert spec["serviceAccountName"] == name
        assert spec["automountServiceAccountToken"] is True
        assert base["ServiceAccount", name]["automountServiceAccountToken"] is False

    def test_probes_and_resources(self, base: Objects, name: str) -> None:
        """The kubelet asks the port that the program serves, and memory has an end."""
        (container,) = pod(base, name)["spec"]["containers"]
        port, *others = container["ports"]
        found = settings(base, name)
        assert found.bind == f"0.0.0.0:{port['containerPort']}"
        solver = [f"0.0.0.0:{one['containerPort']}" for one in others]
        assert solver == ([] if found.edge.http01_solver_bind == "none" else [found.edge.http01_solver_bind])
        for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"memory"}
        annotations = pod(base, name)["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(port["containerPort"])

    def test_settings(self, base: Objects, name: str) -> None:
        """The arguments are ones that the program knows, and it drains before it is killed."""
        found = settings(base, name)
        expected = {
            "mesh-signer": ("csr",),
            "mesh-signer-controllers": (
                *("issuers", "certificates", "certificaterequests"),
                *("acmeissuers", "orders", "challenges", "gateways", "casources"),
                "policies",
            ),
        }
        assert found.controllers == expected[name]
        assert found.cluster_resource_namespace == found.namespace == "the-namespace"
        assert found.identity == "a-pod"
        assert found.log_format == "json"
        spec = pod(base, name)["spec"]
        assert found.drain_seconds < spec["terminationGracePeriodSeconds"]
        # The Service of the same name would else set MESH_SIGNER_PORT and others.
        assert spec["enableServiceLinks"] is False

    def test_image(self, base: Objects, name: str) -> None:
        """The image's tag is this version."""
        (container,) = pod(base, name)["spec"]["containers"]
        assert container["image"] == f"mesh-signer:{signer.__version__}"

    def test_selectors_agree(self, base: Objects, name: str) -> None:
        """Deployment, Service, PodDisruptionBudget and topology spread all mean the same Pods, and only those."""
        deployment = base["Deployment", name]["spec"]
        labels = pod(base, name)["metadata"]["labels"]
        chosen = deployment["selector"]["matchLabels"]
        assert chosen.items() <= labels.items()
        other = next(one for one in DEPLOYMENTS if one != name)
        assert not chosen.items() <= pod(base, other)["metadata"]["labels"].items()
        assert base["Service", name]["spec"]["selector"] == chosen
        assert base["PodDisruptionBudget", name]["spec"]["selector"] == {"matchLabels": chosen}
        for spread in pod(base, name)["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"] == {"matchLabels": chosen}
        assert deployment["replicas"] > base["PodDisruptionBudget", name]["spec"]["minAvailable"]


def test_the_solvers_service(base: Objects) -> None:
    """The Service that routes lead to has the name and port that the program knows, and every replica behind it."""
    spec = base["Service", SOLVER_SERVICE]["spec"]
    (port,) = spec["ports"]
    (container,) = pod(base, "mesh-signer-controllers")["spec"]["containers"]
    assert (port["port"], port["name"]) == (SOLVER_PORT, "http")
    assert port["targetPort"] in [one["name"] for one in container["ports"]]
    assert spec["selector"] == base["Deployment", "mesh-signer-controllers"]["spec"]["selector"]["matchLabels"]


class TestRoles:
    def test_no_wildcards(self, base: Objects) -> None:
        """No role says *: each right is one that somebody wrote down."""
        roles = [one for (kind, _), one in base.items() if kind in {"Role", "ClusterRole"}]
        assert len(roles) == 12
        for role in roles:
            for rule in role.get("rules", ()):
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], role["metadata"]["name"]

    def test_signers_are_named(self, base: Objects) -> None:
        """The rights to sign and to approve name the signer domains that are served."""
        found = {
            (name, rule["apiGroups"][0], tuple(rule["verbs"])): rule.get("resourceNames")
            for (kind, name), role in base.items()
            if kind in {"Role", "ClusterRole"}
            for rule in role.get("rules", ())
            if "signers" in rule["resources"]
        }
        domains = ["clusterissuers.cert-manager.io/*", "issuers.cert-manager.io/*"]
        assert found == {
            ("mesh-signer", "certificates.k8s.io", ("sign",)): domains,
            ("mesh-signer", "mesh-signer.dev", ("sign",)): domains,
            ("mesh-signer-tenancy", "mesh-signer.dev", ("claim",)): None,  # for people, who decide of every signer
            ("mesh-signer-controllers", "cert-manager.io", ("approve",)): domains,
        }

    def test_accounts_are_the_manifests_own(self, base: Objects) -> None:
        """What an admission policy says of our ServiceAccounts means the ones that are installed."""
        policy = build(MANIFESTS / "overlays" / "istio")["ValidatingAdmissionPolicy", "bindings.mesh-signer.dev"]
        (ours,) = [one["expression"] for one in policy["spec"]["variables"] if one["name"] == "ours"]
        accounts = {
            f"system:serviceaccount:{base['ServiceAccount', name]['metadata']['namespace']}:{name}"
            for name in DEPLOYMENTS
        }
        assert set(re.findall(r"'(system:[^']+)'", ours)) == accounts

    def test_flow_schema_is_the_signers(self, base: Objects) -> None:
        """The API server's priority goes to the signer's ServiceAccount, and there is one of that name."""
        (rule,) = base["FlowSchema", "mesh-signer"]["spec"]["rules"]
        (subject,) = rule["subjects"]
        name = subject["serviceAccount"]
        assert base["ServiceAccount", name["name"]]["metadata"]["namespace"] == name["namespace"]
        for name in DEPLOYMENTS:
            assert ("PriorityClass", pod(base, name)["spec"]["priorityClassName"]) in base


class TestVariants:
    @pytest.mark.heavy
    def test_namespaces_are_apart(self) -> None:
        """Whatever is deleted by `kubectl delete -k`, the namespaces stay, and so the CAs and Istio in them."""
        names = {("Namespace", "cert-manager"), ("Namespace", "istio-system")}
        assert set(build(MANIFESTS / "namespaces")) == names
        others = {path.parent for path in MANIFESTS.rglob("kustomization.yaml")} - {MANIFESTS / "namespaces"}
        components = {path for path in others if path.parent.name == "components"}
        examples = MANIFESTS / "examples"
        assert len(others) > len(components) > 3
        for folder in others - components:
            if examples not in folder.parents:
                assert "Namespace" not in {kind for kind, _ in build(folder)}, folder
        for name in sorted(path.name for path in components):
            assert "Namespace" not in {kind for kind, _ in build_with_components([name])}, name

    def test_istio(self, base: Objects) -> None:
        """For Istio there is the base as it is, and the admission policies, each with its binding."""
        istio = build(MANIFESTS / "overlays" / "istio")
        assert {key: istio[key] for key in base} == base
        assert set(istio) - set(base) == POLICIES | EDGE_POLICIES

    def test_beside_cert_manager(self, base: Objects) -> None:
        """Beside cert-manager there is the signer alone, as it is in the base, with all that keeps the wall."""
        beside = build(MANIFESTS / "overlays" / "beside-cert-manager")
        left_out = {
            *(
                key
                for key in base
                if key[1] in ("mesh-signer-controllers", "mesh-signer-lease-controllers", SOLVER_SERVICE)
            ),
            ("RoleBinding", "mesh-signer-mesh-config-controllers"),
            *(("ClusterRole", f"mesh-signer-{name}") for name in ("view", "edit", "cluster-view")),
            *(key for key in base if key[1].startswith("controllers-")),
        }
        assert set(beside) == set(base) - left_out | POLICIES
        changed = {key for key, one in base.items() if key not in left_out and beside[key] != one}
        assert changed == {("Deployment", "mesh-signer")}
        # Nobody else is there to write the status of SignerPolicies.
        assert settings(beside, "mesh-signer").controllers == ("csr", "policies")

    def test_bridges(self, base: Objects) -> None:
        """The component has the controllers build bridges, and brings what they need for it and the policies around it."""
        added = build_with_components(["bridges"])
        kinds = {kind for kind, _ in set(added) - set(base)}
        assert kinds == {
            "ClusterRole",
            "ClusterRoleBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        }
        assert settings(added, "mesh-signer-controllers").tenant_bridges
        assert not settings(base, "mesh-signer-controllers").tenant_bridges

    def test_manage_mesh_config(self, base: Objects) -> None:
        """The component tells the controllers to keep the mesh config, and gives them that one ConfigMap."""
        added = build_with_components(["manage-mesh-config"])
        name = "mesh-signer-manage-mesh-config"
        assert set(added) - set(base) == {("Role", name), ("RoleBinding", name)}
        assert settings(added, "mesh-signer-controllers").manage_mesh_config
        assert not settings(base, "mesh-signer-controllers").manage_mesh_config
        (rule,) = added["Role", name]["rules"]
        assert (rule["resources"], rule["resourceNames"]) == (["configmaps"], ["istio"])
        (subject,) = added["RoleBinding", name]["subjects"]
        assert ("ServiceAccount", subject["name"]) in base

    def test_components(self, base: Objects) -> None:
        """Each component adds its object to the base, with labels that fit it."""
        watching = ["alerts", "dashboard", "pod-monitor", "service-monitor"]
        added = build_with_components(["admission", "namespaced-issuers", "network-policy", "requester", *watching])
        assert set(added) - set(base) == POLICIES | {
            ("ClusterRole", "mesh-signer-secrets"),
            ("NetworkPolicy", "mesh-signer"),
            ("PodMonitor", "mesh-signer"),
            ("PrometheusRule", "mesh-signer"),
            ("ConfigMap", "mesh-signer-dashboard"),
            ("ServiceMonitor", "mesh-signer"),
            ("MutatingAdmissionPolicy", "requester.mesh-signer.dev"),
            ("MutatingAdmissionPolicyBinding", "requester.mesh-signer.dev"),
        }
        for kind, word in (("NetworkPolicy", "podSelector"), ("PodMonitor", "selector")):
            chosen = added[kind, "mesh-signer"]["spec"][word]["matchLabels"]
            for name in DEPLOYMENTS:
                assert chosen.items() <= pod(base, name)["metadata"]["labels"].items()
        for kind, field in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
            (endpoint,) = added[kind, "mesh-signer"]["spec"][field]
            assert endpoint == {"port": "http-metrics", "path": "/metrics", "honorLabels": True}
        role = added["ClusterRole", "mesh-signer-secrets"]
        assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]

    def test_ca_injector(self, base: Objects) -> None:
        """The component adds the injector, run as nothing else, its account without Secrets, and the policy that binds it."""
        added = build_with_components(["ca-injector"])
        name = "mesh-signer-ca-injector"
        new = {key: one for key, one in added.items() if key not in base}
        assert {key: one for key, one in added.items() if key in base} == base
        assert set(new) == {
            *((kind, name) for kind in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment")),
            *((kind, name + part) for kind in ("Role", "RoleBinding") for part in ("", "-rival", "-events")),
            ("PodDisruptionBudget", name),
            ("ValidatingAdmissionPolicy", "ca-injector.mesh-signer.dev"),
            ("ValidatingAdmissionPolicyBinding", "ca-injector.mesh-signer.dev"),
        }
        assert settings(added, name).only_injects
        assert "casources" in (settings(base, "mesh-signer-controllers").controllers or ())
        container, known = (pod(added, one)["spec"]["containers"][0] for one in (name, "mesh-signer-controllers"))
        assert container["image"] == known["image"]
        assert container["securityContext"] == known["securityContext"]
        assert (
            pod(added, name)["spec"]["securityContext"]
            == pod(added, "mesh-signer-controllers")["spec"]["securityContext"]
        )
        account = pod(added, name)["spec"]["serviceAccountName"]
        (ours,) = new["ValidatingAdmissionPolicy", "ca-injector.mesh-signer.dev"]["spec"]["matchConditions"]
        assert f"'system:serviceaccount:cert-manager:{account}'" in ours["expression"]
        for (kind, _), one in new.items():
            for rule in one.get("rules", ()) if "Role" in kind else ():
                assert set(rule["verbs"]).isdisjoint({"*", "update"} if rule["resources"] != ["leases"] else {"*"})
                assert set(rule["resources"]).isdisjoint({"secrets", "certificates", "*"})

    @pytest.mark.heavy
    def test_without_edge(self, base: Objects) -> None:
        """Without the edge nothing listens for challenges and no controller of it runs; all else is as it was."""
        without = build_with_components(["without-edge"])
        assert set(base) - set(without) == {("Service", SOLVER_SERVICE)}
        changed = {key for key, one in without.items() if base[key] != one}
        assert changed == {("Deployment", "mesh-signer-controllers")}
        found = settings(without, "mesh-signer-controllers")
        assert found.controllers == ("issuers", "certificates", "certificaterequests", "casources", "policies")
        assert found.edge.http01_solver_bind == "none"
        (container,) = pod(without, "mesh-signer-controllers")["spec"]["containers"]
        assert [one["name"] for one in container["ports"]] == ["http-metrics"]

    def test_crds_are_apart(self, base: Objects) -> None:
        """The base never brings CRDs, which would go over cert-manager's."""
        assert "CustomResourceDefinition" not in {kind for kind, _ in base}


def test_every_manifest_is_one_that_kubernetes_can_read() -> None:
    """Each YAML file holds objects with apiVersion and kind."""
    files = sorted(MANIFESTS.rglob("*.yaml"))
    assert len(files) > 20
    for path in files:
        for one in read_all(path.read_text("utf-8")):
            assert {"apiVersion", "kind"} <= set(one), path
