"""CertificateRequests on the real API server: approved, signed, and in the audit log."""

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest

from signer.observe.audit import AuditLog
from tests.integration.certificates.asking import ask, certificate_of
from tests.integration.slow_controllers import Json, World, chain, condition, world
from tests.localmesh import Cluster
from tests.localmesh.install import install

pytestmark = pytest.mark.integration


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
    install(cluster, crds=None)
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
        """After a first failure the same wish is asked again five minutes later, not sooner."""
        issuer = await manual.issuer("selfsigned", {"selfSigned": {}})
        await manual.certificate("leaf", issuer)

        async def there() -> Json | None:
            return await manual.get("CertificateRequest", "leaf-1")

        first = await manual.until("the request", there)
        await say(manual, "leaf-1", "Denied")
        await manual.condition("Certificate", "leaf", "Issuing", status="False")
        await manual.restart(timedelta(minutes=4))
        assert condition(await manual.settled("Certificate", "leaf"), "Issuing")["status"] == "False"  # type: ignore[index]
        await manual.restart(timedelta(minutes=6))

        async def anew() -> bool:
            now = await manual.get("CertificateRequest", "leaf-1")
            return now is not None and now["metadata"]["uid"] != first["metadata"]["uid"]

        await manual.until("a new request", anew)


async def test_what_a_request_waits_for(here: World) -> None:
    """An issuer that is not found is told on the Certificate as on its request, by a Warning; and it goes on when it is there."""
    await here.certificate("leaf", f"{here.namespace}-late")
    said = f'clusterissuer.cert-manager.io "{here.namespace}-late" not found'

    async def told() -> bool:
        found = await here.get("Certificate", "leaf")
        conditions = [condition(found, kind) for kind in ("Issuing", "Ready")] if found is not None else []
        return all(one is not None and said in one["message"] for one in conditions) and "RequestWaits" in (
            await here.events("leaf")
        )

    await here.until("the reason on the Certificate", told)
    assert "IssuerNotFound" in await here.events("leaf-1")
    await here.issuer("late", {"selfSigned": {}})
    await here.ready("Certificate", "leaf")
