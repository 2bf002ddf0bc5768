"""Rights: who has one by RBAC, and which of those are findings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.generate.__main__ import RIGHTS, rights
from signer.api.issuer import IssuerRef
from signer.commands.checks.access import check_needed, check_others, needed
from signer.commands.checks.facts import Access, Facts
from signer.commands.checks.rbac import Right, Roles, Subject
from signer.commands.checks.shipped import ON, WHAT, roles
from signer.commands.live import Listing
from signer.tenancy.world import Policy
from tests.unit.commands.meshes import bound, deployment, entries, facts, mesh, named, role, whats
from tests.unit.tenancy.worlds import DEFAULT, world

ROOT = Path(__file__).resolve().parents[3]
USER = ("User", "", "eve")
OURS = ("ServiceAccount", "cert-manager", "mesh-signer")
ISTIOD = ("ServiceAccount", "istio-system", "istiod")
EVERYBODY = ("Group", "", "system:authenticated")
SIGN = (
    ("sign", "certificates.k8s.io", "signers"),
    ("update", "certificates.k8s.io", "certificatesigningrequests/status"),
)


def others(
    *subjects: tuple[str, str, str],
    rules: tuple[tuple[str, str, str], ...],
    name: str = "r",
    namespace: str = "",
    names: tuple[str, ...] = (),
) -> list[str]:
    """What is found when these subjects have these rules, in the cluster or in one namespace."""
    listed = [bound(name, *subjects, namespace=namespace)]
    roles = [role(name, *rules, names=names)]
    if namespace:
        return whats(check_others(facts(cluster_roles=roles, role_bindings=listed)))
    return whats(check_others(facts(cluster_roles=roles, cluster_role_bindings=listed)))


@pytest.mark.parametrize(
    ("rule", "wanted", "has"),
    [
        (("get", "", "secrets"), Right(frozenset({"get"}), "", "secrets"), True),
        (("*", "*", "*"), Right(frozenset({"get"}), "a", "b/c"), True),
        (("get", "", "secrets"), Right(frozenset({"list"}), "", "secrets"), False),
        (("get", "x", "secrets"), Right(frozenset({"get"}), "", "secrets"), False),
        (("get", "", "*/status"), Right(frozenset({"get"}), "", "pods/status"), True),
        (("get", "", "pods"), Right(frozenset({"get"}), "", "pods/status"), False),
        (("get", "", "pods/status"), Right(frozenset({"get"}), "", "pods"), False),
    ],
)
def test_rules(rule: tuple[str, str, str], wanted: Right, has: bool) -> None:
    """A rule gives what Kubernetes' own authorizer lets it give."""
    found = Roles(facts(cluster_roles=[role("r", rule)], cluster_role_bindings=[bound("r", USER)])).who(wanted)
    assert found == ({Subject(*USER): frozenset({"r"})} if has else {})


def test_names_and_namespaces() -> None:
    """Names of objects and namespaces of bindings narrow a right."""
    here = facts(
        cluster_roles=[role("r", ("get", "", "secrets"), names=["ca"])],
        role_bindings=[bound("r", USER, ("ServiceAccount", "", "a"), namespace="cert-manager")],
    )
    wanted = Right(frozenset({"get"}), "", "secrets", frozenset({"ca"}), "cert-manager")
    assert set(Roles(here).who(wanted)) == {Subject(*USER), Subject("ServiceAccount", "cert-manager", "a")}
    assert Roles(here).who(replace(wanted, names=frozenset({"other"}))) == {}
    assert Roles(here).who(replace(wanted, namespace="other")) == {}
    assert Roles(here).who(replace(wanted, namespace=None)) == {}


def test_roles_of_a_namespace() -> None:
    """A Role counts in its own namespace only."""
    rule = [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]
    here = facts(
        roles=[named("Role", "r", "a", rules=rule)],
        role_bindings=[bound("r", USER, namespace="a", kind="Role"), bound("r", USER, namespace="b", kind="Role")],
    )
    assert Roles(here).who(Right(frozenset({"get"}), "", "secrets", namespace="a"))
    assert not Roles(here).who(Right(frozenset({"get"}), "", "secrets", namespace="b"))


