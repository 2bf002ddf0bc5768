"""The status of issuers on the real API server: cert-manager's reasons, kept up to date, never written in vain."""

import base64

import pytest

from tests.integration.slow_controllers import Json, World, condition

pytestmark = pytest.mark.integration


def ready(issuer: Json) -> Json:
    found = condition(issuer, "Ready")
    assert found is not None
    return found


async def test_self_signed(here: World) -> None:
    """A selfSigned issuer is ready at once, with the generation that was looked at."""
    name = await here.issuer("selfsigned", {"selfSigned": {}})
    found = await here.ready("ClusterIssuer", name)
    assert ready(found)["reason"] == "IsReady"
    assert ready(found)["observedGeneration"] == 1


async def test_ca(here: World) -> None:
    """A ca issuer with a good CA is ready in cert-manager's words."""
    name = await here.ca()
    found = await here.ready("ClusterIssuer", name)
    assert (ready(found)["reason"], ready(found)["message"]) == ("KeyPairVerified", "Signing CA verified")


async def test_namespaced(here: World) -> None:
    """An Issuer has its status as a ClusterIssuer has."""
    await here.create("Issuer", "local", {"selfSigned": {}})
    await here.ready("Issuer", "local")


async def test_secret_lost_and_restored(here: World) -> None:
    """A CA whose Secret goes is not ready, and is again as soon as the same Secret is back."""
    name = await here.ca()
    await here.delete("Certificate", "root-ca")
    secret = await here.get("Secret", "root-ca")
    assert secret is not None
    await here.delete("Secret", "root-ca")
    lost = await here.condition("ClusterIssuer", name, status="False", reason="ErrGetKeyPair")
    since = ready(lost)["lastTransitionTime"]
    await here.create("Secret", "root-ca", {"type": secret["type"], "data": secret["data"]})
    found = await here.ready("ClusterIssuer", name)
    assert ready(found)["lastTransitionTime"] >= since


async def test_not_a_ca(here: World) -> None:
    """A certificate that is not a CA is told as such."""
    selfsigned = await here.issuer("selfsigned", {"selfSigned": {}})
    await here.certificate("leaf", selfsigned)
    name = await here.issuer("wrong", {"ca": {"secretName": "leaf"}})
    await here.condition("ClusterIssuer", name, status="False", reason="ErrInvalidKeyPair")


async def test_another_ones_key(here: World) -> None:
    """A CA whose key is another one's is not ready: everything it signed would be worthless."""
    await here.ca("one")
    await here.ca("two")
    one, two = await here.get("Secret", "one-ca"), await here.get("Secret", "two-ca")
    assert one is not None
    assert two is not None
    mixed = {**one["data"], "tls.key": two["data"]["tls.key"]}
    await here.create("Secret", "mixed", {"type": "kubernetes.io/tls", "data": mixed})
    name = await here.issuer("mixed", {"ca": {"secretName": "mixed"}})
    found = await here.condition("ClusterIssuer", name, status="False", reason="ErrInvalidKeyPair")
    assert "tls.key" in ready(found)["message"]
    assert base64.b64decode(two["data"]["tls.key"]).decode().splitlines()[1] not in str(found)


@pytest.mark.parametrize("kind", ["vault"])
async def test_unsupported_type(here: World, kind: str) -> None:
    """A type that is not supported yet is named, and the issuer is not ready."""
    spec: Json = {
        "vault": {"server": "https://vault.example", "path": "pki/sign/x", "auth": {"tokenSecretRef": {"name": "t"}}},
    }
    name = await here.issuer(kind, {kind: spec[kind]})
    found = await here.condition("ClusterIssuer", name, status="False")
    assert f"spec.{kind}" in ready(found)["message"]


async def test_restart_changes_nothing(here: World) -> None:
    """A status that is right stays to the letter, transition time included, when the controllers start again."""
    name = await here.ca()
    before = await here.settled("ClusterIssuer", name)
    await here.restart()
    await here.touch("ClusterIssuer", name)
    assert (await here.settled("ClusterIssuer", name))["status"] == before["status"]


async def test_overwritten_status(here: World) -> None:
    """What somebody else wrote into the condition is put right."""
    name = await here.ca()
    forged = {"type": "Ready", "status": "False", "reason": "Forged", "message": "no"}
    await here.edit("ClusterIssuer", name, {"status": {"conditions": [forged]}}, "status")
    await here.condition("ClusterIssuer", name, status="True", reason="KeyPairVerified")
