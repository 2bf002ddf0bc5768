"""A mesh goes from one API server to another by `backup` and `restore`: nothing is issued or ordered anew, owners stay."""

import asyncio
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.gateway import GATEWAYS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import CLUSTER_ISSUERS
from signer.api.order import ORDERS
from signer.api.secret import SECRETS
from signer.certificates.well_known import SECRET_UID
from signer.cli import main
from tests import pki
from tests.integration import slow_controllers
from tests.integration.commands.operating import GROUP, PAPER, Result, World, operators_roles
from tests.integration.edge.gateway_world import INGRESS_LABELS, edge_world, host, https, install
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.hot_path import ASKERS, Place
from tests.integration.pebbles import Start, answers, spec, start
from tests.integration.slow_controllers import EC_KEY
from tests.integration.tenants import ISTIO, Tenants, define_proxy_configs
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh import install as localmesh
from tests.localmesh.pebble import ChallengeServer
from tests.localmesh.signer import SignerProcess

__all__ = ["answers", "start"]

pytestmark = pytest.mark.integration
MANIFESTS = Path(__file__).parents[3] / "manifests"
PAGE = PAPER.parent / "setups" / "backup.md"
Private = Callable[[], LocalCluster]
Call = Callable[..., Result]


def restorers() -> tuple[dict[str, Any], dict[str, Any]]:
    """The role that the page gives whoever restores, and its binding."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    role = yaml.safe_load(text)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": role["metadata"],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]},
        "subjects": [GROUP | {"name": "restorers"}],
    }
    return role, binding


def prepared(cluster: LocalCluster) -> LocalCluster:
    """What step 1 of the page applies, and the roles that the papers give operators and whoever restores."""
    localmesh.install(cluster, localmesh.ISTIO)
    define_proxy_configs(cluster)
    install(cluster)
    role, binding = restorers()
    cluster.apply(yaml.safe_dump_all([*operators_roles(ISTIO), role, binding]))
    asks = {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create"]}
    kind = {"apiVersion": role["apiVersion"], "metadata": {"name": ASKERS}}
    cluster.apply(json.dumps(role | kind | {"rules": [asks]}))
    cluster.apply(
        json.dumps(
            binding | kind | {"roleRef": binding["roleRef"] | {"name": ASKERS}, "subjects": [GROUP | {"name": ASKERS}]}
        )
    )
    return cluster


def account(cluster: Cluster) -> Path:
    """The controllers': the admission policies let nobody else make HostClaims."""
    return cluster.service_account_kubeconfig("cert-manager", "mesh-signer-controllers")