def test_malformed_roles() -> None:
    """Whatever stands in a role or a binding, reading it goes on."""
    here = facts(
        cluster_roles=[{}, named("ClusterRole", "r", rules="x"), role("fine", ("get", "", "secrets"))],
        cluster_role_bindings=[{}, named("B", "b", roleRef=[], subjects={}), bound("fine", USER)],
    )
    assert Roles(here).who(Right(frozenset({"get"}), "", "secrets"))


def test_another_signer() -> None:
    """Who may both sign for our signers and write a request's status is found; half of it is nothing."""
    (found,) = others(USER, rules=SIGN)
    assert found.startswith("warning: who may sign for our signers")
    assert "User eve (by r)" in found
    assert others(USER, rules=SIGN[:1]) == []
    assert others(USER, rules=SIGN, names=("example.com/*",)) == []
    assert others(OURS, rules=SIGN) == []


def test_another_signer_under_the_admission_policy() -> None:
    """With the admission policy in force, RBAC's `sign` alone lets nobody answer."""
    listings: dict[str, Any] = {
        "cluster_roles": [role("r", *SIGN), role("q", ("sign", "mesh-signer.dev", "signers"))],
        "admission_policies": [named("ValidatingAdmissionPolicy", "certificates.mesh-signer.dev")],
    }
    assert list(check_others(facts(cluster_role_bindings=[bound("r", USER)], **listings))) == []
    assert whats(check_others(facts(cluster_role_bindings=[bound("r", USER), bound("q", USER)], **listings)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (("patch", "", "configmaps"), "may write Istio's mesh config"),
        (("create", "mesh-signer.dev", "signerpolicies"), "may write SignerPolicies"),
        (("delete", "mesh-signer.dev", "signerbindings"), "may write SignerBindings"),
        (("list", "", "secrets"), "Secrets of the CAs"),
        (("create", "", "serviceaccounts/token"), "may act as istiod"),
        (("impersonate", "", "users"), "may act as istiod"),
    ],
)
def test_ways_round(rule: tuple[str, str, str], text: str) -> None:
    """Each way round the wall is found; open to everybody, it is an error; ours, istiod's and Kubernetes' own are not."""
    (found,) = others(USER, rules=(rule,))
    assert found.startswith("warning: ")
    assert text in found
    assert others(EVERYBODY, rules=(rule,))[0].startswith("error: ")
    assert others(("Group", "", "system:serviceaccounts:foo"), rules=(rule,))[0].startswith("error: ")
    assert others(ISTIOD, ("Group", "", "system:masters"), rules=(rule,)) == []
    assert others(("ServiceAccount", "kube-system", "x"), rules=(rule,), name="system:controller:x") == []
    assert others(("ServiceAccount", "kube-system", "x"), rules=(rule,))


def test_in_the_namespace() -> None:
    """A right in Istio's namespace is as good as one in the cluster; one elsewhere is nothing."""
    rule = (("update", "", "configmaps"),)
    assert others(USER, rules=rule, namespace="istio-system")
    assert others(USER, rules=rule, namespace="foo") == []


def test_admins_are_told_once() -> None:
    """Admins are no finding to mend, but named."""
    everything = ("*", "*", "*")
    (found,) = others(("User", "", "root"), rules=(everything,), name="cluster-admin")
    assert found == "note: as admins can do anything: User root"
    roles = [role("cluster-admin", everything), role("more", everything)]
    bindings = [bound(name, ("User", "", "root")) for name in ("cluster-admin", "more")]
    (also,) = whats(check_others(facts(cluster_roles=roles, cluster_role_bindings=bindings)))
    assert also == found


