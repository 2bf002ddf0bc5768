"""Certificates on the real API server: issued, with all that one can say, and what is told of it."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.certificates.secrets_of import data, secret_of
from tests.integration.slow_controllers import World, chain, condition, openssl, world
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration


async def test_the_istio_task(here: World, tmp_path: Path) -> None:
    """A self-signed issuer, a CA Certificate with nothing but defaults and a CA issuer become ready, and sign a leaf."""
    issuer = await here.ca("foo", privateKey=None)
    await here.certificate("leaf", issuer, dnsNames=["leaf.example"], usages=["server auth"])
    certificate = await here.ready("Certificate", "leaf")

    secret = await secret_of(here, "leaf")
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["labels"] == {"controller.cert-manager.io/fao": "true"}
    notes = secret["metadata"]["annotations"]
    assert notes.pop("mesh-signer.dev/issued-for")  # ours alone
    assert notes == {
        "cert-manager.io/alt-names": "leaf.example",
        "cert-manager.io/certificate-name": "leaf",
        "cert-manager.io/common-name": "leaf",
        "cert-manager.io/ip-sans": "",
        "cert-manager.io/issuer-group": "",
        "cert-manager.io/issuer-kind": "ClusterIssuer",
        "cert-manager.io/issuer-name": issuer,
        "cert-manager.io/uri-sans": "",
    }
    assert not secret["metadata"].get("ownerReferences")
    root = await secret_of(here, "foo-ca")
    assert data(root, "ca.crt") == data(root, "tls.crt") == data(secret, "ca.crt")
    for name in ("tls.crt", "ca.crt", "tls.key"):
        (tmp_path / name).write_bytes(data(secret, name))
    openssl("verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.crt"), str(tmp_path / "tls.crt"))
    public = openssl("pkey", "-in", str(tmp_path / "tls.key"), "-pubout")
    assert public == openssl("x509", "-in", str(tmp_path / "tls.crt"), "-noout", "-pubkey")

    status = certificate["status"]
    leaf = chain(data(secret, "tls.crt"))[0]
    assert status["revision"] == 1
    assert condition(certificate, "Issuing") is None
    assert "nextPrivateKeySecretName" not in status
    assert status["notAfter"] == leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    # Both want 90 days, and the leaf was made a moment later: it ends with its CA.
    assert leaf.not_valid_after_utc == chain(data(root, "tls.crt"))[0].not_valid_after_utc
    requests = {r["metadata"]["name"]: r for r in await here.list("CertificateRequest")}
    assert set(requests) == {"leaf-1", "foo-ca-1"}
    assert condition(requests["leaf-1"], "Approved") is not None
    assert base64.b64decode(requests["leaf-1"]["status"]["certificate"]) == data(secret, "tls.crt")


async def test_the_next_key_does_not_stay(here: World) -> None:
    """After an issuance no Secret holds the key but the Certificate's own."""
    await here.ca()

    async def only_one() -> bool:
        return [secret["metadata"]["name"] for secret in await here.list("Secret")] == ["root-ca"]

    await here.until("the next key's Secret is deleted", only_one)


async def test_events_tell_the_story(here: World) -> None:
    """The Events of an issuance are cert-manager's."""
    await here.ca()

    async def told() -> bool:
        return {"Issuing", "Generated", "Requested"} <= await here.events("root-ca") and {
            "cert-manager.io",
            "CertificateIssued",
        } <= await here.events("root-ca-1")

    await here.until("all Events", told)


async def test_secret_template(here: World) -> None:
    """Labels and annotations of the template come and go with the spec; what others put there stays."""
    issuer = await here.ca()
    template = {"labels": {"team": "a", "old": "x"}, "annotations": {"note": "n", "gone": "y"}}
    await here.certificate("leaf", issuer, secretTemplate=template)
    await here.ready("Certificate", "leaf")
    await here.edit("Secret", "leaf", {"metadata": {"labels": {"theirs": "1"}}})
    await here.edit(
        "Certificate",
        "leaf",
        {"spec": {"secretTemplate": {"labels": {"team": "b", "old": None}, "annotations": {"gone": None}}}},
    )

    async def followed() -> bool:
        meta = (await secret_of(here, "leaf"))["metadata"]
        return (
            meta["labels"] == {"controller.cert-manager.io/fao": "true", "team": "b", "theirs": "1"}
            and meta["annotations"].get("note") == "n"
            and "gone" not in meta["annotations"]
        )

    await here.until("the Secret follows the template", followed)
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1


