"""What a leaf is told when its issuer has another CA, or one that ends soon; and that nothing is issued in vain or for ever."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from tests import pki
from tests.integration.certificates.test_worth import ca_issuer, data_of, renew, warning
from tests.integration.slow_controllers import Json, World, chain, condition
from tests.pki import CA, DAY

pytestmark = pytest.mark.integration

OTHER_CA = "IssuerHasAnotherCA"


def encoded(data: dict[str, bytes]) -> Json:
    return {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}}


async def noted(here: World, name: str, reason: str) -> str:
    """Wait until a Certificate is Ready with this reason, and an Event says the same; the message."""
    found = await here.condition("Certificate", name, status="True", reason=reason)
    message: str = (condition(found, "Ready") or {})["message"]
    assert await warning(here, name, reason) in message
    return message


@pytest.mark.parametrize("how", ["re-keyed", "re-pointed"])
async def test_another_ca(here: World, how: str) -> None:
    """Its leaves are told, with what to do, and stay as they are: Ready, and verified by the root beside them."""
    issuer = await ca_issuer(here, "one", CA("one").secret())
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    before = await data_of(here, "leaf")
    other = CA("one", private=pki.key("p256", n=4711)) if how == "re-keyed" else CA("two")
    if how == "re-keyed":
        await here.edit("Secret", "one", encoded(other.secret()))
    else:
        await here.create("Secret", "two", {"type": "kubernetes.io/tls", **encoded(other.secret())})
        await here.edit("ClusterIssuer", issuer, {"spec": {"ca": {"secretName": "two"}}})
    message = await noted(here, "leaf", OTHER_CA)
    assert f"ClusterIssuer {issuer} has another CA now" in message
    assert "Whoever trusts the present CA alone refuses it" in message
    assert f"mesh-signer renew leaf -n {here.namespace}" in message
    assert await data_of(here, "leaf") == before
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1
    await here.restart()
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1
    found = await here.get("Certificate", "leaf") or {}
    conditions = [*found["status"]["conditions"], renew()]
    await here.edit("Certificate", "leaf", {"status": {"conditions": conditions}}, "status")
    await here.condition("Certificate", "leaf", status="True", reason="Ready")
    assert (await data_of(here, "leaf"))["ca.crt"] == other.pem


async def test_another_ca_below_the_same_root(here: World) -> None:
    """Where the root is the same, that is said: there is nothing to do."""
    root = CA("root")
    issuer = await ca_issuer(here, "low", root.intermediate("low").secret())
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    other = root.intermediate("low", private=pki.key("p256", n=4712))
    await here.edit("Secret", "low", encoded(other.secret()))
    assert "Both lead to the same root" in await noted(here, "leaf", OTHER_CA)
    await here.edit("Secret", "low", encoded(root.intermediate("low").secret()))
    await here.condition("Certificate", "leaf", status="True", reason="Ready")


async def test_a_ca_that_ends_soon(here: World) -> None:
    """A certificate that was cut to its CA's end is not renewed again and again for the same end; when the CA is, it is."""
    private = pki.key("p256", n=4713)
    soon = CA("ends", private=private, not_after=datetime.now(UTC) + 20 * DAY)
    issuer = await ca_issuer(here, "ends", soon.secret())
    await here.certificate("leaf", issuer, renewBefore="360h")
    await here.ready("Certificate", "leaf")
    assert (
        chain((await data_of(here, "leaf"))["tls.crt"])[0].not_valid_after_utc == soon.certificate.not_valid_after_utc
    )
    await here.restart(timedelta(days=15))
    message = await noted(here, "leaf", "CAEndsSoon")
    assert "the renewal waits" in message
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1
    assert len(await here.list("CertificateRequest")) == 1
    renewed = CA("ends", private=private, not_after=datetime.now(UTC) + 200 * DAY)
    await here.edit("Secret", "ends", encoded(renewed.secret()))

    async def again() -> bool:
        found = await here.get("Certificate", "leaf") or {}
        return bool(found["status"].get("revision") == 2) and (condition(found, "Ready") or {})["reason"] == "Ready"

    await here.until("the renewal", again)


async def test_renewals_that_are_due_at_once(here: World) -> None:
    """An issuer of somebody else's that backdates its certificates gets a request now and then, and not one after the other."""
    theirs = CA("theirs", not_before=datetime.now(UTC) - 400 * DAY)
    ref = {"name": "theirs", "kind": "Issuer", "group": "issuers.example"}
    await here.certificate("leaf", "x", issuerRef=ref, renewBefore="720h", duration="2160h")

    async def answer() -> Json | None:
        for request in await here.list("CertificateRequest"):
            if request.get("status", {}).get("certificate") or condition(request, "Approved") is None:
                continue
            asked = base64.b64decode(request["spec"]["request"])
            made = pki.sign(theirs, asked, datetime.now(UTC) - 80 * DAY, datetime.now(UTC) + 10 * DAY)
            ready = {"type": "Ready", "status": "True", "reason": "Issued", "message": "ok"}
            kept = [*request.get("status", {}).get("conditions", []), ready]
            status = {"certificate": base64.b64encode(made).decode(), "conditions": kept}
            await here.client.patch(
                CERTIFICATE_REQUESTS,
                request["metadata"]["name"],
                {"status": status},
                namespace=here.namespace,
                subresource="status",
            )
        found = await here.get("Certificate", "leaf") or {}
        said = [one["message"] for one in found.get("status", {}).get("conditions", [])]
        return found if any("issued too often" in message for message in said) else None

    found = await here.until("it slows down", answer)
    assert 2 <= found["status"]["revision"] <= 5


async def test_a_certificate_of_the_future(here: World) -> None:
    """What was made while a clock was ahead is made again when the clock is right, once."""
    issuer = await ca_issuer(here, "one", CA("one").secret())
    await here.restart(timedelta(days=20))
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    await here.restart()

    async def again() -> bool:
        return bool(((await here.get("Certificate", "leaf")) or {})["status"].get("revision") == 2)

    await here.until("another certificate", again)
    await here.ready("Certificate", "leaf")
    await here.settled("Certificate", "leaf")
    (leaf, *_) = chain((await data_of(here, "leaf"))["tls.crt"])
    assert leaf.not_valid_before_utc < datetime.now(UTC)
    assert leaf.public_bytes(Encoding.PEM)
