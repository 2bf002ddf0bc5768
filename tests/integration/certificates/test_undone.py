"""Whatever of a Certificate somebody else undoes again and again: both go on, ever more slowly, and he is named."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.event import EVENTS
from signer.api.secret import SECRETS
from signer.kube.errors import ApiError
from signer.observe.undone import UNDONE
from tests import pki
from tests.integration.certificates.asking import ask
from tests.integration.certificates.secrets_of import data, secret_of
from tests.integration.certificates.test_stuck import Admission, admission
from tests.integration.slow_controllers import Json, World, chain, condition

__all__ = ["admission"]
pytestmark = pytest.mark.integration

JUNK = base64.b64encode(b"theirs").decode()


async def message_of(here: World, name: str) -> str:
    """What the Event says that names who undoes."""
    found = await here.client.list(EVENTS, here.namespace)
    return next(
        (one["message"] for one in found if one["reason"] == UNDONE and one["involvedObject"]["name"] == name), ""
    )


async def overwrite(here: World, patch: Json, until: Callable[[], Awaitable[object]]) -> int:
    """Put this into the Secret each time that it is something else; how often that was until the answer is true."""
    times = 0

    async def undo() -> object:
        nonlocal times
        before = await secret_of(here, "leaf")
        after = await here.client.patch(SECRETS, "leaf", patch, namespace=here.namespace, field_manager="sync")
        times += before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"]
        return await until()

    await here.until("the end of it", undo)
    return times


@pytest.mark.parametrize(
    ("patch", "worse"),
    [
        ({"data": {"ca.crt": JUNK}}, True),
        ({"data": {"tls.crt": JUNK}}, True),
        ({"data": {"ca.crt": None}}, True),
        ({"metadata": {"annotations": {"cert-manager.io/alt-names": "theirs.example"}}}, False),
    ],
    ids=["root", "certificate", "root-removed", "annotation"],
)
async def test_what_is_put_back(here: World, patch: Json, worse: bool) -> None:
    """No new certificate is made for what can be put back; when it is undone each time that is said, by whom, and slowed down."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")

    async def said() -> Json | None:
        found = await here.get("Certificate", "leaf") or {}
        ready = condition(found, "Ready") or {}
        return found if "is put back, and undone each time" in ready["message"] else None

    times = await overwrite(here, patch, said)
    assert times <= 6
    found = await said()
    assert found is not None
    ready = condition(found, "Ready") or {}
    assert (ready["reason"], ready["status"]) == (UNDONE, "False" if worse else "True")
    if patch != {"data": {"ca.crt": None}}:
        assert "written by 'sync' too" in ready["message"]
    assert found["status"]["revision"] == 1
    assert await here.until("an Event", lambda: message_of(here, "leaf")) in ready["message"]


async def test_a_status_that_is_undone(here: World) -> None:
    """Somebody who writes another status each time is named in an Event, and does not make us write for ever."""
    issuer = await here.issuer("selfsigned", {"selfSigned": {}})
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    theirs: Json = {"type": "Ready", "status": "False", "reason": "Theirs", "message": "no"}
    times = 0

    async def undo() -> str:
        nonlocal times
        found = await here.get("Certificate", "leaf") or {}
        if (condition(found, "Ready") or {}).get("reason") != "Theirs":
            times += 1
            body = {"status": {"conditions": [theirs]}}
            await here.client.patch(
                CERTIFICATES, "leaf", body, namespace=here.namespace, subresource="status", field_manager="twin"
            )
        return await message_of(here, "leaf")

    message = await here.until("an Event", undo)
    assert "the status is put back, and undone each time; written by 'twin' too" in message
    assert times <= 6
    for _ in range(20):  # what waits stays as it is
        await asyncio.sleep(0.05)
        await undo()
    assert times <= 6


