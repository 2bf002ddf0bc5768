"""From cert-manager to mesh-signer and back, by the steps of docs/setups/cert-manager.md, with cert-manager's own controllers.

What is its own: its chart, its rights, its controllers of 1.20.3 (tests/localmesh/certmanager.py). What is not there: its webhook and ACME.
The program is built when this test first runs, which takes a few minutes.
"""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from signer.api.admissionpolicy import VALIDATING_BINDINGS, VALIDATING_POLICIES
from signer.cli import main
from tests.integration.charts.helm import helm
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.build import build
from tests.localmesh.certmanager import PROGRAM, CertManager, chart, forget_webhook
from tests.localmesh.install import CRDS, ISTIO, install, wait_established
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "setups" / "cert-manager.md"
SPACE, WEB = "shop", ("certificate", "web", "-n", "shop")
CONTROLLERS = "--controllers=issuers,certificates,certificaterequests"

ISSUERS = """
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: foo-selfsigned}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: foo-ca, namespace: cert-manager}
spec: {isCA: true, commonName: foo, secretName: foo-ca, issuerRef: {name: foo-selfsigned, kind: ClusterIssuer}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: foo}
spec: {ca: {secretName: foo-ca}}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: shop}
stringData: {password: changeit}
"""
REF = {"name": "foo", "kind": "ClusterIssuer"}
SPECS: dict[str, dict[str, Any]] = {
    "web": {
        "dnsNames": ["web.internal"],
        "secretTemplate": {"labels": {"keep": "x", "leaves": "x"}, "annotations": {"example.com/leaves": "y"}},
    },
    "p256": {"commonName": "p256", "uris": ["spiffe://example/a"], "privateKey": {"algorithm": "ECDSA"}},
    "stores": {
        "dnsNames": ["stores.internal"],
        "keystores": {"pkcs12": {"create": True, "passwordSecretRef": {"name": "password", "key": "password"}}},
        "additionalOutputFormats": [{"type": "CombinedPEM"}, {"type": "DER"}],
    },
    "pinned": {
        "dnsNames": ["pinned.internal"],
        "duration": "2160h",
        "renewBefore": "360h",
        "privateKey": {"rotationPolicy": "Never", "encoding": "PKCS8", "algorithm": "RSA", "size": 2048},
        "usages": ["server auth", "client auth", "digital signature"],
    },
}


def certificates() -> str:
    """The Certificates of the shop, one document each."""
    return yaml.safe_dump_all(
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": name, "namespace": SPACE},
            "spec": {"secretName": name, "issuerRef": REF} | spec,
        }
        for name, spec in SPECS.items()
    )


def ready(cluster: LocalCluster) -> bool:
    """Every Certificate says Ready of its present spec, and none is being issued."""
    found = cluster.get("certificates", "-A")["items"]
    conditions = [{one["type"]: one for one in each.get("status", {}).get("conditions", [])} for each in found]
    return len(found) == len(SPECS) + 1 and all(
        one.get("Ready", {}).get("status") == "True"
        and one["Ready"]["observedGeneration"] == each["metadata"]["generation"]
        and one.get("Issuing", {}).get("status") != "True"
        for one, each in zip(conditions, found, strict=True)
    )


def issued(cluster: LocalCluster) -> dict[str, Any]:
    """All that an issuance would change: keys and certificates, revisions, and which CertificateRequests there are."""
    certificates = cluster.get("certificates", "-A")["items"]
    found = {one["metadata"]["name"]: one["status"]["revision"] for one in certificates}
    for one in certificates:
        meta = one["metadata"]
        data = cluster.get("secret", one["spec"]["secretName"], "-n", meta["namespace"])["data"]
        # Key stores are written anew once, with the same key and certificate: cert-manager leaves no note of what is in its own.
        found[f"Secret {meta['name']}"] = {key: value for key, value in data.items() if not key.endswith(".p12")}
    found["requests"] = sorted(one["metadata"]["uid"] for one in cluster.get("certificaterequests", "-A")["items"])
    return found


def metadata(cluster: LocalCluster) -> dict[str, Any]:
    """Labels and annotations of the Secret of web."""
    meta: dict[str, Any] = cluster.get("secret", "web", "-n", SPACE)["metadata"]
    return {**meta.get("labels", {}), **meta.get("annotations", {})}


def below(chain: bytes, ca: bytes) -> bool:
    """Whether the CA signed the first certificate of a chain, both PEM."""
    leaf, issuer = x509.load_pem_x509_certificate(chain), x509.load_pem_x509_certificate(ca)
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def template(cluster: LocalCluster, **template: Any) -> None:
    """Change the secretTemplate of web: for this nothing is issued."""
    cluster.kubectl("patch", *WEB, "--type=merge", "-p", json.dumps({"spec": {"secretTemplate": template}}))


def renew(cluster: LocalCluster) -> None:
    """Have web issued again, as `cmctl renew` does, and wait until it is."""
    before = cluster.get("secret", "web", "-n", SPACE)["data"]["tls.crt"]
    assert main(["renew", "web", "-n", SPACE, f"--kubeconfig={cluster.kubeconfig()}"]) == 0
    cluster.wait_for(lambda: cluster.get("secret", "web", "-n", SPACE)["data"]["tls.crt"] != before, "another", 60)
    cluster.wait_for(lambda: ready(cluster), "web Ready again", 60)