def scale(cluster: Cluster, replicas: int) -> None:
    cluster.kubectl(
        "-n", "cert-manager", "scale", "deployment", "mesh-signer", "mesh-signer-controllers", f"--replicas={replicas}"
    )


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command as an operator; `restorer`: who has the role of the page too."""

    def run(cluster: Cluster, *arguments: str, restorer: bool = True) -> Result:
        user, groups = ("rita", ("mesh-operators", "restorers")) if restorer else ("olga", ("mesh-operators",))
        status = main([*arguments, f"--kubeconfig={cluster.kubeconfig(user, groups)}"])
        return Result(status, *capsys.readouterr())

    return run


def test_owners_and_certificates(private_cluster: Private, call: Call, tmp_path: Path) -> None:
    """A tenant's signer and Certificates are his in the other cluster, with the same keys, and no thief has them meanwhile."""
    former = prepared(private_cluster())
    place = Place.of(former)
    tenants = Tenants(place)
    tenants.add("foo", "bar")
    names = {tenant: tenants.name(tenant) for tenant in ("foo", "bar")}
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "web", "namespace": names["foo"]},
        "spec": {
            "secretName": "web",
            "dnsNames": ["web.internal"],
            "issuerRef": {"name": "plain", "kind": "ClusterIssuer"},
        },
    }
    place.ca_issuer("plain", pki.CA("plain"))
    path = f"/apis/cert-manager.io/v1/namespaces/{names['foo']}/certificates/web"
    secret_path = f"/api/v1/namespaces/{names['foo']}/secrets/web"
    with (
        SignerProcess(former, "--controllers=csr", tenancy="enforce"),
        SignerProcess(
            former, "--controllers=issuers,certificates,certificaterequests,policies", account="mesh-signer-controllers"
        ),
    ):
        former.apply(json.dumps(certificate))
        place.issued(tenants.ask("foo"))
        former.wait_for(lambda: ready(place.api.get(path)), "the Certificate web", 60)
    binding_path = f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{names['foo']}"
    assert place.api.get(binding_path)["spec"]["namespace"] == names["foo"]
    before = place.api.get(secret_path)
    file = tmp_path / "mesh.yaml"

    lacking = call(former, "backup", str(file), "--with-secrets", restorer=False)
    assert (lacking.status, file.exists()) == (2, False)
    assert "may not be read (verb get)" in lacking.err
    without = call(former, "backup", "-", restorer=False)
    assert without.status == 0
    assert "tls.key" not in without.out
    made = call(former, "backup", str(file), "--with-secrets")
    assert (made.status, made.out) == (0, "")
    assert "private keys" in made.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "name a new file" in call(former, "backup", str(file)).err
    place.forget()
    place.api.close()

    fresh = prepared(private_cluster())
    there = Place.of(fresh)
    new = Tenants(there, tenants.token, dict(tenants.cas))
    running = call(fresh, "restore", str(file), "--yes")
    assert running.status == 2
    assert "--replicas=0; nothing was done" in running.err
    scale(fresh, 0)
    remade(fresh, tenants, names["foo"])
    told = call(fresh, "restore", str(file))
    assert told.status == 1
    assert f"create SignerBinding {names['foo']}: it belongs to namespace {names['foo']}" in told.out
    assert there.api.find(binding_path) is None, "without --yes nothing is written"
    refused = call(fresh, "restore", str(file), "--yes", restorer=False)
    assert refused.status == 2
    done = call(fresh, "restore", str(file), "--yes")
    assert (done.status, done.err) == (0, "")
    again = call(fresh, "restore", str(file), "--yes", "-o", "json")
    assert (again.status, again.json["steps"], again.json["problems"]) == (0, [], [])

    uid = there.api.get(f"/api/v1/namespaces/{names['foo']}")["metadata"]["uid"]
    assert there.api.get(binding_path)["spec"]["namespaceUID"] == uid
    after = there.api.get(secret_path)
    assert after["data"] == before["data"]
    remade(fresh, tenants, names["bar"], claims=names["foo"])
    version = there.api.get(secret_path)["metadata"]["resourceVersion"]
    with (
        SignerProcess(fresh, "--controllers=csr", tenancy="enforce"),
        SignerProcess(
            fresh, "--controllers=issuers,certificates,certificaterequests,policies", account="mesh-signer-controllers"
        ),
    ):
        issued = there.issued(new.ask("foo"))
        assert issued.chain
        stolen = there.answered(new.ask("bar", "foo"))
        assert stolen.failed[0] == "SignerClaimed"
        fresh.wait_for(lambda: ready(there.api.get(path)), "the Certificate web", 60)
        assert there.api.get(path)["status"]["revision"] == 1
        assert there.api.get(f"/apis/cert-manager.io/v1/namespaces/{names['foo']}/certificaterequests")["items"] == []
    found = there.api.get(secret_path)
    assert found["data"] == before["data"]
    assert found["metadata"]["resourceVersion"] == version
    rows = {(one["namespace"], one["status"]) for one in call(fresh, "tenants", "-o", "json").json}
    assert (names["foo"], "granted") in rows
    there.forget()
    there.api.close()


def remade(cluster: Cluster, tenants: Tenants, name: str, claims: str = "") -> None:
    """A tenant's own part, as GitOps brings it back; here with a claim of another's signer."""
    cluster.create_namespace(name)
    spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": claims or name}}
    meta = {"name": "claim", "namespace": name}
    claim = {"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig", "metadata": meta, "spec": spec}
    entries = [{"pem": ca.pem.decode(), "certSigners": [tenants.signer(tenant)]} for tenant, ca in tenants.cas.items()]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": ISTIO}}
    for body in (claim, config | {"data": {"mesh": json.dumps({"caCertificates": entries})}}):
        cluster.apply(json.dumps(body))


def ready(certificate: dict[str, Any]) -> bool:
    conditions = certificate.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def copied(former: LocalCluster, fresh: LocalCluster, call: Call, file: Path) -> None:
    """Bring all from one cluster into the other."""
    made = call(former, "backup", str(file), "--with-secrets", f"--cluster-resource-namespace={NAMESPACE}")
    assert made.status == 0, made.err
    done = call(fresh, "restore", str(file), "--yes", f"--cluster-resource-namespace={NAMESPACE}")
    assert (done.status, done.err) == (0, ""), done.out


NAMESPACE = "restored"


