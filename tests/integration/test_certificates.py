"""Certificates on the real API server: issued, kept, mended, renewed, refused."""

import asyncio
import base64
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from signer.kube.errors import Invalid
from tests.integration.slow_controllers import CRDS, Json, World, chain, condition, install_crds, openssl, world
from tests.localmesh import Cluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    install_crds(cluster)


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[World]:
    async with world(cluster, namespace) as found:
        yield found


def data(secret: Json, key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


async def secret_of(here: World, name: str) -> Json:
    found = await here.get("Secret", name)
    assert found is not None
    return found


async def test_the_istio_task(here: World, tmp_path: Path) -> None:
    """A self-signed issuer, a CA Certificate with nothing but defaults and a CA issuer become ready, and sign a leaf."""
    issuer = await here.ca("foo", privateKey=None)
    await here.certificate("leaf", issuer, dnsNames=["leaf.example"], usages=["server auth"])
    certificate = await here.ready("Certificate", "leaf")

    secret = await secret_of(here, "leaf")
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["labels"] == {"controller.cert-manager.io/fao": "true"}
    assert secret["metadata"]["annotations"] == {
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
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 90
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


class TestKeeping:
    async def test_deleted_secret(self, here: World) -> None:
        """A deleted Secret is issued anew at once, with the next revision."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        before = await secret_of(here, "leaf")
        await here.delete("Secret", "leaf")

        async def back() -> Json | None:
            return await here.get("Secret", "leaf")

        after = await here.until("the Secret is back", back)
        assert data(after, "tls.crt") != data(before, "tls.crt")
        await here.ready("Certificate", "leaf")
        assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 2

    @pytest.mark.parametrize(
        "patch",
        [
            {"data": {"ca.crt": base64.b64encode(b"another root").decode()}},
            {"data": {"ca.crt": None}},
            {"data": {"tls.crt": base64.b64encode(b"no certificate").decode()}},
            {"metadata": {"labels": {"controller.cert-manager.io/fao": None}}},
            {"metadata": {"annotations": {"cert-manager.io/certificate-name": None}}},
            {"metadata": {"annotations": {"cert-manager.io/alt-names": "evil.example"}}},
        ],
        ids=["ca-swapped", "ca-removed", "certificate-broken", "label-removed", "name-removed", "annotation-changed"],
    )
    async def test_mended(self, here: World, patch: Json) -> None:
        """What somebody changed in a Secret is put back, without a new certificate, while its key is the right one."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        before = await secret_of(here, "leaf")
        await here.edit("Secret", "leaf", patch)

        async def mended() -> bool:
            now = await secret_of(here, "leaf")
            return now["data"] == before["data"] and all(
                now["metadata"].get(part) == before["metadata"][part] for part in ("labels", "annotations")
            )

        await here.until("the Secret is as before", mended)
        assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1
        await here.ready("Certificate", "leaf")

    async def test_mended_root(self, here: World) -> None:
        """The CA's own Secret is mended too, and its issuer is ready again."""
        issuer = await here.ca()
        before = await secret_of(here, "root-ca")
        await here.edit("Secret", "root-ca", {"data": {"tls.crt": base64.b64encode(b"junk").decode()}})

        async def mended() -> bool:
            return bool((await secret_of(here, "root-ca"))["data"] == before["data"])

        await here.until("the CA is back", mended)
        await here.ready("ClusterIssuer", issuer)

    async def test_exchanged_key(self, here: World) -> None:
        """A Secret whose key was exchanged gets a new certificate for a new key."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.certificate("other", issuer)
        await here.ready("Certificate", "leaf")
        await here.ready("Certificate", "other")
        other = await secret_of(here, "other")
        await here.edit("Secret", "leaf", {"data": {"tls.key": other["data"]["tls.key"]}})

        async def renewed() -> bool:
            found = await here.get("Certificate", "leaf")
            return found is not None and found["status"].get("revision") == 2

        await here.until("revision 2", renewed)
        assert (await secret_of(here, "leaf"))["data"]["tls.key"] != other["data"]["tls.key"]

    async def test_changed_spec(self, here: World) -> None:
        """A changed spec leads to a certificate that fulfils it."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer, dnsNames=["a.example"])
        await here.ready("Certificate", "leaf")
        await here.edit("Certificate", "leaf", {"spec": {"dnsNames": ["b.example"]}})
        found = await here.ready("Certificate", "leaf")
        assert found["status"]["revision"] == 2
        assert (await secret_of(here, "leaf"))["metadata"]["annotations"]["cert-manager.io/alt-names"] == "b.example"

    async def test_renewal(self, here: World) -> None:
        """At its renewal time, not before, a certificate is issued anew: a leaf with a new key, a CA with its old one."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        before = {name: await secret_of(here, name) for name in ("leaf", "root-ca")}
        await here.restart(timedelta(days=59))
        for name in before:
            assert (await here.settled("Certificate", name))["status"]["revision"] == 1
        await here.restart(timedelta(days=61))

        async def renewed() -> bool:
            found = [await here.get("Certificate", name) or {} for name in before]
            return all(one["status"].get("revision", 0) >= 2 for one in found)

        await here.until("both are renewed", renewed)
        leaf, root = await secret_of(here, "leaf"), await secret_of(here, "root-ca")
        assert leaf["data"]["tls.key"] != before["leaf"]["data"]["tls.key"]
        assert root["data"]["tls.key"] == before["root-ca"]["data"]["tls.key"]
        old, new = (chain(data(secret, "tls.crt"))[0] for secret in (before["root-ca"], root))
        assert new.subject == old.subject
        assert new.not_valid_after_utc > old.not_valid_after_utc

    async def test_renewal_by_hand(self, here: World) -> None:
        """The Issuing condition alone, as cmctl sets it, starts an issuance."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        certificate = await here.ready("Certificate", "leaf")
        conditions = [
            *certificate["status"]["conditions"],
            {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by hand"},
        ]
        await here.edit("Certificate", "leaf", {"status": {"conditions": conditions}}, "status")

        async def renewed() -> bool:
            found = await here.get("Certificate", "leaf") or {}
            return bool(found["status"]["revision"] == 2 and condition(found, "Issuing") is None)

        await here.until("revision 2", renewed)


class TestRestart:
    @pytest.mark.parametrize("seed", range(3))
    async def test_killed_again_and_again(self, here: World, seed: int) -> None:
        """Killed at any moments, the controllers issue a Certificate once: one revision, one request, its certificate."""
        dice = random.Random(seed)
        issuer = await here.ca()
        names = [f"leaf-{number}" for number in range(4)]
        for name in names:
            await here.certificate(name, issuer)
        for _ in range(12):
            await asyncio.sleep(dice.random() * 0.15)
            await here.stop()
            await here.start()
        for name in names:
            await here.ready("Certificate", name)
            assert (await here.settled("Certificate", name))["status"]["revision"] == 1
            requests = [r for r in await here.list("CertificateRequest") if r["metadata"]["name"].startswith(name)]
            assert [r["metadata"]["name"] for r in requests] == [f"{name}-1"]
            secret = await secret_of(here, name)
            assert base64.b64decode(requests[0]["status"]["certificate"]) == data(secret, "tls.crt")

    async def test_sigkill(self, cluster: Cluster, namespace: str) -> None:
        """A process ended by SIGKILL at random moments is followed by one that finishes each issuance once."""
        dice = random.Random(11)
        cluster.apply_kustomize(CRDS.parent / "base")
        async with world(cluster, namespace) as here:
            await here.stop()  # the process does the work, the test only asks
            signer = SignerProcess(
                cluster,
                "--controllers=issuers,certificates,certificaterequests",
                "--leader-elect=false",
                f"--cluster-resource-namespace={namespace}",
                account=CONTROLLERS_ACCOUNT,
            )
            await asyncio.to_thread(signer.start, wait=False)
            try:
                issuer = await here.ca()
                names = [f"leaf-{number}" for number in range(10)]
                for name in names:
                    await here.certificate(name, issuer)
                for _ in range(4):
                    await asyncio.sleep(dice.random() * 0.4)
                    await asyncio.to_thread(signer.kill)
                    await asyncio.to_thread(signer.start, wait=False)
                for name in names:
                    await here.ready("Certificate", name)
                    assert (await here.settled("Certificate", name, 5))["status"]["revision"] == 1
                    request = await here.get("CertificateRequest", f"{name}-1")
                    assert request is not None
                    assert request["status"]["certificate"] == (await secret_of(here, name))["data"]["tls.crt"]
                assert len(await here.list("CertificateRequest")) == len(names) + 1
            finally:
                await asyncio.to_thread(signer.kill)

    async def test_the_last_key_is_left_over(self, here: World) -> None:
        """The next key's Secret that a killed process left behind is not used again: its key is the one in use."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        before = await secret_of(here, "leaf")
        certificate = await here.get("Certificate", "leaf")
        assert certificate is not None
        await here.stop()
        request = await here.get("CertificateRequest", "leaf-1")
        assert request is not None
        left = request["metadata"]["annotations"]["cert-manager.io/private-key-secret-name"]
        if await here.get("Secret", left) is None:
            labels = {"controller.cert-manager.io/fao": "true", "cert-manager.io/next-private-key": "true"}
            owners = request["metadata"]["ownerReferences"]
            key = {"type": "Opaque", "data": {"tls.key": before["data"]["tls.key"]}}
            await here.create("Secret", left, key, labels=labels, ownerReferences=owners)
        await here.edit("Certificate", "leaf", {"spec": {"dnsNames": ["leaf.example"]}})
        await here.start()
        await here.ready("Certificate", "leaf")
        assert (await secret_of(here, "leaf"))["data"]["tls.key"] != before["data"]["tls.key"]

        async def tidy() -> bool:
            return await here.get("Secret", left) is None

        await here.until("the leftover is deleted", tidy)


class TestNotOurs:
    async def test_two_certificates_one_secret(self, here: World) -> None:
        """Two Certificates on one Secret are both not Ready and nothing is issued, until one of them goes."""
        issuer = await here.ca()
        await here.stop()
        await here.certificate("one", issuer, secretName="shared")
        await here.certificate("two", issuer, secretName="shared")
        await here.start()
        for name in ("one", "two"):
            await here.condition("Certificate", name, status="False", reason="DuplicateSecretName")
        assert await here.get("Secret", "shared") is None
        await here.delete("Certificate", "two")
        await here.ready("Certificate", "one")

    async def test_a_second_one_comes_later(self, here: World) -> None:
        """A newcomer that names an issued Secret makes both not Ready, and changes nothing in the Secret."""
        issuer = await here.ca()
        await here.certificate("one", issuer, secretName="shared")
        await here.ready("Certificate", "one")
        before = await secret_of(here, "shared")
        await here.certificate("two", issuer, secretName="shared")
        for name in ("one", "two"):
            await here.condition("Certificate", name, status="False", reason="DuplicateSecretName")
        await here.settled("Certificate", "two")
        assert (await secret_of(here, "shared"))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]

    async def test_the_rightful_one_is_still_renewed(self, here: World) -> None:
        """A newcomer's mistake does not let the certificate in use end: the one that the Secret names goes on."""
        issuer = await here.ca()
        await here.certificate("one", issuer, secretName="shared")
        await here.ready("Certificate", "one")
        await here.certificate("two", issuer, secretName="shared")
        await here.condition("Certificate", "one", status="False", reason="DuplicateSecretName")
        await here.edit("Certificate", "one", {"spec": {"dnsNames": ["one.example"]}})

        async def renewed() -> bool:
            notes = (await secret_of(here, "shared"))["metadata"]["annotations"]
            return bool(notes["cert-manager.io/alt-names"] == "one.example")

        await here.until("the new certificate", renewed)
        await here.condition("Certificate", "one", status="False", reason="DuplicateSecretName")

    @pytest.mark.parametrize(
        ("there", "reason"),
        [
            ({"type": "Opaque", "stringData": {"password": "x"}}, "SecretTypeMismatch"),
            ({"type": "kubernetes.io/tls", "stringData": {"tls.crt": "c", "tls.key": "k"}}, "SecretNotOwned"),
            ({"type": "kubernetes.io/tls", "stringData": {"tls.crt": "", "tls.key": "k"}}, "SecretNotOwned"),
        ],
        ids=["another-type", "a-certificate", "a-key"],
    )
    async def test_somebody_elses_secret(self, here: World, there: Json, reason: str) -> None:
        """A Secret that was not written for the Certificate is not touched, and the Certificate says why it waits."""
        issuer = await here.ca()
        before = await here.create("Secret", "theirs", there)
        await here.certificate("leaf", issuer, secretName="theirs")
        found = await here.condition("Certificate", "leaf", status="False", reason=reason)
        assert "Secret theirs" in condition(found, "Ready")["message"]  # type: ignore[index]
        await here.settled("Certificate", "leaf")
        assert await secret_of(here, "theirs") == before

    async def test_an_empty_secret_is_taken(self, here: World) -> None:
        """An empty Secret of the right type may be filled."""
        issuer = await here.ca()
        await here.create("Secret", "leaf", {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "", "tls.key": ""}})
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")

    async def test_renamed_certificate(self, here: World) -> None:
        """The Secret of a Certificate that is gone passes to the one that names it now."""
        issuer = await here.ca()
        await here.certificate("old", issuer, secretName="shared")
        await here.ready("Certificate", "old")
        await here.delete("Certificate", "old")
        await here.certificate("new", issuer, secretName="shared")
        await here.ready("Certificate", "new")
        notes = (await secret_of(here, "shared"))["metadata"]["annotations"]
        assert notes["cert-manager.io/certificate-name"] == "new"


class TestRefused:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("keystores", {"pkcs12": {"create": True, "passwordSecretRef": {"name": "p", "key": "k"}}}),
            ("literalSubject", "CN=leaf"),
            ("additionalOutputFormats", [{"type": "DER"}]),
        ],
    )
    async def test_unsupported_field(self, here: World, field: str, value: object) -> None:
        """A field that is not supported is named in the Ready condition, and nothing is issued."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer, commonName=None, dnsNames=["leaf.example"], **{field: value})
        found = await here.condition("Certificate", "leaf", status="False", reason="UnsupportedField")
        assert f"spec.{field}" in condition(found, "Ready")["message"]  # type: ignore[index]
        await here.settled("Certificate", "leaf")
        assert await here.get("Secret", "leaf") is None
        assert [r["metadata"]["name"] for r in await here.list("CertificateRequest")] == ["root-ca-1"]

    async def test_one_bad_certificate_stops_no_other(self, here: World) -> None:
        """Beside Certificates that cannot be issued, the others are."""
        issuer = await here.ca()
        bad: list[Json] = [{"duration": "x"}, {"uris": ["no uri"]}, {"secretTemplate": {"labels": {"a b": "c"}}}]
        for number, fields in enumerate(bad):
            with contextlib.suppress(Invalid):  # the schema may refuse it at once, which is as good
                await here.certificate(f"bad-{number}", issuer, **fields)
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        stored = [name for one in await here.list("Certificate") if (name := one["metadata"]["name"]).startswith("bad")]
        assert stored
        for name in stored:
            await here.condition("Certificate", name, status="False")

    async def test_kept_key_of_another_kind(self, here: World) -> None:
        """A CA's key is not exchanged because the spec asks for another kind: a person must say so."""
        await here.ca()
        before = await secret_of(here, "root-ca")
        await here.edit("Certificate", "root-ca", {"spec": {"privateKey": {"size": 384}}})
        await here.condition("Certificate", "root-ca", status="False", reason="CannotRegenerateKey")
        assert (await secret_of(here, "root-ca"))["data"] == before["data"]
        await here.edit("Certificate", "root-ca", {"spec": {"privateKey": {"rotationPolicy": "Always"}}})
        await here.ready("Certificate", "root-ca")
        assert (await secret_of(here, "root-ca"))["data"]["tls.key"] != before["data"]["tls.key"]

        async def warned() -> bool:
            return "CAKeyRotation" in await here.events("root-ca")

        await here.until("a warning about the rotation", warned)


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
