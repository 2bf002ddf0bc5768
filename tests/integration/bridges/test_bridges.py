"""A bridge on a real API server, under the rights that we ship: two hands build it, either ends it, nobody else's object is touched."""

import copy
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.integration.bridges.tenancies import GATEWAY, RULES, Crossing, in_seconds

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]


class TestTwoHands:
    def test_both(self, crossing: Crossing) -> None:
        """With both hands there is a certificate by the server's CA for the client's own identity, and a rule that uses it."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        leaf = crossing.leaf()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
            f"spiffe://cluster.local/ns/{crossing.client}/sa/{GATEWAY}"
        ]
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        leaf.verify_directly_issued_by(crossing.tenants.cas["server"].certificate)
        assert crossing.roots() == [crossing.tenants.cas["server"].certificate]
        (rule,) = crossing.rules()
        tls = rule["spec"]["trafficPolicy"]["tls"]
        assert tls["mode"] == "MUTUAL"
        assert tls["subjectAltNames"] == sorted(
            f"spiffe://cluster.local/ns/{crossing.server}/sa/{one}" for one in ("default", "httpbin")
        )
        assert rule["spec"]["exportTo"] == ["."]
        assert rule["spec"]["workloadSelector"] == {"matchLabels": {"istio": "ingressgateway"}}

    def test_no_policy(self, crossing: Crossing) -> None:
        """The server's tenant alone opens nothing, and is told why."""
        crossing.bridge()
        crossing.ended("NotAllowed")
        assert "an admin writes one" in crossing.condition()["message"]

    @pytest.mark.parametrize(
        "spec",
        [
            {"clients": [{"namespace": "elsewhere", "serviceAccounts": [GATEWAY]}]},
            {"servers": {"names": ["elsewhere"]}},
            {"servers": {"matchLabels": {"mesh-signer.dev/nobody": "has"}}},
        ],
    )
    def test_another_policy(self, crossing: Crossing, spec: dict[str, Any]) -> None:
        """A policy about other clients or other servers opens nothing."""
        crossing.policy(**spec)
        crossing.bridge()
        crossing.ended("NotAllowed")

    def test_the_admin_ends_it(self, crossing: Crossing) -> None:
        """Without the policy everything that was built is gone, and with it again it stands again."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.end_policy()
        crossing.ended("NotAllowed")
        crossing.policy()
        crossing.stands()

    def test_the_tenant_ends_it(self, crossing: Crossing) -> None:
        """Without the TenantBridge everything is gone, and it does not wait for anybody."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.end_bridge()
        assert crossing.rules() == []
        assert crossing.secret() is None

    @pytest.mark.parametrize("hand", ["tenant", "admin"])
    def test_an_end_time(self, crossing: Crossing, hand: str) -> None:
        """At its end, which either says, it ends by itself; the certificate ends no later."""
        ends = in_seconds(40)
        crossing.policy(**({"endTime": ends} if hand == "admin" else {}))
        crossing.bridge(**({"endTime": ends} if hand == "tenant" else {}))
        crossing.stands()
        assert crossing.leaf().not_valid_after_utc <= datetime.fromisoformat(ends)
        crossing.ended("Ended")


class TestWithin:
    def test_wildcards(self, crossing: Crossing) -> None:
        """All services at once are bridged only where an admin says so."""
        wild = f"*.{crossing.server}.svc.cluster.local"
        crossing.policy()
        crossing.bridge(hosts=[wild])
        crossing.ended("NotAllowed")
        assert "allowWildcardHosts" in crossing.condition()["message"]
        crossing.policy(allowWildcardHosts=True)
        crossing.stands()
        (rule,) = crossing.rules()
        assert (rule["spec"]["host"], rule["spec"]["trafficPolicy"]["tls"]["sni"]) == (wild, wild.removeprefix("*."))

    def test_lifetime(self, crossing: Crossing) -> None:
        """The shorter of both lifetimes holds, also for what was issued before."""
        crossing.policy(maxLifetime="2h")
        crossing.bridge(lifetime="3h")
        crossing.stands()
        first = crossing.leaf()
        assert timedelta(hours=2) <= lifetime(first) <= timedelta(hours=2, minutes=2)
        crossing.policy(maxLifetime="10m")
        crossing.until("a shorter certificate", lambda: lifetime(crossing.leaf()) <= timedelta(minutes=12))

    def test_another_namespaces_host(self, crossing: Crossing) -> None:
        """A bridge leads to services of its own namespace, whatever it says."""
        crossing.policy()
        crossing.bridge(hosts=["httpbin.elsewhere.svc.cluster.local"])
        crossing.ended("Invalid")
        assert "spec.hosts[0]" in crossing.condition()["message"]


