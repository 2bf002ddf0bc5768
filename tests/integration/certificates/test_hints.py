"""What is said, and where, when an issuer is not there, loses its CA, or gets another one."""

import base64
import logging

import pytest

from signer.api.event import EVENTS
from tests import pki
from tests.integration.certificates.test_worth import ca_issuer, warning
from tests.integration.slow_controllers import World, condition
from tests.pki import CA

pytestmark = pytest.mark.integration


async def told_at_default(here: World, name: str, reason: str) -> str:
    """Wait for a Warning about a ClusterIssuer, whose Events are in the namespace default; its message."""

    async def ask() -> str:
        for event in await here.client.list(EVENTS, "default"):
            if event["involvedObject"]["name"] == name and (event["type"], event["reason"]) == ("Warning", reason):
                return str(event["message"])
        return ""

    return str(await here.until(f"an Event {reason} on {name}", ask))


async def test_kind_left_out(here: World) -> None:
    """A Certificate whose issuerRef has no kind, where there is a ClusterIssuer of that name alone, says what to write."""
    issuer = await here.issuer("selfsigned", {"selfSigned": {}})
    await here.certificate("leaf", issuer, issuerRef={"name": issuer})
    message = await warning(here, "leaf", "RequestWaits")
    assert f"there is a ClusterIssuer {issuer}" in message
    assert "set it to ClusterIssuer" in message
    found = await here.condition("Certificate", "leaf", "Issuing", status="True")
    assert message in (condition(found, "Issuing") or {})["message"]
    await here.edit("Certificate", "leaf", {"spec": {"issuerRef": {"kind": "ClusterIssuer"}}})
    await here.ready("Certificate", "leaf")


async def test_a_ca_that_goes_and_comes_back_as_another(here: World, caplog: pytest.LogCaptureFixture) -> None:
    """The Secret of a Ready issuer's CA that is deleted, or exchanged, is warned of: in Events, and in the log."""
    caplog.set_level(logging.WARNING)
    issuer = await ca_issuer(here, "one", CA("one").secret())
    await here.ready("ClusterIssuer", issuer)
    await here.delete("Secret", "one")
    assert 'secret "one" not found' in await told_at_default(here, issuer, "ErrGetKeyPair")
    assert "Error initializing issuer: " in await told_at_default(here, issuer, "ErrInitIssuer")
    other = CA("one", private=pki.key("p256", n=4720)).secret()
    data = {name: base64.b64encode(value).decode() for name, value in other.items()}
    await here.create("Secret", "one", {"type": "kubernetes.io/tls", "data": data})
    assert "with another key" in await told_at_default(here, issuer, "CAChanged")
    again = CA("two").secret()
    await here.edit(
        "Secret", "one", {"data": {name: base64.b64encode(value).decode() for name, value in again.items()}}
    )

    async def said() -> bool:
        return "'CN=two' in place of 'CN=one'" in caplog.text

    await here.until("a line", said)


async def test_a_self_signed_certificate_without_a_subject(here: World) -> None:
    """It has no issuer's name: cert-manager's warning, beside ours."""
    issuer = await here.issuer("selfsigned", {"selfSigned": {}})
    await here.certificate("leaf", issuer, commonName=None, dnsNames=["leaf.example"])
    await here.ready("Certificate", "leaf")
    assert "empty Issuer DN" in await warning(here, "leaf-1", "BadConfig")
