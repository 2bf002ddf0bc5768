"""CertificateRequests on the real API server, made by users and by our own Certificates: approved, signed, settled."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.compose import compose_request
from issuers.private_key import encode_key, generate_key, load_key
from issuers.subject import Subject
from signer.observe.audit import AuditLog
from tests.integration.slow_controllers import CRDS, Json, World, chain, condition, install_crds, world
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    install_crds(cluster)


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[World]:
    async with world(cluster, namespace) as found:
        yield found


@pytest.fixture
async def manual(cluster: Cluster, namespace: str) -> AsyncIterator[World]:
    """The controllers with automatic approval switched off."""
    async with world(cluster, namespace, auto_approve=False) as found:
        yield found


KEY = generate_key("ECDSA", 256)
CSR = compose_request(KEY, subject=Subject(common_name="user"), dns_names=["user.example"])


async def ask(here: World, issuer: str, name: str = "asked", *, notes: Json | None = None, **fields: object) -> Json:
    spec: Json = {
        "request": base64.b64encode(CSR).decode(),
        "issuerRef": {"name": issuer, "kind": "ClusterIssuer"},
    } | fields
    return await here.create("CertificateRequest", name, spec, annotations=notes or {})


async def say(here: World, name: str, type_: str) -> None:
    """Approve or deny, as an approver does."""
    found = await here.get("CertificateRequest", name)
    assert found is not None
    said = {
        "type": type_,
        "status": "True",
        "reason": "Policy",
        "message": "the approver's words",
        "lastTransitionTime": here.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    conditions = [*found.get("status", {}).get("conditions", []), said]
    await here.edit("CertificateRequest", name, {"status": {"conditions": conditions}}, "status")


def certificate_of(request: Json) -> x509.Certificate:
    return chain(base64.b64decode(request["status"]["certificate"]))[0]


async def test_in_the_audit_log(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """A certificate and a refusal have their two audit lines each, and the refusal is counted by its reason."""
    file = tmp_path / "audit"
    audit = AuditLog.to(str(file))
    try:
        async with world(cluster, namespace, audit=audit) as here:
            issuer = await here.ca()
            await ask(here, issuer, duration="90m")
            issued = await here.condition("CertificateRequest", "asked", status="True", reason="Issued")
            await ask(here, issuer, "odd", duration="soon")
            await here.condition("CertificateRequest", "odd", status="False", reason="Failed")
            labels = {"signer": f"clusterissuers.cert-manager.io/{issuer}", "namespace": "other"}
            name = "mesh_signer_refusals_total"
            metrics = here.metrics.registry
            # There is no wall here, and so no namespace that is known.
            assert metrics.get_sample_value(name, labels | {"reason": "InvalidRequest"}) == 1
    finally:
        audit.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    ours = [line for line in lines if line["name"] == "asked"]
    assert [line.get("outcome") for line in ours] == [None, "stored"]
    assert {line["serial"] for line in ours} == {f"{certificate_of(issued).serial_number:x}"}
    assert {(line["resource"], line["namespace"], line["lifetime"]) for line in ours} == {
        ("CertificateRequest", namespace, 90 * 60)
    }
    refused = [line for line in lines if line["name"] == "odd"]
    assert [line.get("outcome") for line in refused] == [None, "refused"]
    assert refused[0]["reasons"][0].startswith("InvalidRequest: spec.duration")


async def test_a_users_request(here: World) -> None:
    """A request that a user made is approved and signed, with the lifetime and usages it asks for, and the root."""
    issuer = await here.ca()
    await ask(here, issuer, duration="90m", usages=["digital signature", "key encipherment"])
    found = await here.condition("CertificateRequest", "asked", status="True", reason="Issued")
    approved = condition(found, "Approved")
    assert approved is not None
    assert (approved["status"], approved["reason"]) == ("True", "cert-manager.io")
    leaf = certificate_of(found)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(minutes=90)
    root = await here.get("Secret", "root-ca")
    assert root is not None
    assert found["status"]["ca"] == root["data"]["tls.crt"]
    leaf.verify_directly_issued_by(chain(base64.b64decode(found["status"]["ca"]))[0])
    assert len(chain(base64.b64decode(found["status"]["certificate"]))) == 1
    assert "failureTime" not in found["status"]


async def test_intermediate(here: World) -> None:
    """A CA below a CA signs with its chain: leaf, intermediate, no root; the root is told apart."""
    root = await here.ca()
    await here.certificate("middle-ca", root, isCA=True)
    middle = await here.issuer("middle", {"ca": {"secretName": "middle-ca"}})
    await here.ready("ClusterIssuer", middle)
    await ask(here, middle)
    found = await here.condition("CertificateRequest", "asked", status="True")
    leaf, above = chain(base64.b64decode(found["status"]["certificate"]))
    top = chain(base64.b64decode(found["status"]["ca"]))[0]
    leaf.verify_directly_issued_by(above)
    above.verify_directly_issued_by(top)
    top.verify_directly_issued_by(top)


async def test_under_the_shipped_rights(cluster: Cluster, namespace: str) -> None:
    """With nothing but the rights of manifests/base everything works; what they forbid to approve waits for others."""
    cluster.apply_kustomize(CRDS.parent / "base")
    account = cluster.service_account_kubeconfig("cert-manager", "mesh-signer-controllers")
    async with world(cluster, namespace, account=account) as here:
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        await here.delete("Secret", "leaf")
        await here.ready("Certificate", "leaf")
        await ask(here, "x", "theirs", issuerRef={"name": "x", "kind": "Thing", "group": "example.com"})

        async def told() -> bool:
            return "ApprovalForbidden" in await here.events("theirs")

        await here.until("the Event about the approval", told)
        found = await here.get("CertificateRequest", "theirs")
        assert found is not None
        assert condition(found, "Approved") is None


class TestApproval:
    async def test_waits(self, manual: World) -> None:
        """With automatic approval off nothing is signed before somebody approves, and then it is."""
        issuer = await manual.issuer("selfsigned", {"selfSigned": {}})
        await manual.certificate("leaf", issuer)

        async def there() -> Json | None:
            return await manual.get("CertificateRequest", "leaf-1")

        await manual.until("the request", there)
        found = await manual.settled("CertificateRequest", "leaf-1")
        assert condition(found, "Approved") is None
        assert "certificate" not in found.get("status", {})
        await say(manual, "leaf-1", "Approved")
        await manual.ready("Certificate", "leaf")

    async def test_denied(self, manual: World) -> None:
        """A denied request is settled as Denied; its Certificate fails once, waits, and tries anew when its spec changes."""
        issuer = await manual.issuer("selfsigned", {"selfSigned": {}})
        await manual.certificate("leaf", issuer)

        async def there() -> Json | None:
            return await manual.get("CertificateRequest", "leaf-1")

        first = await manual.until("the request", there)
        await say(manual, "leaf-1", "Denied")
        denied = await manual.condition("CertificateRequest", "leaf-1", status="False", reason="Denied")
        assert denied["status"]["failureTime"]
        failed = await manual.condition("Certificate", "leaf", "Issuing", status="False", reason="Policy")
        assert failed["status"]["failedIssuanceAttempts"] == 1
        assert failed["status"]["lastFailureTime"]
        assert "the approver's words" in condition(failed, "Issuing")["message"]  # type: ignore[index]
        assert (await manual.settled("Certificate", "leaf"))["status"]["failedIssuanceAttempts"] == 1

        await manual.edit("Certificate", "leaf", {"spec": {"dnsNames": ["leaf.example"]}})

        async def anew() -> bool:
            now = await manual.get("CertificateRequest", "leaf-1")
            return now is not None and now["metadata"]["uid"] != first["metadata"]["uid"]

        await manual.until("a new request", anew)
        await say(manual, "leaf-1", "Approved")
        found = await manual.ready("Certificate", "leaf")
        assert "failedIssuanceAttempts" not in found["status"]
        assert "lastFailureTime" not in found["status"]

    async def test_backoff_ends(self, manual: World) -> None:
        """After a failure the same wish is asked again one hour later, not sooner."""
        issuer = await manual.issuer("selfsigned", {"selfSigned": {}})
        await manual.certificate("leaf", issuer)

        async def there() -> Json | None:
            return await manual.get("CertificateRequest", "leaf-1")

        first = await manual.until("the request", there)
        await say(manual, "leaf-1", "Denied")
        await manual.condition("Certificate", "leaf", "Issuing", status="False")
        await manual.restart(timedelta(minutes=59))
        assert condition(await manual.settled("Certificate", "leaf"), "Issuing")["status"] == "False"  # type: ignore[index]
        await manual.restart(timedelta(minutes=61))

        async def anew() -> bool:
            now = await manual.get("CertificateRequest", "leaf-1")
            return now is not None and now["metadata"]["uid"] != first["metadata"]["uid"]

        await manual.until("a new request", anew)


class TestRefused:
    @pytest.mark.parametrize(
        ("request_bytes", "said"),
        [
            (b"junk", "spec.request"),
            (CSR + CSR, "spec.request"),
            (b"x" + CSR, "spec.request"),
            (CSR.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"), "spec.request"),
        ],
        ids=["junk", "two-blocks", "text-before", "another-block"],
    )
    async def test_malformed(self, here: World, request_bytes: bytes, said: str) -> None:
        """A CSR that cannot be read as one is settled as invalid, with a message that names the field."""
        issuer = await here.ca()
        await ask(here, issuer, request=base64.b64encode(request_bytes).decode())
        found = await here.condition("CertificateRequest", "asked", "InvalidRequest", status="True")
        ready = condition(found, "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "Failed")
        assert said in ready["message"]
        assert found["status"]["failureTime"]
        assert "certificate" not in found["status"]

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"usages": ["code signing"]}, "usages"),
            ({"duration": "-1h"}, "spec.duration"),
            ({"duration": "99999999h"}, "spec.duration"),
        ],
    )
    async def test_impossible_wish(self, here: World, fields: Json, said: str) -> None:
        """Usages that differ from the CSR's and lifetimes that are none are refused for good."""
        issuer = await here.ca()
        await ask(here, issuer, **fields)
        found = await here.condition("CertificateRequest", "asked", status="False", reason="Failed")
        assert said in condition(found, "Ready")["message"]  # type: ignore[index]

    async def test_another_group(self, here: World) -> None:
        """A request to another group's issuer is left to that group's signer."""
        await ask(here, "x", issuerRef={"name": "x", "kind": "Thing", "group": "example.com"})
        found = await here.settled("CertificateRequest", "asked")
        assert condition(found, "Ready") is None

    async def test_settled_stays(self, here: World) -> None:
        """An issued request is not signed again."""
        issuer = await here.ca()
        await ask(here, issuer)
        first = await here.condition("CertificateRequest", "asked", status="True")
        await here.stop()
        await here.start()
        await here.touch("CertificateRequest", "asked")
        again = await here.settled("CertificateRequest", "asked")
        assert again["status"] == first["status"]