async def test_an_acme_certificate(
    private_cluster: Private, call: Call, tmp_path: Path, start: Start, answers: ChallengeServer
) -> None:
    """A certificate of an ACME CA is not ordered again, and what was ordered is known: limits and pauses go on."""
    former, fresh = prepared(private_cluster()), prepared(private_cluster())
    ca = start()
    for cluster in (former, fresh):
        cluster.create_namespace(NAMESPACE)
    scale(fresh, 0)
    name = "shop.example.com"
    async with slow_controllers.world(
        former, NAMESPACE, account=account(former), presenter=ServerPresenter(answers), hosts=True
    ) as here:
        issuer = await here.issuer("acme", spec(ca))
        await here.create(
            "Certificate",
            "shop",
            {"secretName": "shop", "dnsNames": [name], "issuerRef": {"name": issuer, "kind": "ClusterIssuer"}, "privateKey": EC_KEY},
        )  # fmt: skip
        await here.until("the certificate", lambda: is_ready(here))
        await here.stop()
        before = await here.client.get(SECRETS, "shop", NAMESPACE)
        claim = await here.client.get(HOST_CLAIMS, name)
        await asyncio.to_thread(copied, former, fresh, call, tmp_path / "mesh.yaml")
    async with slow_controllers.world(
        fresh, NAMESPACE, account=account(fresh), presenter=ServerPresenter(answers), hosts=True
    ) as there:
        await there.until("the certificate", lambda: is_ready(there))
        await there.until("the account", lambda: account_ready(there, issuer))
        await there.restart()  # a look at every Certificate, with the account ready
        after = await there.client.get(SECRETS, "shop", NAMESPACE)
        assert after["data"] == before["data"]
        for kind in (CERTIFICATE_REQUESTS, ORDERS):
            assert await there.client.list(kind) == [], kind
        kept = await there.client.get(HOST_CLAIMS, name)
        assert kept["status"]["issuances"] == claim["status"]["issuances"]
        assert kept["spec"]["namespaceUID"] != claim["spec"]["namespaceUID"]
        # The same account at the CA, by its key.
        found = await there.client.get(CLUSTER_ISSUERS, issuer)
        assert found["status"]["acme"]["uri"] == kept["status"]["issuances"][0]["account"]


async def is_ready(here: slow_controllers.World) -> bool:
    return ready(await here.client.get(CERTIFICATES, "shop", NAMESPACE))


async def account_ready(here: slow_controllers.World, issuer: str) -> bool:
    return ready(await here.client.get(CLUSTER_ISSUERS, issuer))


async def test_a_gateways_secret(private_cluster: Private, call: Call, tmp_path: Path) -> None:
    """The Secret that was made for a Gateway is known as ours, by its uid of here, and is not made or issued anew."""
    former, fresh = prepared(private_cluster()), prepared(private_cluster())
    former.create_namespace(NAMESPACE)
    own, file = f"--cluster-resource-namespace={NAMESPACE}", str(tmp_path / "mesh.yaml")
    async with edge_world(former, NAMESPACE, account(former)) as here:
        name = host(here, "shop")
        await here.policy("ours", name, namespaces=[NAMESPACE])
        await here.gateway(https(name))
        await here.served("shop-tls", name, namespace=here.gateways)
        await here.stop()
        gateway = await here.client.get(GATEWAYS, "shop", NAMESPACE)
        secret = await here.client.get(SECRETS, "shop-tls", here.gateways)
        made = await asyncio.to_thread(call, former, "backup", file, "--with-secrets", own)
        assert made.status == 0, made.err
    scale(fresh, 0)
    for namespace in (NAMESPACE, here.gateways):
        fresh.create_namespace(namespace)
    metadata = {"name": "shop", "namespace": NAMESPACE, "annotations": gateway["metadata"]["annotations"]}
    again = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata, "spec": gateway["spec"]}
    fresh.apply(json.dumps(again))
    fresh.kubectl("create", "serviceaccount", "none", "-n", here.gateways)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gateway", "namespace": here.gateways, "labels": INGRESS_LABELS},
        "spec": {"containers": [{"name": "istio-proxy", "image": "none"}], "serviceAccountName": "none"},
    }
    fresh.apply(json.dumps(pod))
    done = await asyncio.to_thread(call, fresh, "restore", file, "--yes", own)
    assert (done.status, done.err) == (0, ""), done.out
    second = await asyncio.to_thread(call, fresh, "restore", file, own)
    assert second.status == 0, second.out
    options = (
        "--controllers=issuers,certificates,certificaterequests,gateways --leader-elect=false --namespace=cert-manager"
    )
    controllers = SignerProcess(
        fresh, *options.split(), own, f"--gateway-namespaces={here.gateways}", account="mesh-signer-controllers"
    )
    await asyncio.to_thread(controllers.start)
    try:
        await asyncio.to_thread(
            fresh.wait_for, lambda: call(fresh, "edge", name).status == 0, f"{name}, ready by `edge`", 120
        )
    finally:
        await asyncio.to_thread(controllers.stop)
    found = fresh.get("secret", "shop-tls", "-n", here.gateways)
    assert found["data"] == secret["data"]
    assert fresh.get("certificaterequests", "-A")["items"] == []
    (record,) = fresh.get("hostclaim", name)["status"]["secrets"]
    assert record["uid"] == found["metadata"]["uid"] != secret["metadata"]["uid"]
    assert (
        fresh.get("certificate", "shop-tls", "-n", here.gateways)["metadata"]["annotations"][SECRET_UID]
        == record["uid"]
    )