def install_cert_manager(cluster: LocalCluster, folder: Path, *flags: str) -> None:
    """Its chart, with its definitions."""
    values: dict[str, Any] = {"crds": {"enabled": True}, "startupapicheck": {"enabled": False}}
    values |= {"featureGates": "ExperimentalCertificateSigningRequestControllers=true"}
    place = ("--namespace", "cert-manager", "--create-namespace")
    helm("install", "cert-manager", folder, *place, *flags, values=values, kubeconfig=cluster.kubeconfig())
    forget_webhook(cluster)
    wait_established(cluster)


def leavers() -> list[dict[str, Any]]:
    """The role that the page gives whoever leaves, and its binding to Lena."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    role = yaml.safe_load(text)
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": role["kind"], "name": role["metadata"]["name"]}
    subjects = [{"apiGroup": group, "kind": "User", "name": "lena"}]
    binding = {"apiVersion": role["apiVersion"], "kind": "ClusterRoleBinding", "metadata": role["metadata"]}
    return [role, binding | {"roleRef": reference, "subjects": subjects}]


def policies(cluster: LocalCluster) -> set[str]:
    """The admission policies and bindings that are ours by their names."""
    kinds = (VALIDATING_POLICIES, VALIDATING_BINDINGS)
    found = [one["metadata"]["name"] for kind in kinds for one in cluster.get(kind.plural)["items"]]
    return {name for name in found if name.endswith(".mesh-signer.dev")}


@pytest.fixture
def cluster(
    private_cluster: Callable[..., LocalCluster], request: pytest.FixtureRequest, tmp_path: Path
) -> LocalCluster:
    """A cluster that cert-manager has worked in: every Certificate is issued by it."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # building it must be seen
        build(PROGRAM)
    cluster = private_cluster()
    install_cert_manager(cluster, chart(tmp_path))
    cluster.create_namespace("istio-system")
    cluster.create_namespace(SPACE)
    cluster.apply(ISSUERS)
    cluster.apply(certificates())
    return cluster


def test_there_and_back(cluster: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is issued anew in either direction; each takes the other's fields over; after `leave` cert-manager signs again."""
    place = Place.of(cluster)
    with CertManager(cluster, csr=True):
        cluster.wait_for(lambda: ready(cluster), "what cert-manager issues", 120)
        ca = base64.b64decode(cluster.get("secret", "foo-ca", "-n", "cert-manager")["data"]["tls.crt"])
        assert below(place.issue("foo").pem, ca)
    before = issued(cluster)

    # There.
    helm("uninstall", "cert-manager", "--namespace", "cert-manager", kubeconfig=cluster.kubeconfig())
    cluster.kubectl("apply", "-k", CRDS, "--server-side", "--force-conflicts")
    install(cluster, ISTIO, crds=None)
    wait_established(cluster)
    signer = SignerProcess(cluster, "--controllers=csr")
    controllers = SignerProcess(cluster, CONTROLLERS, account=CONTROLLERS_ACCOUNT)
    with signer, controllers:
        template(cluster, labels={"keep": "x", "leaves": None, "ours": "z"}, annotations=None)
        cluster.wait_for(lambda: metadata(cluster).get("ours") == "z", "our label on the Secret", 60)
        assert {"leaves", "example.com/leaves"} & set(metadata(cluster)) == set()
        cluster.wait_for(lambda: ready(cluster), "all Ready with us", 60)
        assert issued(cluster) == before
        renew(cluster)
        assert below(place.issue("foo").pem, ca)

        # Back, and mesh-signer was not stopped.
        cluster.apply(yaml.safe_dump_all(leavers()))
        lena = f"--kubeconfig={cluster.kubeconfig('lena')}"
        ours = policies(cluster)
        assert "certificates.mesh-signer.dev" in ours
        capsys.readouterr()
        assert main(["leave", lena]) == 1
        assert "nothing was done" in capsys.readouterr().out
        assert main(["leave", "--yes", "--wait=1s", lena]) == 2
        assert "still works here" in capsys.readouterr().err
        assert policies(cluster) == ours
    assert {one["spec"]["replicas"] for one in cluster.get("deployments", "-n", "cert-manager")["items"]} == {0}
    before = issued(cluster)
    assert main(["leave", "--yes", lena]) == 0, capsys.readouterr().err
    assert policies(cluster) == set()
    capsys.readouterr()
    assert main(["leave", lena]) == 0
    assert capsys.readouterr().out == "nothing of mesh-signer is in cert-manager's way\n"
    for crd in cluster.get("crds")["items"]:
        if crd["spec"]["group"].endswith("cert-manager.io"):
            assert "mesh-signer" not in json.dumps([crd["metadata"].get(one, {}) for one in ("labels", "annotations")])

    install_cert_manager(cluster, tmp_path / "cert-manager", "--take-ownership")
    with CertManager(cluster, csr=True):
        template(cluster, labels={"keep": "x", "ours": None, "theirs": "z"}, annotations=None)
        cluster.wait_for(lambda: metadata(cluster).get("theirs") == "z", "their label on the Secret", 60)
        assert "ours" not in metadata(cluster)
        cluster.wait_for(lambda: ready(cluster), "all Ready with cert-manager", 60)
        assert issued(cluster) == before
        renew(cluster)
        assert below(place.issue("foo").pem, ca)

        # Whoever starts ours again beside it: by itself it takes the requests alone, since the definitions are not ours any more;
        # controllers that it is told to run wait, since cert-manager renews its Lease.
        with SignerProcess(cluster) as again:
            cluster.wait_for(lambda: "only CertificateSigningRequests are worked" in again.log, "what it works on", 60)
        with SignerProcess(cluster, CONTROLLERS, account=CONTROLLERS_ACCOUNT) as again:
            cluster.wait_for(lambda: "a cert-manager is at work" in again.log, "a word about cert-manager", 60)
    place.api.close()
