"""Each alert fires by what really causes it: our processes on a real API server, scraped by a real Prometheus.

The rules are the shipped ones, in a copy whose windows and `for` are 600 times shorter (`hurried`); thresholds are as
shipped, but for the age of what the wall has heard, which would take five minutes of silence.
"""

import base64
import contextlib
import json
import os
import re
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import pki
from tests.clock.__main__ import shifted
from tests.faults.proxy import First, Proxy
from tests.integration.edge.gateway_world import install
from tests.integration.hot_path import CSRS, Place
from tests.integration.tenants import Tenants
from tests.integration.watching.prometheus import PATIENCE, SILENCE, Prometheus, Start
from tests.integration.watching.rules import alerts
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.debian import NotHere, find_library
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SignerProcess

pytestmark = pytest.mark.integration


def controllers(start: Start, *more: str) -> SignerProcess:
    names = ",".join(("issuers", "certificates", "certificaterequests", *more))
    return start(f"--controllers={names}", account=CONTROLLERS_ACCOUNT)


def of_tenant(tenants: Tenants, namespace: str, signer: str, reason: str) -> dict[str, str]:
    """The labels of an alert that is about a tenant: by these it is routed."""
    return {"namespace": tenants.name(namespace), "signer": tenants.signer(signer), "reason": reason}


def test_what_is_healthy_and_what_is_not_there(start: Start, prometheus: Prometheus, tenants: Tenants) -> None:
    """Two signers and a leader: nothing fires. Then they go, one after the other, while the others export the same metrics."""
    one, other, leader = start("--controllers=csr"), start("--controllers=csr"), controllers(start)
    tenants.place.until("two replicas", lambda: one.metric("mesh_signer_replicas") == 2)
    for name in [tenants.ask("foo") for _ in range(20)]:
        assert tenants.place.answered(name).chain
    prometheus.until("min_over_time(mesh_signer_replicas[8s]) == 2 and count_over_time(mesh_signer_replicas[8s]) > 6")
    prometheus.until("count(count_over_time(mesh_signer_build_info[15s]) > 12) == 3")
    about_others = {"MeshSignerIssuerNotReady"}  # issuers that other tests have left
    assert [one["labels"] for one in prometheus.firing() if one["labels"]["alertname"] not in about_others] == []
    other.kill()
    prometheus.fires("MeshSignerAlone")
    one.kill()
    prometheus.fires("MeshSignerDown", severity="critical")
    assert prometheus.query("mesh_signer_build_info")[0][0]["component"] == "controllers"
    leader.kill()
    one.start()
    prometheus.watch(one)
    prometheus.fires("MeshSignerNoLeader")
    prometheus.quiet("MeshSignerDown")


def test_a_slow_api_server(installed: Cluster, start: Start, prometheus: Prometheus, ca: str, place: Place) -> None:
    """Answers take more than a second, one after the other: the budget burns, the queue grows."""
    if not isinstance(installed, LocalCluster):
        pytest.skip("the proxy knows the local cluster's authority alone")
    with Proxy(installed) as proxy:
        config = proxy.kubeconfig(installed.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
        start("--controllers=csr", "--write-window=1", f"--kubeconfig={config}", tenancy="off")
        slow = First(lambda: time.sleep(1.2))
        proxy.rule = lambda _method, path: slow if "watch=" not in path else None
        for _ in range(40):
            place.ask(ca)
        prometheus.fires("MeshSignerQueueLong")
        prometheus.fires("MeshSignerAPISlow")
        prometheus.fires("MeshSignerSigningBudgetBurns", severity="warning")
        prometheus.fires("MeshSignerSigningBudgetBurnsFast", severity="critical")
        proxy.rule = lambda _method, _path: None


def test_a_process_without_cpu(start: Start, prometheus: Prometheus) -> None:
    """A process that is held up for most of the time."""
    process = start("--controllers=csr")
    pid, ended = process.pid, threading.Event()
    assert pid is not None

    def starve() -> None:
        while not ended.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.9)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.3)

    thread = threading.Thread(target=starve)
    thread.start()
    try:
        found = prometheus.fires("MeshSignerEventLoopLags")
    finally:
        ended.set()
        thread.join()
    assert found["labels"]["instance"] == f"127.0.0.1:{process.port}"


def test_rights_that_are_missing(installed: Cluster, start: Start, prometheus: Prometheus) -> None:
    """A ServiceAccount that was given nothing."""
    installed.kubectl("create", "serviceaccount", "rightless", "-n", NAMESPACE)
    try:
        start("--controllers=csr", account="rightless", wait=False)
        prometheus.fires("MeshSignerAPIErrors", code="403")
    finally:
        installed.kubectl("delete", "serviceaccount", "rightless", "-n", NAMESPACE)


