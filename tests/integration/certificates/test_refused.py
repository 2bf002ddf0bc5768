"""Certificates on the real API server: what is not ours, and what is refused."""

import contextlib

import pytest

from signer.kube.errors import Invalid
from tests.integration.certificates.secrets_of import secret_of
from tests.integration.slow_controllers import Json, World, condition

pytestmark = pytest.mark.integration


class TestNotOurs:
    async def test_two_certificates_one_secret(self, here: World) -> None:
        """Of two Certificates on one Secret the older has it, and the other says whose it is; it gets it when that goes."""
        issuer = await here.ca()
        await here.stop()
        await here.certificate("one", issuer, secretName="shared")

        async def a_second_later() -> bool:
            found = await here.get("Certificate", "one") or {}
            return here.now().strftime("%Y-%m-%dT%H:%M:%SZ") > str(found["metadata"]["creationTimestamp"])

        await here.until("the next second", a_second_later)
        await here.certificate("another", issuer, secretName="shared")
        await here.start()
        await here.ready("Certificate", "one")
        found = await here.condition("Certificate", "another", status="False", reason="DuplicateSecretName")
        assert "Secret shared is Certificate one's" in condition(found, "Ready")["message"]  # type: ignore[index]
        await here.delete("Certificate", "one")
        await here.ready("Certificate", "another")

    async def test_a_newcomer_takes_nothing(self, here: World) -> None:
        """A newcomer that names an issued Secret is not Ready and is told who has it; the owner stays Ready and is renewed."""
        issuer = await here.ca()
        await here.certificate("owner", issuer, secretName="shared")
        await here.ready("Certificate", "owner")
        before = await secret_of(here, "shared")
        await here.certificate("newcomer", issuer, secretName="shared")
        found = await here.condition("Certificate", "newcomer", status="False", reason="DuplicateSecretName")
        assert "Secret shared is Certificate owner's" in condition(found, "Ready")["message"]  # type: ignore[index]
        await here.touch("Certificate", "owner")
        await here.settled("Certificate", "newcomer")
        await here.settled("Certificate", "owner")
        await here.ready("Certificate", "owner")
        assert (await secret_of(here, "shared"))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        await here.edit("Certificate", "owner", {"spec": {"dnsNames": ["one.example"]}})

        async def renewed() -> bool:
            notes = (await secret_of(here, "shared"))["metadata"]["annotations"]
            return bool(notes["cert-manager.io/alt-names"] == "one.example")

        await here.until("the new certificate", renewed)
        await here.ready("Certificate", "owner")
        await here.condition("Certificate", "newcomer", status="False", reason="DuplicateSecretName")

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

    async def test_an_empty_opaque_secret_is_filled(self, here: World) -> None:
        """An empty Secret of type Opaque is filled, and keeps its type and what others noted on it."""
        issuer = await here.ca()
        note = {"sync.example.com/to": "*"}
        await here.create("Secret", "leaf", {"type": "Opaque"}, annotations=note)
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")
        secret = await secret_of(here, "leaf")
        assert secret["type"] == "Opaque"
        assert note.items() <= secret["metadata"]["annotations"].items()
        assert set(secret["data"]) == {"tls.key", "tls.crt", "ca.crt"}

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
            ("keystores", {"pkcs12": {"create": True, "password": "a\U0001f600"}}),
            ("literalSubject", "XX=leaf"),
            ("literalSubject", "CN=leaf,"),
        ],
    )
    async def test_a_field_that_cannot_be_fulfilled(self, here: World, field: str, value: object) -> None:
        """A field whose value makes no certificate or keystore is named in the Ready condition, and nothing is issued."""
        issuer = await here.ca()
        await here.certificate("leaf", issuer, commonName=None, dnsNames=["leaf.example"], **{field: value})
        found = await here.condition("Certificate", "leaf", status="False", reason="InvalidSpec")
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

    async def test_a_ca_is_to_get_new_keys(self, here: World) -> None:
        """RotationPolicy Always on a CA that is there is told at once, and not at its renewal."""
        await here.ca()
        assert "CAKeyRotation" not in await here.events("root-ca")
        await here.edit("Certificate", "root-ca", {"spec": {"privateKey": {"rotationPolicy": "Always"}}})

        async def warned() -> bool:
            return "CAKeyRotation" in await here.events("root-ca")

        await here.until("a warning about the rotation", warned)

    async def test_a_ca_whose_secret_was_deleted(self, here: World) -> None:
        """A CA's Secret deleted "to renew" it: the new key is told, with what it costs."""
        await here.ca()
        assert "CAKeyLost" not in await here.events("root-ca")
        await here.delete("Secret", "root-ca")

        async def warned() -> bool:
            return "CAKeyLost" in await here.events("root-ca")

        await here.until("a warning about the key", warned)