def test_beside_the_cas() -> None:
    """Who lives in the CAs' namespace is told, not complained of."""
    (found,) = others(("ServiceAccount", "cert-manager", "cert-manager"), rules=(("get", "", "secrets"),))
    assert found.startswith("note: who lives beside the CAs")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), True),
        (("kubernetes.io/*",), True),
        (("clusterissuers.cert-manager.io/*", "clusterissuers.cert-manager.io/foo"), False),
    ],
)
def test_an_istiod_that_approves_for_all_signers(names: tuple[str, ...], told: bool) -> None:
    """The rule of Istio's chart without values.global.certSigners has no names, which means every signer: it is told."""
    approve = (("approve", "certificates.k8s.io", "signers"),)
    listed = [
        bound("istiod-clusterrole", ISTIOD),
        bound("requests", ISTIOD),
    ]
    roles = [
        role("istiod-clusterrole", *approve, names=names),
        role("requests", ("update", "certificates.k8s.io", "certificatesigningrequests/approval")),
    ]
    found = whats(check_others(facts(cluster_roles=roles, cluster_role_bindings=listed)))
    text = "may approve requests of every signer, also of kubernetes.io/kube-apiserver-client"
    assert [one for one in found if text in one] == found
    assert bool(found) == told
    if told:
        assert found[0].startswith("note: ServiceAccount istio-system/istiod ")
        assert "(by istiod-clusterrole)" in found[0]
    # Who may not write the approval can do nothing with the verb alone.
    assert whats(check_others(facts(cluster_roles=roles, cluster_role_bindings=listed[:1]))) == []


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("clusterissuers.cert-manager.io/mesh", "clusterissuers.cert-manager.io/istio-system"), False),
        (("clusterissuers.cert-manager.io/mesh", "clusterissuers.cert-manager.io/shop"), True),
        (("clusterissuers.cert-manager.io/*",), True),
    ],
)
def test_an_istiod_that_approves_for_tenants(names: tuple[str, ...], told: bool) -> None:
    """Where one signer is routed by identity, a right to approve for the tenants' own lets a thief wait for a minute."""
    door, shop = (IssuerRef("ClusterIssuer", "", name) for name in ("mesh", "shop"))
    policies = (
        Policy("door", frozenset({door}), route="Identity"),
        Policy("shop", frozenset({shop}), namespaces=frozenset({"shop"})),
    )
    found = mesh(world(policies=policies, config=entries(DEFAULT), routed=frozenset({door})))
    rules = (
        ("approve", "certificates.k8s.io", "signers"),
        ("update", "certificates.k8s.io", "certificatesigningrequests/approval"),
    )
    roles = [role("r", rules[0], names=names), role("w", rules[1])]
    listed = [bound("r", ISTIOD), bound("w", ISTIOD)]
    codes = [one.code for one in check_others(facts(found, cluster_roles=roles, cluster_role_bindings=listed))]
    assert codes == (["IstiodApprovesTenants"] if told else [])


def test_approvers() -> None:
    """Other approvers are told: what they approve is judged like anything else."""
    rules = (
        ("approve", "certificates.k8s.io", "signers"),
        ("update", "certificates.k8s.io", "certificatesigningrequests/approval"),
    )
    assert others(USER, rules=rules)[0].startswith("note: who may approve")
    assert others(ISTIOD, rules=rules, names=("clusterissuers.cert-manager.io/foo",)) == []


def test_unreadable_roles() -> None:
    """Roles that may not be read are "not checked", never "nobody"."""
    (found,) = check_others(facts(cluster_roles=Listing(problem="clusterroles may not be read")))
    assert (found.severity, "clusterroles may not be read" in found.what) == ("unknown", True)


def test_needed_rights() -> None:
    """The signer's rights are asked for under its account, istiod's approval for every signer of the mesh."""
    asked = needed(facts())
    users = {one.user for one in asked}
    assert users == {"system:serviceaccount:cert-manager:mesh-signer", "system:serviceaccount:istio-system:istiod"}
    approvals = [one.name for one in asked if one.verb == "approve"]
    assert "clusterissuers.cert-manager.io/foo" in approvals
    assert len(approvals) == 4


def test_rights_of_the_controllers() -> None:
    """The controllers' rights are asked for where the CRDs are ours: beside cert-manager they do not run."""
    crd = named("CustomResourceDefinition", "certificates.cert-manager.io")
    assert not any(one.user.endswith(":mesh-signer-controllers") for one in needed(facts(crds=[crd])))
    crd["metadata"]["annotations"] = {"mesh-signer.dev/crds": "1"}
    asked = [one for one in needed(facts(crds=[crd])) if one.user.endswith(":mesh-signer-controllers")]
    assert {(one.verb, one.resource, one.subresource) for one in asked} >= {
        ("patch", "certificates", "status"),
        ("create", "secrets", ""),
    }