def test_a_clock_that_is_wrong(start: Start, prometheus: Prometheus) -> None:
    """A node whose clock is two minutes behind."""
    try:
        library = find_library("faketime/libfaketimeMT.so.1", "libfaketime")
    except NotHere as error:
        pytest.skip(f"no libfaketime: {error}")
    moved = shifted(library, "-120s")
    env = {name: value for name, value in moved.items() if os.environ.get(name) != value}
    process = start("--controllers=csr", env=env)
    found = prometheus.fires("MeshSignerClockOff", severity="critical")
    assert found["labels"]["instance"] == f"127.0.0.1:{process.port}"


def test_a_wall_that_does_not_enforce(start: Start, prometheus: Prometheus, tenants: Tenants) -> None:
    """Audit mode: a thief's request is signed."""
    start("--controllers=csr", "--audit-until=2999-01-01T00:00:00Z", tenancy="audit")
    assert tenants.place.answered(tenants.ask("foo")).chain
    assert tenants.place.answered(tenants.ask("bar", "foo")).chain
    prometheus.fires("MeshSignerWouldRefuse", **of_tenant(tenants, "bar", "foo", "TenantMismatch"))
    prometheus.fires("MeshSignerNoWall", mode="audit")


def test_another_signer(installed: Cluster, start: Start, prometheus: Prometheus, tenants: Tenants) -> None:
    """Somebody with a CA's key answers before us, and past the wall."""
    if not isinstance(installed, LocalCluster):
        pytest.skip("the proxy knows the local cluster's authority alone")
    place = tenants.place
    with Proxy(installed) as proxy:
        config = proxy.kubeconfig(installed.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
        start("--controllers=csr", f"--kubeconfig={config}")
        assert place.answered(tenants.ask("foo")).chain
        leaf = base64.b64encode(tenants.cas["foo"].intermediate("leaf", is_ca=False).pem).decode()
        names = set[str]()

        def rule(method: str, path: str) -> First | None:
            name = next((one for one in names if f"/{one}/status" in path), None)
            return First(lambda: answer(name)) if method == "PUT" and name is not None else None

        def answer(name: str) -> None:
            names.discard(name)
            with contextlib.closing(Place.of(installed).api) as api:  # a connection is for one thread
                found = api.get(f"{CSRS}/{name}")
                api.put(f"{CSRS}/{name}/status", found | {"status": found["status"] | {"certificate": leaf}})

        proxy.rule = rule
        deadline = time.monotonic() + PATIENCE
        signer = tenants.signer("foo")
        # The window is a few seconds here: how many fall into it depends on the machine, so it goes on until enough did.
        while not prometheus.within(1.0, "MeshSignerAnotherSigner", signer=signer):
            burst = [tenants.create("foo") for _ in range(12)]
            names.update(made["metadata"]["name"] for made in burst)
            for made in burst:
                place.approve(made)
            for made in burst:
                assert place.answered(made["metadata"]["name"]).chain
            assert time.monotonic() < deadline, "a dozen foreign answers at once, again and again, and no alert"
        prometheus.fires("MeshSignerForeignCertificate", signer=tenants.signer("foo"), severity="critical")


def test_an_audit_log_that_cannot_be_written(start: Start, prometheus: Prometheus, ca: str, place: Place) -> None:
    """A disk that is full."""
    process = start("--controllers=csr", "--audit-log=/dev/full", tenancy="off")
    place.issue(ca)
    found = prometheus.fires("MeshSignerAuditFails", severity="critical")
    assert found["labels"]["instance"] == f"127.0.0.1:{process.port}"


def test_a_thief(start: Start, prometheus: Prometheus, tenants: Tenants) -> None:
    """The one refusal there is fires, for the tenant who asked, once for all replicas."""
    start("--controllers=csr"), start("--controllers=csr")
    assert tenants.place.answered(tenants.ask("foo")).chain
    assert tenants.place.answered(tenants.ask("bar", "foo")).failed[0] == "TenantMismatch"
    expected = of_tenant(tenants, "bar", "foo", "TenantMismatch")
    found = prometheus.fires("MeshSignerRefuses", **expected)
    assert found["labels"] == expected | {"alertname": "MeshSignerRefuses", "severity": "warning"}
    assert tenants.name("bar") in found["annotations"]["summary"]


def test_a_ca_that_is_gone(start: Start, prometheus: Prometheus, tenants: Tenants) -> None:
    """A tenant's CA Secret is deleted: the issuer, and whose requests wait, and that some wait."""
    start("--controllers=csr")
    assert tenants.place.answered(tenants.ask("foo")).chain
    tenants.place.delete_secret(tenants.name("foo"))
    prometheus.fires("MeshSignerIssuerNotReady", kind="ClusterIssuer", name=tenants.name("foo"), reason="ErrGetKeyPair")
    tenants.ask("foo")
    prometheus.fires("MeshSignerRequestsWait", reason="IssuerNotReady")
    prometheus.fires("MeshSignerTenantWaits", **of_tenant(tenants, "foo", "foo", "IssuerNotReady"))


def test_cas_that_end(start: Start, prometheus: Prometheus, place: Place, name: str) -> None:
    """A CA of a year with a week left, and one with a day; one of a month with ten days left is renewed in time."""
    now, day = datetime.now(UTC), timedelta(days=1)
    for suffix, life, left in (("week", 365, 7), ("day", 365, 1), ("month", 30, 10)):
        own = f"{name}-{suffix}"
        made = pki.CA(own, not_before=now - (life - left) * day, not_after=now + left * day)
        place.ca_issuer(own, made)
    start("--controllers=csr", tenancy="off")
    for suffix in ("week", "day"):
        found = prometheus.fires("MeshSignerCAEndsSoon", kind="ClusterIssuer", name=f"{name}-{suffix}")
        assert "6d 23h" in found["annotations"]["summary"] or suffix == "day"
    prometheus.fires("MeshSignerCAEndsNow", name=f"{name}-day")
    ending = {one["labels"]["name"] for one in prometheus.firing() if "CAEnds" in one["labels"]["alertname"]}
    assert f"{name}-month" not in ending
    assert [
        one["labels"]["name"] for one in prometheus.firing() if one["labels"]["alertname"] == "MeshSignerCAEndsNow"
    ] == [f"{name}-day"]


def test_a_certificate_that_is_not_renewed(
    installed: Cluster, start: Start, prometheus: Prometheus, namespace: str
) -> None:
    """A Certificate whose issuer is gone, with a Secret that has expired."""
    now = datetime.now(UTC)
    leaf = pki.CA("gone").intermediate(
        "web", is_ca=False, not_before=now - timedelta(days=9), not_after=now - timedelta(hours=2)
    )
    data = {key: base64.b64encode(value).decode() for key, value in leaf.secret().items()}
    notes = {"cert-manager.io/certificate-name": "web", "cert-manager.io/issuer-name": "gone"}
    notes |= {"cert-manager.io/issuer-kind": "Issuer", "cert-manager.io/issuer-group": "cert-manager.io"}
    spec = {"secretName": "web-tls", "commonName": "web", "issuerRef": {"name": "gone", "kind": "Issuer"}}
    spec |= {"privateKey": {"algorithm": "ECDSA"}}
    for body in (
        {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}
        | {"metadata": {"name": "web-tls", "namespace": namespace, "annotations": notes}},
        {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "spec": spec}
        | {"metadata": {"name": "web", "namespace": namespace}},
    ):
        installed.apply(json.dumps(body))
    controllers(start)
    about = {"namespace": namespace, "name": "web"}
    prometheus.fires("MeshSignerCertificateNotReady", **about)
    prometheus.fires("MeshSignerCertificateNotRenewed", **about)
    prometheus.fires("MeshSignerCertificateExpired", **about)


def gateway(cluster: Cluster, namespace: str, issuer: str) -> str:
    """A Gateway that wants a certificate for the host that is returned; its Pod is said to run here, where nobody listens."""
    labels = {"istio": "ingressgateway"}
    pod = {"containers": [{"name": "istio-proxy", "image": "none"}], "automountServiceAccountToken": False}
    host = f"shop.{namespace}.example.com"
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": [host],
        "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"},
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "none", "namespace": namespace}}
    bodies = (
        account,
        {"apiVersion": "v1", "kind": "Pod", "spec": pod | {"serviceAccountName": "none"}}
        | {"metadata": {"name": "gateway", "namespace": namespace, "labels": labels}},
        {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "spec": {"selector": labels, "servers": [server]}}
        | {
            "metadata": {
                "name": "shop",
                "namespace": namespace,
                "annotations": {"cert-manager.io/cluster-issuer": issuer},
            }
        },
    )
    for body in bodies:
        cluster.apply(json.dumps(body))
    status = json.dumps({"status": {"phase": "Running", "podIP": "127.0.0.1"}})
    cluster.kubectl("patch", "pod", "gateway", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)
    return host


