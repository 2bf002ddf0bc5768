"""The chart on a real API server, by the real Helm: install, test, upgrade, rollback, uninstall, and what is refused."""

import base64
import contextlib
import json
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import certmanager_crds
from tests.integration.charts.helm import CHART, Failed, helm
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.install import ISTIO, wait_established
from tests.localmesh.install import install as by_kustomize
from tests.localmesh.signer import SIGNER_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

ISSUER = "{apiVersion: cert-manager.io/v1, kind: Issuer, metadata: {name: kept}, spec: {selfSigned: {}}}"


@pytest.fixture
def fresh(private_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A cluster with nothing in it."""
    return private_cluster()


def run(cluster: Cluster, *args: str | Path, values: Any = None) -> str:
    return helm(*args, values=values, kubeconfig=cluster.kubeconfig())


def install(cluster: Cluster, name: str, namespace: str, *args: str, chart: Path = CHART, values: Any = None) -> str:
    place = ("--namespace", namespace, "--create-namespace")
    return run(cluster, "upgrade", "--install", name, chart, *place, *args, values=values)


def names(cluster: Cluster, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.get(kind)["items"]}


def args(cluster: Cluster, namespace: str, name: str = "mesh-signer") -> list[str]:
    (container,) = cluster.get("deployment", name, "-n", namespace)["spec"]["template"]["spec"]["containers"]
    return list(container["args"])


def older(folder: Path) -> Path:
    """The chart as an older version of it may have been: one field of a CRD and one object were not there yet."""
    chart = folder / "older"
    shutil.copytree(CHART, chart)
    templates = chart / "templates" / "manifests"
    crd = templates / "crds" / "customresourcedefinition-signerpolicies.mesh-signer.dev.yaml"
    text, count = re.subn(r"^ +- jsonPath: .*\n +name: Ready\n +type: \w+\n", "", crd.read_text(), flags=re.MULTILINE)
    assert count == 1, "a printer column that the test can take away"
    crd.write_text(text)
    (templates / "base" / "clusterrole-mesh-signer-tenancy-view.yaml").unlink()
    meta = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(meta | {"version": "0.0.1"}))
    return chart


def columns(cluster: Cluster) -> list[str]:
    crd = cluster.get("crd", "signerpolicies.mesh-signer.dev")
    return [one["name"] for one in crd["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_life_of_a_release(fresh: LocalCluster, tmp_path: Path) -> None:
    """Upgrades bring CRDs along, a rollback brings back what was, and an uninstall takes no object of anybody's with it."""
    said = install(fresh, "signing", "pki", chart=older(tmp_path))
    assert "in the namespace pki" in said
    assert "kubectl -n pki rollout status deployment/mesh-signer" in said
    wait_established(fresh)
    assert {"mesh-signer", "mesh-signer-controllers"} == {
        one["metadata"]["name"] for one in fresh.get("deployments", "-n", "pki")["items"]
    }
    fresh.apply(ISSUER)
    fresh.kubectl("create", "secret", "generic", "a-ca", "-n", "pki", "--from-literal=tls.key=x")
    assert "Ready" not in columns(fresh)

    install(fresh, "signing", "pki", values={"settings": {"grace": "1h"}, "signer": {"replicas": 3}})
    assert "Ready" in columns(fresh)
    assert "mesh-signer-tenancy-view" in names(fresh, "clusterroles")
    assert "--grace=1h" in args(fresh, "pki")
    assert fresh.get("deployment", "mesh-signer", "-n", "pki")["spec"]["replicas"] == 3

    run(fresh, "rollback", "signing", "1", "--namespace", "pki")
    assert "Ready" not in columns(fresh)
    assert "mesh-signer-tenancy-view" not in names(fresh, "clusterroles")
    assert "--grace=1h" not in args(fresh, "pki")
    assert fresh.get("issuer", "kept")["spec"] == {"selfSigned": {}}

    run(fresh, "uninstall", "signing", "--namespace", "pki")
    assert fresh.get("issuer", "kept")["spec"] == {"selfSigned": {}}
    assert fresh.get("secret", "a-ca", "-n", "pki")["data"] == {"tls.key": "eA=="}
    assert {"pki", "istio-system"} <= names(fresh, "namespaces")
    assert "signerbindings.mesh-signer.dev" in names(fresh, "crds")
    for kind in (
        "clusterroles",
        "clusterrolebindings",
        "validatingadmissionpolicies",
        "flowschemas",
        "priorityclasses",
    ):
        assert not {name for name in names(fresh, kind) if "mesh-signer" in name}, kind
    assert fresh.get("deployments", "-n", "pki")["items"] == []

    # What stayed is found again, by the same name and namespace, or taken over by others.
    install(fresh, "signing", "pki")
    run(fresh, "uninstall", "signing", "--namespace", "pki")
    with pytest.raises(Failed, match="invalid ownership metadata"):
        install(fresh, "other", "elsewhere")
    install(fresh, "other", "elsewhere", "--take-ownership")
    assert "Ready" in columns(fresh)


def end_crds(cluster: LocalCluster) -> None:
    """Delete all CRDs. Most are gone within seconds.

    Where the API server failed to clean up after one, it tries again after minutes, or as soon as the CRD is written to.
    """
    cluster.kubectl("delete", "crd", "--all", "--wait=false")
    for attempt in range(30):
        try:
            cluster.wait_for(lambda: not names(cluster, "crd"), "the end of the CRDs", 10)
        except LocalMeshError:
            with contextlib.suppress(LocalMeshError):  # one of them has just gone
                cluster.kubectl("annotate", "crd", "--all", "--overwrite", f"tests/attempt={attempt}")
        else:
            return
    assert names(cluster, "crd") == set()


def test_twice_is_refused(fresh: LocalCluster) -> None:
    """A second mesh-signer in a cluster is refused with the place of the first, by whichever way that one came."""
    install(fresh, "first", "pki")
    for flags in ((), ("--take-ownership",)):
        with pytest.raises(Failed, match=r"already, in the namespace pki, as the release first\."):
            install(fresh, "second", "elsewhere", *flags)
    assert "elsewhere" not in names(fresh, "clusterrolebindings")
    run(fresh, "uninstall", "first", "--namespace", "pki")

    end_crds(fresh)
    by_kustomize(fresh, ISTIO)
    with pytest.raises(Failed, match=r"already, in the namespace cert-manager\."):
        install(fresh, "second", "elsewhere", "--take-ownership")
    # In the same namespace the release takes over what kustomize installed, where it is told to.
    with pytest.raises(Failed, match="invalid ownership metadata"):
        install(fresh, "moved", "cert-manager")
    install(fresh, "moved", "cert-manager", "--take-ownership")
    run(fresh, "uninstall", "moved", "--namespace", "cert-manager")
    assert {"cert-manager", "istio-system"} <= names(fresh, "namespaces")


def test_beside_a_real_cert_manager(fresh: LocalCluster) -> None:
    """cert-manager's CRDs are never written over: the chart says which value to set, and with it leaves them alone."""
    fresh.create_namespace("cert-manager")
    fresh.create_namespace("istio-system")
    fresh.apply(yaml.safe_dump_all(certmanager_crds.definitions().values()))
    before = fresh.get("crd", "certificates.cert-manager.io")["spec"]
    for flags in ((), ("--take-ownership",)):
        with pytest.raises(Failed, match="besideCertManager=true"):
            install(fresh, "mesh-signer", "cert-manager", *flags)
    install(fresh, "mesh-signer", "cert-manager", values={"besideCertManager": True})
    assert fresh.get("crd", "certificates.cert-manager.io")["spec"] == before
    assert "--controllers=csr,policies" in args(fresh, "cert-manager")
    run(fresh, "uninstall", "mesh-signer", "--namespace", "cert-manager")
    assert fresh.get("crd", "certificates.cert-manager.io")["spec"] == before
    # The namespace was there before, and is nobody's of ours.
    assert "istio-system" in names(fresh, "namespaces")


def test_deleting_by_kustomize(fresh: LocalCluster) -> None:
    """`kubectl delete -k` of what runs leaves both namespaces, with the CAs and with Istio."""
    by_kustomize(fresh, ISTIO)
    fresh.kubectl("create", "secret", "generic", "a-ca", "-n", "cert-manager", "--from-literal=tls.key=x")
    fresh.kubectl("create", "configmap", "istio", "-n", "istio-system")
    fresh.kubectl("delete", "-k", ISTIO)
    for name in ("cert-manager", "istio-system"):
        assert fresh.get("namespace", name)["status"]["phase"] == "Active"
    assert fresh.get("secret", "a-ca", "-n", "cert-manager")["data"] == {"tls.key": "eA=="}
    assert fresh.get("configmap", "istio", "-n", "istio-system")
    assert not {name for name in names(fresh, "clusterroles") if "mesh-signer" in name}


class Kubelet(threading.Thread):
    """Runs one Pod's container as a process here, its Services' names led to `ports`, and writes what became of it."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str, ports: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self._cluster, self._namespace, self._pod, self._ports = cluster, namespace, pod, ports
        self.said = ""

    def run(self) -> None:
        def there() -> Any:
            try:
                return self._cluster.get("pod", self._pod, "-n", self._namespace)
            except LocalMeshError:
                return None

        pod = self._cluster.wait_for(there, "the Pod of helm test", timeout=60)
        (container,) = pod["spec"]["containers"]
        program, *given = container["command"]
        assert program == "python"
        for name, port in self._ports.items():
            given = [
                one.replace(f"http://{name}.{self._namespace}.svc:9402", f"http://127.0.0.1:{port}") for one in given
            ]
        # Its two minutes of patience are no promise that a test has to wait for.
        given = [one.replace("time.monotonic() + 120", "time.monotonic() + 3") for one in given]
        done = subprocess.run([sys.executable, *given], capture_output=True, text=True, check=False)
        self.said = done.stdout + done.stderr
        status = {"status": {"phase": "Succeeded" if done.returncode == 0 else "Failed"}}
        patch = ("patch", "pod", self._pod, "-n", self._namespace, "--subresource=status", "--type=merge")
        self._cluster.kubectl(*patch, "-p", json.dumps(status))


def test_helm_test(fresh: LocalCluster) -> None:
    """`helm test` is good when the Pods behind both Services are ready, and says what they lack when they are not."""
    install(fresh, "mesh-signer", "cert-manager", values={"besideCertManager": False})
    wait_established(fresh)
    with SignerProcess(fresh, "--controllers=csr", account=SIGNER_ACCOUNT) as signer:
        port = signer.port
        for ports, good in (
            ({"mesh-signer": port, "mesh-signer-controllers": port}, True),
            ({"mesh-signer": port}, False),
        ):
            kubelet = Kubelet(fresh, "cert-manager", "mesh-signer-test-ready", ports)
            kubelet.start()
            try:
                said = run(fresh, "test", "mesh-signer", "--namespace", "cert-manager", "--timeout", "90s")
            except Failed as error:
                said = str(error)
            kubelet.join()
            assert ("Phase:          Succeeded" in said) == good, said
            assert "mesh-signer.cert-manager" not in kubelet.said
            assert kubelet.said.count(": ready\n") == (2 if good else 1)
            assert ("not ready" in kubelet.said) != good


def test_release_fits_into_a_secret(fresh: LocalCluster) -> None:
    """Helm keeps a release in a Secret, and those end at a megabyte: half of it is left."""
    name = f"r-{secrets.token_hex(3)}"
    install(fresh, name, "pki")
    secret = fresh.get("secret", f"sh.helm.release.v1.{name}.v1", "-n", "pki")
    assert len(base64.b64decode(secret["data"]["release"])) < 512 * 1024
