"""Certificates on the real API server: kept, mended, renewed, and taken up again after a restart."""

import asyncio
import base64
import random
from datetime import timedelta

import pytest

from tests.integration.certificates.secrets_of import data, secret_of
from tests.integration.slow_controllers import Json, World, chain, condition, world
from tests.localmesh import Cluster
from tests.localmesh.install import install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration


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
        install(cluster, crds=None)
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