def test_what_takes_a_minute(
    installed: Cluster, start: Start, prometheus: Prometheus, name: str, namespace: str
) -> None:
    """A gateway that does not show its certificate; and connections that lead nowhere, so that what the wall knows grows old."""
    if not isinstance(installed, LocalCluster):
        pytest.skip("the proxy knows the local cluster's authority alone")
    install(installed)
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name}}
    installed.apply(json.dumps(issuer | {"spec": {"selfSigned": {}}}))
    host = gateway(installed, namespace, name)
    try:
        controllers(start, "gateways")
        with Proxy(installed) as proxy:
            config = proxy.kubeconfig(installed.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
            start("--controllers=csr", f"--kubeconfig={config}")
        prometheus.fires("MeshSignerMeshStale", SILENCE + 90.0, source="ProxyConfigs", severity="critical")
        prometheus.fires("MeshSignerNotServed", state="unreached")
    finally:
        installed.kubectl("delete", "clusterissuer", name)
        installed.kubectl("delete", "hostclaim", host, "--ignore-not-found")


def test_every_alert_is_fired() -> None:
    """No alert is shipped whose real cause is not above."""
    source = Path(__file__).read_text()
    assert set(re.findall(r'\.(?:fires\(\s*|within\([0-9.]+, )"(\w+)"', source)) == set(alerts())
