"""CertificateRequests on the real API server: what nobody may change, and who may approve."""

import json
import time
from typing import Any

import pytest
import yaml

from tests.integration.crds.objects import FOLDER, create, request, set_status
from tests.localmesh import Cluster, LocalMeshError

pytestmark = pytest.mark.integration
COMPONENT = FOLDER.parent / "components" / "requester"


class TestCertificateRequests:
    def test_spec_cannot_be_changed(self, served: Cluster, namespace: str) -> None:
        """A CertificateRequest is what its maker asked for, for ever."""
        create(served, request("r"), "-n", namespace)
        patch = '{"spec":{"isCA":true}}'
        with pytest.raises(LocalMeshError, match="spec cannot be changed"):
            served.kubectl("patch", "cr", "r", "-n", namespace, "--type=merge", "-p", patch)

    def test_annotations_cannot_be_changed(self, served: Cluster, namespace: str) -> None:
        """cert-manager's annotations stay as they were made; all others are free."""
        made = request("r")
        made["metadata"]["annotations"] = {"cert-manager.io/certificate-name": "web"}
        create(served, made, "-n", namespace)
        served.kubectl("annotate", "cr", "r", "-n", namespace, "example.com/note=1")
        for change in ("cert-manager.io/certificate-name-", "cert-manager.io/x=1", "acme.cert-manager.io/x=1"):
            with pytest.raises(LocalMeshError, match="cannot be changed once the request is made"):
                served.kubectl("annotate", "cr", "r", "-n", namespace, "--overwrite", change)

    @pytest.mark.parametrize("decision", ["Approved", "Denied"])
    def test_decisions_stay(self, served: Cluster, namespace: str, decision: str) -> None:
        """Approved and Denied can be set once, to True, one of them, and never be taken back or changed."""
        made = create(served, request("r"), "-n", namespace)
        yes = {"type": decision, "status": "True", "reason": "R", "message": "m"}
        other = {"type": "Denied" if decision == "Approved" else "Approved", "status": "True"}
        with pytest.raises(LocalMeshError, match="can only be True"):
            set_status(served, made | {"status": {"conditions": [yes | {"status": "False"}]}})
        with pytest.raises(LocalMeshError, match="cannot both be set"):
            set_status(served, made | {"status": {"conditions": [yes, other]}})
        made = set_status(served, made | {"status": {"conditions": [yes]}})
        ready = {"type": "Ready", "status": "False", "reason": "Pending"}
        made = set_status(served, made | {"status": {"conditions": [yes, ready]}})
        for conditions, message in (
            ([ready], f"{decision} cannot be taken back"),
            ([yes | {"message": "other"}], "cannot be changed once set"),
            ([yes, other], "cannot both be set"),
        ):
            with pytest.raises(LocalMeshError, match=message):
                set_status(served, made | {"status": {"conditions": conditions}})
        with pytest.raises(LocalMeshError, match=f"{decision} cannot be taken back"):
            set_status(served, made | {"status": {}})

    def test_approval_needs_the_right_to_approve(self, served: Cluster, namespace: str) -> None:
        """The right to write status does not approve; the verb approve on the issuer's signer name does."""
        who = f"approver-{namespace}"
        served.kubectl(
            *("create", "role", "writer", "-n", namespace, "--verb=get,update"),
            "--resource=certificaterequests.cert-manager.io/status,certificaterequests.cert-manager.io",
        )
        served.kubectl("create", "rolebinding", "writer", "-n", namespace, "--role=writer", f"--user={who}")
        cases = {
            "mine": request("mine", issuerRef={"name": "mine"}),
            "theirs": request("theirs", issuerRef={"name": "theirs"}),
            "cluster": request("cluster", issuerRef={"name": "mine", "kind": "ClusterIssuer"}),
            "other": request("other", issuerRef={"name": "mine", "kind": "MyIssuer", "group": "example.com"}),
        }
        made = {name: create(served, wanted, "-n", namespace) for name, wanted in cases.items()}
        conditions = {"conditions": [{"type": "Approved", "status": "True"}]}

        def approve(name: str) -> None:
            set_status(served, made[name] | {"status": conditions}, f"--as={who}")

        pending = {"conditions": [{"type": "Ready", "status": "False"}]}
        made["mine"] = set_status(served, made["mine"] | {"status": pending}, f"--as={who}")
        for name in cases:
            with pytest.raises(LocalMeshError, match=r"needs the verb approve on signers\.cert-manager\.io"):
                approve(name)
        try:
            served.apply(
                f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {who}}}
rules:
- apiGroups: [cert-manager.io]
  resources: [signers]
  verbs: [approve]
  resourceNames: [issuers.cert-manager.io/{namespace}.mine, myissuers.example.com/*]
"""
            )
            served.kubectl("create", "clusterrolebinding", who, f"--clusterrole={who}", f"--user={who}")
            time.sleep(0.5)  # the authorizer's cache
            for name in ("theirs", "cluster"):
                with pytest.raises(LocalMeshError, match="needs the verb approve"):
                    approve(name)
            approve("mine")
            approve("other")
        finally:
            served.kubectl("delete", "clusterrole,clusterrolebinding", who, "--ignore-not-found")

    def test_requester_is_written_by_the_component(self, served: Cluster, namespace: str) -> None:
        """With the component `requester` the API server itself says who asked, whatever the request claims."""
        policy, binding = yaml.safe_load_all((COMPONENT / "requester.yaml").read_text("utf-8"))
        # For this namespace only: the cluster is shared.
        chosen = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        binding["spec"]["matchResources"] = {"namespaceSelector": chosen}
        who = json.loads(served.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
        forged = request("r", username="system:admin", groups=["system:nobody"], extra={"scopes": ["all"]})

        def accepted() -> dict[str, Any] | None:
            try:
                made = create(served, forged, "-n", namespace, "--dry-run=server")
            except LocalMeshError:  # the policy takes effect a moment after it is stored
                return None
            found: dict[str, Any] = made["spec"]
            return found

        try:
            served.apply("---\n".join(map(yaml.safe_dump, (policy, binding))))
            spec = served.wait_for(accepted, "the admission policy of the component requester")
        finally:
            served.kubectl("delete", "-f", COMPONENT / "requester.yaml")
        assert spec["username"] == who["username"]
        assert spec["groups"] == who["groups"]
        assert spec["uid"] == who.get("uid", "")
        assert spec.get("extra", {}).keys() == who.get("extra", {}).keys()
        assert spec["issuerRef"] == forged["spec"]["issuerRef"]