class TestWaiting:
    async def test_issuer_comes_later(self, here: World) -> None:
        """A request waits for an issuer that is not there yet, and is signed as soon as it is."""
        await ask(here, f"{here.namespace}-root")
        await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        await here.ca()
        await here.condition("CertificateRequest", "asked", status="True")

    async def test_secret_repaired(self, here: World) -> None:
        """A request waits while the CA's Secret is broken, and is signed as soon as it is repaired."""
        issuer = await here.issuer("late", {"ca": {"secretName": "late-ca"}})
        await here.condition("ClusterIssuer", issuer, status="False", reason="ErrGetKeyPair")
        await ask(here, issuer)
        await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        selfsigned = await here.issuer("selfsigned", {"selfSigned": {}})
        await here.certificate("late-ca", selfsigned, isCA=True)
        await here.condition("CertificateRequest", "asked", status="True")

    async def test_namespaced_issuer(self, here: World) -> None:
        """An Issuer signs with a CA of its own namespace; a kind left out means Issuer."""
        selfsigned = await here.issuer("selfsigned", {"selfSigned": {}})
        await here.certificate("local-ca", selfsigned, isCA=True)
        await here.create("Issuer", "local", {"ca": {"secretName": "local-ca"}})
        await ask(here, "local", issuerRef={"name": "local"})
        await here.condition("CertificateRequest", "asked", status="True")