async def test_history_limit(here: World) -> None:
    """No more CertificateRequests stay than the limit says, the newest ones."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, revisionHistoryLimit=2)
    for number in range(4):
        await here.edit("Certificate", "leaf", {"spec": {"dnsNames": [f"n{number}.example"]}})
        await here.ready("Certificate", "leaf")
    revision = (await here.settled("Certificate", "leaf"))["status"]["revision"]

    async def trimmed() -> bool:
        names = {r["metadata"]["name"] for r in await here.list("CertificateRequest")}
        return names - {"root-ca-1"} == {f"leaf-{revision}", f"leaf-{revision - 1}"}

    await here.until("old requests are deleted", trimmed)


async def test_owner_reference(cluster: Cluster, namespace: str) -> None:
    """With the setting, and only with it, a Secret belongs to its Certificate and goes with it."""
    async with world(cluster, namespace, enable_certificate_owner_ref=True) as here:
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        assert [o["kind"] for o in (await secret_of(here, "leaf"))["metadata"]["ownerReferences"]] == ["Certificate"]


async def test_everything_a_certificate_can_say(here: World, tmp_path: Path) -> None:
    """Each supported field reaches the certificate, as OpenSSL reads it."""
    issuer = await here.ca()
    await here.certificate(
        "leaf",
        issuer,
        commonName="leaf.example",
        subject={
            "organizations": ["Org, Inc."],
            "countries": ["DE"],
            "organizationalUnits": ["Unit"],
            "localities": ["Town"],
            "provinces": ["State"],
            "streetAddresses": ["Street 1"],
            "postalCodes": ["12345"],
            "serialNumber": "42",
        },
        dnsNames=["leaf.example", "*.leaf.example"],
        ipAddresses=["10.0.0.1", "fd00::1"],
        uris=["spiffe://td.example/ns/x/sa/y"],
        emailAddresses=["a@leaf.example"],
        otherNames=[{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "upn@leaf.example"}],
        duration="5h",
        renewBefore="1h",
        usages=["digital signature", "server auth", "client auth"],
        privateKey={"algorithm": "ECDSA", "size": 384, "encoding": "PKCS8"},
    )
    found = await here.ready("Certificate", "leaf")
    secret = await secret_of(here, "leaf")
    assert data(secret, "tls.key").startswith(b"-----BEGIN PRIVATE KEY-----")
    (tmp_path / "tls.crt").write_bytes(data(secret, "tls.crt"))
    text = openssl("x509", "-in", str(tmp_path / "tls.crt"), "-noout", "-text")
    for part in (
        "DNS:leaf.example, DNS:*.leaf.example",
        "email:a@leaf.example",
        "IP Address:10.0.0.1",
        "IP Address:FD00:0:0:0:0:0:0:1",
        "URI:spiffe://td.example/ns/x/sa/y",
        "othername",
        "(384 bit)",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "Org, Inc.",
        "Street 1",
    ):
        assert part in text, part
    leaf = chain(data(secret, "tls.crt"))[0]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=5)
    due = (leaf.not_valid_after_utc - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found["status"]["renewalTime"] == due
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1


async def test_metrics(here: World) -> None:
    """A Certificate has its series under cert-manager's names while it exists, and none afterwards."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer)
    found = await here.ready("Certificate", "leaf")
    labels = {"name": "leaf", "namespace": here.namespace, "issuer_name": issuer}
    labels |= {"issuer_kind": "ClusterIssuer", "issuer_group": ""}

    def value(name: str, **more: str) -> float | None:
        return here.metrics.registry.get_sample_value(name, labels | more)

    async def counted() -> bool:
        return value("certmanager_certificate_ready_status", condition="True") == 1

    await here.until("the metric", counted)
    assert value("certmanager_certificate_ready_status", condition="False") == 0
    end = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0].not_valid_after_utc.timestamp()
    assert value("certmanager_certificate_expiration_timestamp_seconds") == end
    assert value("certmanager_certificate_renewal_timestamp_seconds") is not None
    assert found["status"]["revision"] == 1
    await here.delete("Certificate", "leaf")

    async def gone() -> bool:
        return value("certmanager_certificate_ready_status", condition="True") is None

    await here.until("the metric goes", gone)
