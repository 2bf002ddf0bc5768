"""Who may write in one namespace makes no difference to the Certificates of another, whatever his objects say."""

import base64
from collections.abc import AsyncIterator

import pytest

from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.namespace import NAMESPACES
from signer.api.secret import NEXT_KEY_LABEL, SECRETS
from tests import pki
from tests.integration.certificates.secrets_of import secret_of
from tests.integration.slow_controllers import Json, World

pytestmark = pytest.mark.integration


@pytest.fixture
async def next_door(here: World) -> AsyncIterator[str]:
    """Another namespace, which the attacker may write in."""
    name = f"{here.namespace}-thief"
    await here.client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await here.client.delete(NAMESPACES, name)


@pytest.mark.parametrize("own_csr", [True, False], ids=["his-own-csr", "the-victims-csr"])
@pytest.mark.parametrize("revision", [1, 999])
async def test_a_request_of_another_namespace(here: World, next_door: str, own_csr: bool, revision: int) -> None:
    """A CertificateRequest and a next key next door, said to be this Certificate's, are looked at neither now nor later."""
    issuer = await here.ca()
    await here.certificate("web", issuer)
    await here.ready("Certificate", "web")
    certificate = await here.settled("Certificate", "web")
    before = await secret_of(here, "web")
    found = await here.client.list(CERTIFICATE_REQUESTS, here.namespace)
    (victims,) = (one for one in found if one["metadata"]["name"].startswith("web-"))
    text = base64.b64encode(pki.csr(subject=pki.name("web"))).decode() if own_csr else victims["spec"]["request"]
    owners: list[Json] = [
        # An owner of a kind that nobody knows keeps the garbage collector from deleting the object.
        {"apiVersion": "nope.example/v1", "kind": "Nope", "name": "nope", "uid": "nope"},
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "name": "web",
            "uid": certificate["metadata"]["uid"],
            "controller": True,
        },
    ]
    annotations = victims["metadata"]["annotations"] | {"cert-manager.io/certificate-revision": str(revision)}
    meta: Json = {"name": "aaa", "namespace": next_door, "ownerReferences": owners}
    await here.client.create(
        SECRETS,
        {
            "metadata": meta
            | {"labels": {NEXT_KEY_LABEL: "true", "controller.cert-manager.io/fao": "true"}, "name": "key"},
            "data": {"tls.key": base64.b64encode(pki.key_pem(pki.key("p256"))).decode()},
        },
    )
    await here.client.create(
        CERTIFICATE_REQUESTS,
        {
            "metadata": meta | {"annotations": annotations},
            "spec": {"request": text, "issuerRef": {"name": "ca", "kind": "Issuer"}},
        },
    )
    await here.touch("Certificate", "web")
    await here.restart()
    await here.settled("Certificate", "web")
    after = await secret_of(here, "web")
    assert (after["data"], after["metadata"]["annotations"]) == (before["data"], before["metadata"]["annotations"])
    await here.edit("Certificate", "web", {"spec": {"commonName": None, "dnsNames": ["web.example"]}})

    async def issued() -> bool:
        now = await here.get("Certificate", "web")
        return now is not None and now["status"].get("revision") == 2

    await here.until("a second certificate", issued)
    await here.ready("Certificate", "web")
    assert (await secret_of(here, "web"))["data"]["ca.crt"] == before["data"]["ca.crt"]
    assert await here.client.get(SECRETS, "key", next_door)
