"""Names that no object can have, where a tenant may write them: the object that refers to one is told, and nothing is tried blindly."""

import pytest

from tests.integration.certificates.asking import ask
from tests.integration.slow_controllers import Json, World, condition

pytestmark = pytest.mark.integration

NAMES = ("../x", "a/b", "own/", "%2e%2e", "..", "a%2fb")


def said(found: Json) -> str:
    ready = condition(found, "Ready")
    assert ready is not None
    return str(ready["message"])


@pytest.fixture(autouse=True)
def nothing_unforeseen(caplog: pytest.LogCaptureFixture) -> object:
    yield
    assert "unforeseen" not in caplog.text


async def test_of_a_requests_key(here: World) -> None:
    """A selfSigned request whose annotation names no Secret that there can be says that it is missing."""
    issuer = await here.issuer("self", {"selfSigned": {}})
    for number, name in enumerate(NAMES):
        await ask(here, issuer, f"asked-{number}", notes={"cert-manager.io/private-key-secret-name": name})
    for number, name in enumerate(NAMES):
        found = await here.condition("CertificateRequest", f"asked-{number}", status="False", reason="Pending")
        assert f"{here.namespace}/{name} not found" in said(found)


async def test_of_a_keystores_password(here: World) -> None:
    """A keystore whose password is in a Secret that there cannot be keeps its Certificate from being Ready, in words."""
    issuer = await here.ca()
    for number, name in enumerate(NAMES):
        ref = {"create": True, "passwordSecretRef": {"name": name, "key": "it"}}
        await here.certificate(f"leaf-{number}", issuer, keystores={"pkcs12": ref})
    for number, name in enumerate(NAMES):

        async def told(leaf: str = f"leaf-{number}", name: str = name) -> bool:
            found = await here.get("Certificate", leaf)
            return found is not None and "status" in found and name in said(found)

        await here.until(f"a word on the Secret {name}", told)


async def test_of_the_next_key(here: World) -> None:
    """A name of the next key's Secret that somebody wrote into the status, and that no Secret can have, is replaced by ours."""
    issuer = await here.ca()
    for number, name in enumerate(NAMES):
        leaf = f"leaf-{number}"
        await here.certificate(leaf, issuer)
        await here.ready("Certificate", leaf)
        condition = {
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "by hand",
            "lastTransitionTime": here.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        there = await here.get("Certificate", leaf)
        assert there is not None
        status = {"nextPrivateKeySecretName": name, "conditions": [*there["status"]["conditions"], condition]}
        await here.edit("Certificate", leaf, {"status": status}, "status")

        async def issued(leaf: str = leaf) -> bool:
            found = await here.get("Certificate", leaf)
            return found is not None and found["status"].get("revision") == 2

        await here.until("a second certificate", issued)