class TestSelfSigned:
    async def test_with_its_key(self, here: World) -> None:
        """A self-signed request is signed with the key that its annotation names; certificate and CA are one."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        key = encode_key(KEY, "PKCS8").decode()
        await here.create("Secret", "mine", {"type": "Opaque", "stringData": {"tls.key": key}})
        await ask(here, issuer, notes={"cert-manager.io/private-key-secret-name": "mine"})
        found = await here.condition("CertificateRequest", "asked", status="True")
        assert found["status"]["ca"] == found["status"]["certificate"]
        leaf = certificate_of(found)
        leaf.verify_directly_issued_by(leaf)

    async def test_no_annotation(self, here: World) -> None:
        """Without the annotation there is no key to sign with: refused."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        await ask(here, issuer)
        found = await here.condition("CertificateRequest", "asked", status="False", reason="Failed")
        assert "private-key-secret-name" in condition(found, "Ready")["message"]  # type: ignore[index]

    async def test_another_key(self, here: World) -> None:
        """A key that is not the request's own signs nothing."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        key = encode_key(generate_key("ECDSA", 256), "PKCS8").decode()
        await here.create("Secret", "mine", {"type": "Opaque", "stringData": {"tls.key": key}})
        await ask(here, issuer, notes={"cert-manager.io/private-key-secret-name": "mine"})
        await here.condition("CertificateRequest", "asked", status="False", reason="Failed")

    async def test_secret_comes_later(self, here: World) -> None:
        """A request waits for the Secret that its annotation names."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        await ask(here, issuer, notes={"cert-manager.io/private-key-secret-name": "mine"})
        await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        key = encode_key(KEY, "PKCS8").decode()
        labels = {"controller.cert-manager.io/fao": "true"}
        await here.create("Secret", "mine", {"type": "Opaque", "stringData": {"tls.key": key}}, labels=labels)
        await here.condition("CertificateRequest", "asked", status="True")

    async def test_never_a_cas_key(self, here: World) -> None:
        """A CA's key signs no self-signed certificate on request, and the answer looks as if there were no Secret."""
        await here.ca()
        secret = await here.get("Secret", "root-ca")
        assert secret is not None
        key = load_key(base64.b64decode(secret["data"]["tls.key"]))
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        csr = compose_request(key, subject=Subject(common_name="root-ca"))
        missing = {"cert-manager.io/private-key-secret-name": "nowhere"}
        notes = {"cert-manager.io/private-key-secret-name": "root-ca"}
        issuer = f"{here.namespace}-selfsigned-root"
        request = base64.b64encode(csr).decode()
        await ask(here, issuer, notes=notes, request=request)
        await ask(here, issuer, "other", notes=missing, request=request)
        found = await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        other = await here.condition("CertificateRequest", "other", status="False", reason="Pending")
        messages = [condition(one, "Ready")["message"] for one in (found, other)]  # type: ignore[index]
        assert messages[0].replace("root-ca", "nowhere") == messages[1]