class TestKept:
    def test_accounts(self, crossing: Crossing) -> None:
        """The servers that are accepted are those of the namespace's service accounts, as they come and go."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.account(crossing.server, "later")
        name = f"spiffe://cluster.local/ns/{crossing.server}/sa/later"
        crossing.until("the new account", lambda: name in names(crossing))
        crossing.api.delete(f"/api/v1/namespaces/{crossing.server}/serviceaccounts/later")
        crossing.until("the account's end", lambda: name not in names(crossing))
        crossing.bridge(serviceAccounts=["httpbin"])
        only = [f"spiffe://cluster.local/ns/{crossing.server}/sa/httpbin"]
        crossing.until("the one that is named", lambda: names(crossing) == only)

    def test_subsets(self, crossing: Crossing) -> None:
        """The server's subsets are copied by name and labels, and no traffic policy of theirs."""
        spec = {
            "host": "httpbin",
            "subsets": [{"name": "v1", "labels": {"v": "1"}, "trafficPolicy": {"tls": {"mode": "DISABLE"}}}],
        }
        body = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "own", "namespace": crossing.server},
            "spec": spec,
        }
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.api.apply(f"{RULES}/namespaces/{crossing.server}/destinationrules/own", body)
        copied = [{"name": "v1", "labels": {"v": "1"}}]
        crossing.until("the subset", lambda: [one["spec"].get("subsets") for one in crossing.rules()] == [copied])

    def test_what_somebody_changes(self, crossing: Crossing) -> None:
        """What is deleted or changed of it comes back."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        (rule,) = crossing.rules()
        path = f"{RULES}/namespaces/{crossing.client}/destinationrules/{rule['metadata']['name']}"
        before = copy.deepcopy(rule["spec"])
        rule["spec"]["trafficPolicy"]["tls"]["subjectAltNames"] = []
        rule["spec"]["exportTo"] = ["*"]
        changed = crossing.api.put(path, rule)["spec"]
        assert changed != before
        crossing.until("the rule as it was", lambda: [one["spec"] for one in crossing.rules()] == [before])
        crossing.api.delete(path)
        crossing.until("the rule again", crossing.rules)
        crossing.api.delete(crossing.secret_path)
        crossing.until("the Secret again", crossing.secret)
        crossing.stands()

    def test_other_hosts(self, crossing: Crossing) -> None:
        """A host that is left out loses its rule, and another gets one."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        other = f"other.{crossing.server}.svc.cluster.local"
        crossing.bridge(hosts=[other])
        crossing.until("the other host alone", lambda: [one["spec"]["host"] for one in crossing.rules()] == [other])

    def test_another_ca(self, crossing: Crossing) -> None:
        """When the server's namespace gets another CA, client and roots follow, and the former root stays for a while."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        former = crossing.tenants.cas["server"].certificate
        crossing.tenants.add("server")
        now = crossing.tenants.cas["server"].certificate
        crossing.until("the new root first", lambda: crossing.roots() == [now, former])
        crossing.leaf().verify_directly_issued_by(now)


def rule_path(crossing: Crossing) -> str:
    (rule,) = crossing.rules()
    return f"{RULES}/namespaces/{crossing.client}/destinationrules/{rule['metadata']['name']}"


def delete_held(crossing: Crossing, path: str, policy: str) -> None:
    """Delete an object so that a finalizer holds it."""
    crossing.api.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy})


class TestHeld:
    @pytest.mark.parametrize("policy", ["Foreground", "Orphan"])
    def test_deleted_by_somebody(self, crossing: Crossing, policy: str) -> None:
        """What somebody deletes with a propagationPolicy, as Argo CD does, comes back, and the bridge ends by either hand."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        for path in (rule_path(crossing), crossing.secret_path):
            uid = crossing.api.get(path)["metadata"]["uid"]
            delete_held(crossing, path, policy)

            def anew(path: str = path, uid: str = uid) -> bool:
                found = (crossing.get(path) or {}).get("metadata", {"uid": uid})
                return found["uid"] != uid and "deletionTimestamp" not in found

            crossing.until("another in its place", anew)
        crossing.stands()
        crossing.end_bridge()
        assert crossing.rules() == []
        assert crossing.secret() is None

    def test_held_while_nobody_looks(self, crossing: Crossing) -> None:
        """What is held when the end comes goes as well: no path stays open, and a new bridge of the name stands."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.controllers.kill()
        try:
            delete_held(crossing, rule_path(crossing), "Foreground")
            crossing.api.patch(
                crossing.secret_path, {"metadata": {"finalizers": ["a.example/hold"]}, "immutable": True}
            )
            crossing.api.delete(crossing.bridge_path)
        finally:
            crossing.controllers.start()
        crossing.end_bridge()
        assert crossing.rules() == []
        assert crossing.secret() is None
        crossing.bridge()
        crossing.stands()

    def test_without_our_finalizer(self, crossing: Crossing) -> None:
        """What is left of a bridge whose finalizer its tenant took is taken away after a while."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.controllers.kill()
        try:
            crossing.api.patch(crossing.bridge_path, {"metadata": {"finalizers": []}})
            crossing.api.delete(crossing.bridge_path)
            assert crossing.get(crossing.bridge_path) is None
        finally:
            crossing.controllers.start()
        crossing.until("nothing left", lambda: not crossing.rules() and crossing.secret() is None, timeout=180)