def test_rights_for_pods() -> None:
    """What is needed for Pods' certificates is asked for where a Deployment of ours answers them, and nowhere else."""

    def asked(*controllers: str) -> set[str]:
        ours = deployment("mesh-signer", "cert-manager", args=[f"--controllers={','.join(controllers)}"])
        return {f"{one.verb} {one.resource}" for one in needed(facts(deployments=[ours]))}

    more = asked("csr", "podcertificates") - asked("csr")
    assert more >= {"watch podcertificaterequests", "get pods", "get nodes", "attest signers"}
    assert asked("csr") >= {"sign signers"}


def test_missing_rights() -> None:
    """A right that is missing says what cannot be done without it; several signers are one finding."""

    def answered(found: Facts) -> Facts:
        return replace(
            found, accesses=tuple(replace(one, allowed=one.verb not in {"approve", "update"}) for one in needed(found))
        )

    first, second = whats(check_needed(answered(facts())))
    assert "may not update certificatesigningrequests.certificates.k8s.io/status: it cannot answer requests" in first
    assert "may not approve requests for clusterissuers.cert-manager.io/bar, " in second
    assert list(check_needed(facts(accesses=(Access("u", "get", "x", allowed=True),)))) == []
    (unknown,) = check_needed(facts(access_problem="no"))
    assert unknown.severity == "unknown"


class TestShippedRoles:
    """Whatever a shipped role lets an account of ours do is asked for where its component is at work, and told when it lacks."""

    DEPLOYMENTS = (
        deployment("mesh-signer", "cert-manager", args=["--controllers=csr,podcertificates"]),
        deployment(
            "mesh-signer-controllers", "cert-manager", args=["--tenant-bridges=true", "--manage-mesh-config", "true"]
        ),
        deployment("mesh-signer-ca-injector", "cert-manager"),
    )

    def test_every_rule(self) -> None:
        """Each verb of each rule in the manifests is a question, of the account that the role is bound to."""
        asked = {
            (one.user.rpartition(":")[2], one.verb, one.group, "/".join(filter(None, (one.resource, one.subresource))))
            for one in needed(facts(deployments=self.DEPLOYMENTS))
        }
        lacking = {
            (subject["name"], verb, group, resource)
            for binding, role in _shipped_bindings()
            for subject in binding["subjects"]
            for rule in role["rules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        } - asked
        assert lacking == {("mesh-signer-controllers", "approve", "cert-manager.io", "signers")}, (
            "what may be taken away"
        )

    def test_what_is_shipped(self) -> None:
        """What doctor has of the rules is that of the manifests, and each component with a role says when it is at work."""
        assert RIGHTS.read_text("utf-8") == rights()
        assert {one.component for one in roles()} == ON.keys() == WHAT.keys()

    @pytest.mark.parametrize("name", sorted({one.name for one in roles()}))
    def test_a_role_that_is_not_bound(self, name: str) -> None:
        """A role that is not bound is told by its name and by what does not work, once for each account; nothing else is."""
        found = facts(deployments=self.DEPLOYMENTS)
        listed = tuple(replace(one, allowed=one.role != name) for one in needed(found))
        told = list(check_needed(replace(found, accesses=listed)))
        assert [one.code for one in told] == ["RightMissing"] * len(told)
        assert told
        assert all(f"role {name} " in one.where for one in told)

    @pytest.mark.parametrize("value", ["--tenant-bridges=false", "", "--tenant-bridges-of=true"])
    def test_a_component_that_is_not_at_work(self, value: str) -> None:
        """Where bridges are not built, nobody lacks a right to build them; nor where the account's Deployment is not there."""
        made = deployment("mesh-signer-controllers", "cert-manager", args=[value])
        assert {one.role for one in needed(facts(deployments=[made]))} & {"mesh-signer-bridges"} == set()
        assert {one.role for one in needed(facts())} == {""}


def _shipped_bindings() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    listed = [
        one
        for part in ("base", "components")
        for path in sorted((ROOT / "manifests" / part).rglob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text("utf-8"))
        if isinstance(one, dict) and one.get("apiVersion") == "rbac.authorization.k8s.io/v1"
    ]
    there = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one for one in listed}
    return [
        (one, there[one["roleRef"]["kind"], one["metadata"].get("namespace"), one["roleRef"]["name"]])
        for one in listed
        if one["kind"].endswith("Binding")
    ]
