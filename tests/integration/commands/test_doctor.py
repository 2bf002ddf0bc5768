"""mesh-signer doctor on a real API server, as an operator who is not a cluster-admin runs it."""

import json
import subprocess
from collections.abc import Callable

import pytest
import yaml

from signer.cli import main
from tests import pki
from tests.integration.commands.operating import SIGNER, Result, Run, World
from tests.integration.hot_path import Place, signer_name
from tests.localmesh import Cluster, LocalCluster, istio_install
from tests.localmesh.build import find_program
from tests.localmesh.install import ISTIO, MANIFESTS, install, install_crds

pytestmark = pytest.mark.integration


class TestDoctor:
    """mesh-signer doctor."""

    @staticmethod
    def findings(found: Result) -> dict[tuple[str, str], str]:
        return {(one["check"], one["where"]): one["what"] for one in found.json["findings"]}

    def test_a_mesh_with_faults(self, run: Run, world: World, mesh: Cluster) -> None:
        """Faults of every kind are found in one run, each with its place; nothing of a healthy part is told."""
        foo, bar = world.tenant("foo"), world.tenant("bar", signer=world.name("gone"))
        world.signer("foo", pki.CA("foo"))
        world.mesh_config(
            f"caCertificates:\n- pem: {json.dumps(pki.CA('other').pem.decode())}\n  certSigners: [{signer_name(foo)}]\n"
        )
        env = [
            {"name": "CERT_SIGNER_DOMAIN", "value": "example.com"},
            {"name": "ISTIO_MULTIROOT_MESH", "value": "true"},
        ]
        world.deployment("istiod", world.istio, env=env)
        gates = "--feature-gates=ExperimentalCertificateSigningRequestControllers=true"
        world.deployment("cert-manager", foo, args=[gates])
        world.pod("thief", bar, {SIGNER: foo})
        mesh.apply(
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, "
            f"metadata: {{name: everybody, namespace: {world.istio}}}, "
            "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, "
            "subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:authenticated'}]}"
        )
        found = run("doctor", "-o", "json")
        assert found.status == 1
        told = self.findings(found)
        istiod = f"Deployment {world.istio}/istiod"
        whats = [one["what"] for one in found.json["findings"] if one["where"] == istiod]
        assert any("EXTERNAL_CA" in what for what in whats)
        assert any("CERT_SIGNER_DOMAIN is 'example.com'" in what for what in whats)
        assert any("ISTIO_MULTIROOT_MESH is on" in what for what in whats)
        assert "another CA's" in told["roots", "meshConfig.caCertificates"]
        assert "does not exist" in told["claims", f"ProxyConfig {bar}/pc"]
        # What the signer says of it first: nobody has foo's certificates while its root is another CA's.
        assert "may not have it: RootMismatch" in told["workloads", f"namespace {bar}: thief"]
        assert ("cert-manager", f"Deployment {foo}/cert-manager") in told
        rights = [one for one in found.json["findings"] if one["check"] == "rights"]
        (open_,) = [one for one in rights if "write Istio's mesh config" in one["what"]]
        assert open_["severity"] == "error"
        assert "Group system:authenticated (by admin)" in open_["what"]
        assert any("may not approve requests" in one["what"] for one in rights)
        assert not any(f"{world.name('foo')} is not ready" in what for what in told.values())
        text = run("doctor").out
        assert text.splitlines()[0].startswith("ERROR ")
        assert " errors, " in text.splitlines()[-1]

    def test_rights_of_the_signer(self, run: Run, mesh: Cluster) -> None:
        """The rights in manifests/base suffice for all that the doctor asks about; one that is gone is found."""

        def missing() -> list[str]:
            found = run("doctor", "-o", "json").json["findings"]
            return [one["what"] for one in found if "serviceaccount:cert-manager:mesh-signer may not" in one["what"]]

        # The role for the mesh config is bound in istio-system, and this test's Istio is elsewhere.
        assert [what for what in missing() if "configmaps" not in what] == []
        mesh.kubectl("delete", "clusterrolebinding", "mesh-signer")
        try:
            found = missing()
            assert any("update certificatesigningrequests.certificates.k8s.io/status" in what for what in found)
            assert any("create signerbindings.mesh-signer.dev" in what for what in found)
        finally:
            install(mesh, crds=None)

    def test_no_rights(self, run: Run) -> None:
        """Somebody without rights is told of each source that could not be checked, and gets no clean bill."""
        found = run("doctor", "-o", "json", user="nobody", groups=())
        unknown = [one["what"] for one in found.json["findings"] if one["severity"] == "unknown"]
        for source in ("proxyconfigs", "configmaps", "pods", "deployments", "customresourcedefinitions", "our rights"):
            assert any(source in what for what in unknown), source
        assert found.status == 2

    def test_a_healthy_mesh(
        self, private_cluster: Callable[[], LocalCluster], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Of the Istio task as istioctl installs it, with our overlay, it tells what is true of it and nothing else."""
        cluster = private_cluster()
        install_crds(cluster)
        place = Place.of(cluster)
        cluster.create_namespace("cert-manager")
        cas = {name: pki.CA(name) for name in ("istio-system", "foo", "bar")}
        for name, ca in cas.items():
            place.ca_issuer(name, ca)
        place.api.close()
        document = yaml.safe_load((MANIFESTS / "examples" / "istio-task" / "istio.yaml").read_text())
        given = {signer_name(name): ca.pem.decode() for name, ca in cas.items()}
        istio_install.apply(cluster, istio_install.render(istio_install.operator(document, given)))
        rendered = subprocess.run(
            [find_program("istioctl"), "manifest", "generate", "-f", "-"],
            input=yaml.safe_dump(document), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for one in yaml.load_all(rendered, Loader=yaml.CSafeLoader):
            if one and one["kind"] == "Deployment":
                cluster.apply(json.dumps(one))
        install(cluster, ISTIO, crds=None)
        for name in ("mesh-signer", "mesh-signer-controllers"):
            ready = '{"status":{"availableReplicas":1,"readyReplicas":1,"replicas":1}}'
            cluster.kubectl(
                "patch", "deployment", name, "-n", "cert-manager", "--subresource=status", "--type=merge", "-p", ready
            )
        cluster.kubectl("create", "namespace", "foo")
        status = main(["doctor", f"--kubeconfig={cluster.kubeconfig()}", "-o", "json"])
        found = json.loads(capsys.readouterr().out)["findings"]
        assert [one["what"] for one in found if one["severity"] != "note"] == []
        # values.global.certSigners is not set in the task, so the chart's rule names no signer, which means all.
        assert {"IstioReadsCAs", "IstiodApprovesAll"} <= {one["code"] for one in found}
        assert status == 0