async def test_what_is_refused_is_not_undone(here: World, admission: Admission) -> None:
    """A Secret that may not be written for a while counts for nothing: at the first moment that it may, it is."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    before = await secret_of(here, "leaf")
    words = f"not in {here.namespace}"
    await here.stop()
    await here.edit("Secret", "leaf", {"data": {"ca.crt": JUNK}})
    await admission.refuse("secrets", "", "object.metadata.name != 'leaf'", words)
    while True:
        try:
            await here.edit("Secret", "leaf", {"metadata": {"annotations": {"test/probe": str(time.monotonic())}}})
        except ApiError as error:
            if words not in error.message:
                raise
            break
    await here.start()

    async def refused() -> bool:
        return "WriteFailed" in await here.events("leaf")

    await here.until("a refusal", refused)
    for _ in range(8):
        await here.touch("Certificate", "leaf")
        await asyncio.sleep(0.1)
    await admission.remove()

    async def back() -> bool:
        await here.touch("Certificate", "leaf")
        return bool((await secret_of(here, "leaf"))["data"] == before["data"])

    await here.until("the root is back", back)
    assert UNDONE not in await here.events("leaf")
    await here.ready("Certificate", "leaf")


class TestACAsSecret:
    async def test_by_hand(self, here: World) -> None:
        """Another CA that somebody puts into the Secret of a CA's Certificate each time ends in one pace, and he is named."""
        issuer = await here.ca()
        theirs = pki.CA("theirs").secret()
        pair = {name: base64.b64encode(theirs[name]).decode() for name in ("tls.crt", "tls.key", "ca.crt")}
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")

        async def undo() -> Json | None:
            found = await here.get("Certificate", "root-ca") or {}
            if (await secret_of(here, "root-ca"))["data"]["tls.crt"] != pair["tls.crt"]:
                await here.client.patch(
                    SECRETS, "root-ca", {"data": pair}, namespace=here.namespace, field_manager="sync"
                )
            ready = condition(found, "Ready") or {}
            return found if ready.get("reason") == UNDONE else None

        found = await here.until("it is said", undo)
        assert "written by 'sync' too" in (condition(found, "Ready") or {})["message"]
        assert found["status"]["revision"] <= 5
        await here.ready("ClusterIssuer", issuer)
        # What was signed before is left as it is.
        assert (await here.get("Certificate", "leaf") or {})["status"]["revision"] == 1

    async def test_by_a_certificate_that_is_no_ca(self, here: World) -> None:
        """Who is no CA and names the Secret of one, whose Certificate is gone, gets nothing: the issuer signs on."""
        issuer = await here.ca()
        await here.delete("Certificate", "root-ca")
        before = await secret_of(here, "root-ca")
        await here.certificate("slip", issuer, secretName="root-ca")
        found = await here.condition("Certificate", "slip", status="False", reason="SecretNotOwned")
        assert issuer in (condition(found, "Ready") or {})["message"]
        assert (await secret_of(here, "root-ca"))["data"] == before["data"]
        await here.ready("ClusterIssuer", issuer)

    async def test_by_another_ca_certificate(self, here: World) -> None:
        """A CA's Certificate under another name takes over with the same key, so what was signed before verifies on."""
        issuer = await here.ca()
        before = chain(data(await secret_of(here, "root-ca"), "tls.crt"))[0]
        await here.delete("Certificate", "root-ca")
        selfsigned = f"{here.namespace}-selfsigned-root"
        await here.certificate("heir", selfsigned, secretName="root-ca", isCA=True, commonName="root-ca")
        await here.ready("Certificate", "heir")
        after = chain(data(await secret_of(here, "root-ca"), "tls.crt"))[0]
        assert after.public_key() == before.public_key()
        assert after.subject == before.subject
        await here.ready("ClusterIssuer", issuer)


async def test_a_request_whose_status_is_undone(here: World) -> None:
    """A CertificateRequest whose answer somebody takes away each time is not signed for ever."""
    issuer = await here.ca()
    await ask(here, issuer)
    await here.ready("CertificateRequest", "asked")
    made: set[str] = set()

    async def undo() -> str:
        found = await here.get("CertificateRequest", "asked") or {}
        status = found.get("status") or {}
        if status.get("certificate"):
            made.add(status["certificate"])
            kept = [one for one in status["conditions"] if one["type"] != "Ready"]
            body = {"status": {"conditions": kept, "certificate": None, "ca": None}}
            await here.client.patch(
                CERTIFICATE_REQUESTS,
                "asked",
                body,
                namespace=here.namespace,
                subresource="status",
                field_manager="twin",
            )
        return await message_of(here, "asked")

    message = await here.until("an Event", undo)
    assert "the status is put back, and undone each time" in message
    for _ in range(20):
        await asyncio.sleep(0.05)
        await undo()
    assert len(made) <= 6