class TestOthersObjects:
    @pytest.mark.parametrize("kind", ["Secret", "DestinationRule"])
    def test_in_the_way(self, crossing: Crossing, kind: str) -> None:
        """What stands under a name of ours and is not ours is told, and neither changed nor deleted."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        (rule,) = crossing.rules()
        crossing.end_bridge()
        path = crossing.secret_path
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "data": {"mine": "AAAA"}}
        if kind == "DestinationRule":
            path = f"{RULES}/namespaces/{crossing.client}/destinationrules/{rule['metadata']['name']}"
            body = {"apiVersion": "networking.istio.io/v1", "kind": kind, "spec": {"host": "mine.example.com"}}
        place = {"name": path.rpartition("/")[2], "namespace": crossing.client}
        crossing.api.apply(path, body | {"metadata": place})
        theirs = crossing.get(path)
        crossing.bridge()
        crossing.until("what is in the way", lambda: crossing.condition().get("reason") == "InTheWay")
        assert place["name"] in crossing.condition()["message"]
        crossing.end_bridge()
        assert crossing.get(path) == theirs
        crossing.api.delete(path)


class TestMadeAgain:
    def test_the_clients_namespace(self, crossing: Crossing) -> None:
        """A client's namespace that is deleted and made again, by somebody else maybe, has nothing."""
        crossing.policy(remade="Allow")
        crossing.bridge()
        crossing.stands()
        cluster = crossing.tenants.place.cluster
        cluster.kubectl("delete", "namespace", crossing.client)
        crossing.ended("NamespaceNotFound")
        cluster.create_namespace(crossing.client)
        crossing.ended("NamespaceRemade")

    def test_a_policys_namespace(self, crossing: Crossing) -> None:
        """A policy is about the namespaces that it was first seen with, unless it says otherwise."""
        crossing.remake_client()
        crossing.policy(remade="Allow")
        crossing.stands()

    def test_readmitted(self, crossing: Crossing) -> None:
        """An admin lets a policy mean the namespace of now, without making it anew: `tenants readmit` knows bridges' policies."""
        crossing.remake_client()
        assert f"tenants readmit {crossing.client}" in crossing.condition()["message"]

        def told() -> bool:
            (ready,) = (crossing.get(crossing.policy_path) or {})["status"]["conditions"]
            return bool(ready["reason"] == "NamespaceRemade")

        crossing.until("the policy's own word", told)
        command = [sys.executable, "-m", "signer", "tenants", "readmit", crossing.client, "--yes"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        config = f"--kubeconfig={crossing.tenants.place.cluster.kubeconfig()}"
        done = subprocess.run([*command, config], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"TenantBridgePolicy {crossing.server}" in done.stdout
        crossing.stands()


class TestTold:
    def test_audit(self, crossing: Crossing) -> None:
        """The audit log has each certificate: for whom, from whom, by which grant, and what became of it."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        issued = crossing.controllers.audited(2, namespace=crossing.server, resource="TenantBridge")
        assert [one["audit"] for one in issued] == ["intent", "outcome"]
        assert issued[-1]["outcome"] == "stored"
        assert issued[-1]["identity"] == f"spiffe://cluster.local/ns/{crossing.client}/sa/{GATEWAY}"
        assert issued[-1]["source"] == (
            f"TenantBridge {crossing.server}/ingress, within TenantBridgePolicy {crossing.server}"
        )
        assert int(issued[-1]["serial"], 16) == crossing.leaf().serial_number

    def test_metrics_and_events(self, crossing: Crossing) -> None:
        """Metrics count what stands and why the others do not; an Event tells the server's tenant."""
        crossing.bridge()
        crossing.ended("NotAllowed")
        crossing.controllers.wait_for_metric("mesh_signer_tenant_bridges", 1, state="NotAllowed")
        crossing.policy()
        crossing.stands()
        crossing.controllers.wait_for_metric("mesh_signer_tenant_bridges", 1, state="Stands")
        crossing.tenants.place.event("ingress", "NotAllowed", kind="TenantBridge", namespace=crossing.server)
        crossing.tenants.place.event("ingress", "Built", kind="TenantBridge", namespace=crossing.server)

    def test_policies(self, crossing: Crossing) -> None:
        """A policy says how many bridges stand within it."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()

        def counted() -> bool:
            found = (crossing.get(crossing.policy_path) or {}).get("status", {})
            return bool(found.get("bridges") == 1 and found["conditions"][0]["status"] == "True")

        crossing.until("the count", counted)

    def test_a_write_that_is_refused(self, crossing: Crossing) -> None:
        """A bridge that the API server does not let the controllers end says so itself, and ends once it does."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/mesh-signer-bridges"
        role = crossing.api.get(path)
        rules = copy.deepcopy(role["rules"])
        for rule in role["rules"]:
            if "destinationrules" in rule["resources"]:
                rule["verbs"].remove("delete")
        role = crossing.api.put(path, role)
        try:
            crossing.end_policy()
            crossing.until("the refusal", lambda: crossing.condition().get("reason") == "WriteFailed")
            told = crossing.condition()
            assert told["status"] == "False"
            assert "cannot delete resource" in told["message"]
            assert "mesh-signer doctor" in told["message"]
            crossing.tenants.place.event("ingress", "WriteFailed", kind="TenantBridge", namespace=crossing.server)
            assert crossing.rules()
        finally:
            crossing.api.put(path, {**crossing.api.get(path), "rules": rules})
        crossing.ended("NotAllowed")


class TestExplained:
    def test_what_becomes_of_it(self, crossing: Crossing) -> None:
        """`explain tenantbridge` says before any controller does what it then does, by whom, and why not."""
        crossing.bridge()
        crossing.ended("NotAllowed")
        status, found = explained(crossing)
        assert (status, found["verdict"]) == (1, "refuse")
        assert found["reasons"] == [{"code": "NotAllowed", "message": crossing.condition()["message"]}]
        crossing.policy()
        crossing.stands()
        status, found = explained(crossing)
        assert (found["verdict"], found["reasons"]) == ("issue", [])
        assert found["source"] == f"TenantBridge {crossing.server}/ingress, within TenantBridgePolicy {crossing.server}"
        known = {one["about"]: one["is"] for one in found["known"]}
        assert known["identity"] == f"spiffe://cluster.local/ns/{crossing.client}/sa/{GATEWAY}"
        assert known["CA"] == f"ClusterIssuer {crossing.server}"
        crossing.until("what would make it fail", lambda: explained(crossing)[1]["obstacles"])
        assert explained(crossing)[0] == 1


def explained(crossing: Crossing) -> tuple[int, Any]:
    """The exit status of the command and its answer."""
    command = [sys.executable, "-m", "signer", "explain", "tenantbridge", "ingress", "-n", crossing.server]
    config = f"--kubeconfig={crossing.tenants.place.cluster.kubeconfig()}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, config, "-o", "json"], env=env, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


class TestKilled:
    def test_ended_meanwhile(self, crossing: Crossing) -> None:
        """What ends while no controller runs is taken away by the next one; what stands goes on by the same certificate."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        serial = crossing.leaf().serial_number
        crossing.controllers.kill()
        crossing.controllers.start()
        # The status says so from before: what counts is that the new process has looked.
        crossing.controllers.wait_for_metric("mesh_signer_tenant_bridges", 1, state="Stands")
        crossing.stands()
        assert crossing.leaf().serial_number == serial
        crossing.controllers.kill()
        crossing.end_policy()
        assert crossing.secret() is not None
        crossing.controllers.start()
        crossing.ended("NotAllowed")


def names(crossing: Crossing) -> list[str]:
    """The servers that are accepted."""
    (rule,) = crossing.rules()
    found: list[str] = rule["spec"]["trafficPolicy"]["tls"]["subjectAltNames"]
    return found


def lifetime(leaf: x509.Certificate) -> timedelta:
    return leaf.not_valid_after_utc - leaf.not_valid_before_utc


class TestConditions:
    def test_working_and_contained(self, crossing: Crossing) -> None:
        """What would make it fail is told, each in turn as it is mended, and what lets it leak; then that nothing was found."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        crossing.until(
            "a server that is not strict", lambda: crossing.condition("Working").get("reason") == "ServerNotStrict"
        )
        for told in (
            "mtls.mode STRICT",
            "there is no Service",
            "there is no service account",
            "no Pod of namespace",
            "may not list Secrets",
        ):
            assert told in crossing.condition("Working")["message"]
        server, client = crossing.server, crossing.client
        crossing.api.apply(
            f"/apis/security.istio.io/v1/namespaces/{server}/peerauthentications/default",
            {
                "apiVersion": "security.istio.io/v1",
                "kind": "PeerAuthentication",
                "metadata": {"name": "default", "namespace": server},
                "spec": {"mtls": {"mode": "STRICT"}},
            },
        )
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "httpbin", "namespace": server},
            "spec": {"ports": [{"name": "http", "port": 8000}, {"name": "tcp", "port": 9000}]},
        }
        crossing.api.apply(f"/api/v1/namespaces/{server}/services/httpbin", service)
        cluster = crossing.tenants.place.cluster
        who = f"--serviceaccount={client}:{GATEWAY}"
        cluster.kubectl("create", "role", "secrets", "-n", client, "--verb=get,list,watch", "--resource=secrets")
        cluster.kubectl("create", "rolebinding", "secrets", "-n", client, "--role=secrets", who)
        crossing.client_pod()
        crossing.bridge(lifetime="2h")
        crossing.until("nothing that speaks against it", lambda: crossing.condition("Working").get("status") == "True")
        assert crossing.condition("Contained")["reason"] == "OpenConnections"
        crossing.end_policy()
        crossing.ended("NotAllowed")
        assert crossing.condition("Working") == {}
