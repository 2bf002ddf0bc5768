"""The signer is up before anything that it needs: it waits, and begins as soon as that is there."""

from collections.abc import Callable
from pathlib import Path

from tests import pki
from tests.integration.hot_path import Place, settle
from tests.localmesh import LocalCluster
from tests.localmesh.install import install, install_crds
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess


def test_crds_come_later(private_cluster: Callable[..., LocalCluster]) -> None:
    """CRDs that are applied after the start are picked up: a request that came first is answered, a Certificate is issued."""
    cluster = private_cluster(controller_manager=False)
    install(cluster, crds=None)
    place = Place.of(cluster)
    signer = SignerProcess(cluster, "--controllers=csr")
    controllers = SignerProcess(
        cluster, "--controllers=issuers,certificates,certificaterequests", account=CONTROLLERS_ACCOUNT
    )
    try:
        for process in (signer, controllers):
            process.start(wait=False)
        name = place.ask("late")
        place.secret("late", pki.CA("late").secret())
        settle(lambda: "not installed yet" in controllers.log, "a line that says what is missing")
        settle(lambda: not signer.ready()[0] and "issuers" in signer.ready()[1], "the reason in /readyz")
        assert signer.alive()[0]
        assert controllers.alive()[0]
        install_crds(cluster)
        place.issuer("late", {"ca": {"secretName": "late"}})
        place.issued(name)
        settle(lambda: signer.ready()[0], "readiness")
        cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "clusterissuer/late")
        cluster.apply(certificate("late"))
        cluster.kubectl(
            "wait", "--for=condition=Ready", "--timeout=60s", "certificate/server", "--namespace=cert-manager"
        )
        for process in (signer, controllers):
            assert "Traceback" not in process.log
    finally:
        for process in (signer, controllers):
            process.stop()
        place.api.close()


def certificate(issuer: str) -> str:
    """A Certificate of an issuer, to see that the slow controllers work."""
    return f"""
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {{name: server, namespace: cert-manager}}
spec:
  secretName: server
  dnsNames: [server.example]
  privateKey: {{algorithm: ECDSA, size: 256}}
  issuerRef: {{name: {issuer}, kind: ClusterIssuer}}
"""


def test_api_server_comes_later(
    breakable: LocalCluster, place: Place, issuer: str, start: Callable[..., SignerProcess], account: Path
) -> None:
    """Started while the API server is away, the signer is alive, not ready, and works when it is back."""
    name = place.ask(issuer)
    breakable.api.kill()
    try:
        signer = start(wait=False, kubeconfig=account)
        settle(lambda: "requests were not read yet" in signer.ready()[1], "the reason in /readyz")
        assert signer.alive()[0]
    finally:
        breakable.api.start()
    place.api.close()  # its connection went with the former API server
    place.issued(name)
    settle(lambda: signer.ready()[0], "readiness")