def test_adopted(world: World, mesh: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What another tool brought back, and what names a namespace and a Secret that were, is adopted by its former uids."""
    foo = world.tenant("foo")
    world.signer("foo")
    world.bind(foo, foo)
    policy, host_name = world.name("p"), f"{foo}.example.com"
    world.policy(policy, {"signers": [f"clusterissuers.cert-manager.io/{policy}"], "namespaces": {"names": [foo]}})
    world.record(policy, foo)

    def written() -> str:
        """The objects in the tenant's namespace, as GitOps has them; the uid of the Secret."""
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": foo}}
        mesh.apply(json.dumps(secret | {"type": "Opaque", "stringData": {"a": "b"}}))
        return str(mesh.get("secret", "tls", "-n", foo)["metadata"]["uid"])

    first = written()
    uid = mesh.get("namespace", foo)["metadata"]["uid"]
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "tls", "namespace": foo, "annotations": {SECRET_UID: first}},
        "spec": {"secretName": "tls", "dnsNames": [host_name], "issuerRef": {"name": foo, "kind": "ClusterIssuer"}},
    }
    mesh.apply(json.dumps(certificate))
    claim = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "HostClaim", "metadata": {"name": host_name}}
    mesh.apply(json.dumps(claim | {"spec": {"host": host_name, "namespace": foo, "namespaceUID": uid}}))
    record = {"status": {"secrets": [{"namespace": foo, "name": "tls", "uid": first}]}}
    world.place.api.patch(f"/apis/mesh-signer.dev/v1alpha1/hostclaims/{host_name}/status", record)
    mesh.apply(yaml.safe_dump_all(restorers()))
    rita, file = f"--kubeconfig={mesh.kubeconfig('rita', ('mesh-operators', 'restorers'))}", str(tmp_path / "mesh.yaml")
    assert main(["backup", file, rita]) == 0
    mesh.kubectl("delete", "namespace", foo, "--timeout=60s")
    mesh.create_namespace(foo)
    second = written()
    mesh.apply(json.dumps(certificate))
    scale(mesh, 0)
    try:
        capsys.readouterr()
        assert main(["restore", file, rita]) == 1
        told = capsys.readouterr().out
        for line in (f"adopt SignerBinding {foo}", f"adopt HostClaim {host_name}", f"adopt Certificate {foo}/tls"):
            assert line in told
        assert f"remember SignerPolicy {policy}: status.namespaceUIDs" in told
        assert main(["restore", file, rita, "--yes"]) in {0, 1}, capsys.readouterr().err
        capsys.readouterr()
        now = mesh.get("namespace", foo)["metadata"]["uid"]
        assert now != uid
        assert mesh.get("signerbinding", foo)["spec"]["namespaceUID"] == now
        found = mesh.get("hostclaim", host_name)
        assert found["spec"]["namespaceUID"] == now
        assert [one["uid"] for one in found["status"]["secrets"]] == [second]
        assert mesh.get("signerpolicy", policy)["status"]["namespaceUIDs"] == {foo: now}
        assert mesh.get("certificate", "tls", "-n", foo)["metadata"]["annotations"][SECRET_UID] == second
        main(["restore", file, rita, "-o", "json"])
        names = {one["object"]["name"] for one in json.loads(capsys.readouterr().out)["steps"]}
        assert names & {foo, host_name, policy, "tls"} == set()
    finally:
        scale(mesh, 2)
        mesh.kubectl("delete", "hostclaim", host_name)
        mesh.kubectl("delete", "signerpolicy", policy)
        mesh.kubectl("delete", "signerbinding", foo)
