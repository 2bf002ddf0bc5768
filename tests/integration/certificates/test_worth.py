"""What certificates are worth, on a real API server: a certificate that nobody could verify is not made, and says why."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from signer.api.certificate import CERTIFICATES
from signer.api.event import EVENTS
from tests import pki
from tests.integration.slow_controllers import Json, World, condition
from tests.verifying import Question, refused_by_go, refused_by_openssl

pytestmark = pytest.mark.integration


async def ca_issuer(here: World, name: str, data: dict[str, bytes]) -> str:
    """A CA issuer over this Secret."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    await here.create("Secret", name, {"type": "kubernetes.io/tls", "data": encoded})
    return await here.issuer(name, {"ca": {"secretName": name}})


async def data_of(here: World, name: str) -> dict[str, bytes]:
    """What is in a Secret."""
    secret = await here.get("Secret", name)
    assert secret is not None
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


async def warning(here: World, name: str, reason: str) -> str:
    """Wait for a Warning about an object of this name; its message."""

    async def ask() -> str | None:
        for event in await here.client.list(EVENTS, here.namespace):
            about = event["involvedObject"]["name"] == name
            if about and (event["type"], event["reason"]) == ("Warning", reason):
                return str(event["message"])
        return None

    return str(await here.until(f"an Event {reason} on {name}", ask))


@pytest.mark.parametrize(
    ("ca", "asked", "words"),
    [
        (pki.CA("int", path_length=0), {"isCA": True}, ("isCA", "path length 0", "CN=int")),
        (
            pki.CA("root", path_length=1).intermediate("int"),
            {"isCA": True},
            ("isCA", "path length", "CN=root"),
        ),
        (
            pki.CA("int", extra=[(x509.NameConstraints([x509.DNSName("foo.example")], None), True)]),
            {"dnsNames": ["a.bar.example"]},
            ("names", "a.bar.example", "name constraints"),
        ),
        (
            pki.CA("int", extra=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]),
            {"usages": ["server auth"]},
            ("usages", "server auth", "client auth"),
        ),
    ],
    ids=["path length 0", "path length of the root", "names", "usages"],
)
async def test_what_nobody_could_verify_is_refused(
    here: World, ca: pki.CA, asked: dict[str, Any], words: tuple[str, ...]
) -> None:
    """The request fails with a message that names the field and the CA that is in the way; nothing is stored."""
    issuer = await ca_issuer(here, "int", ca.secret())
    await here.ready("ClusterIssuer", issuer)
    await here.certificate("sub", issuer, **asked)
    refused = await here.condition("CertificateRequest", "sub-1", status="False", reason="Failed")
    message = (condition(refused, "Ready") or {})["message"]
    for word in words:
        assert word in message
    assert not refused["status"].get("certificate")
    assert await here.get("Secret", "sub") is None
    assert await warning(here, "sub-1", "NotVerifiable") == message
    failed = await here.condition("Certificate", "sub", "Issuing", status="False")
    assert message in (condition(failed, "Issuing") or {})["message"]


async def test_an_empty_issuer_name_is_warned_of(here: World) -> None:
    """A self-signed certificate without a subject, and what a CA without one signs, is issued with a Warning."""
    selfsigned = await here.issuer("selfsigned", {"selfSigned": {}})
    await here.certificate("a", selfsigned, commonName=None, dnsNames=["a.example.com"])
    await here.ready("Certificate", "a")
    said = await warning(here, "a-1", "NotVerifiableByAll")
    assert "empty issuer name" in said
    ready = (
        condition(await here.condition("Certificate", "a", reason="NotVerifiableByAll", status="True"), "Ready") or {}
    )
    assert said in ready["message"]
    assert await warning(here, "a", "NotVerifiableByAll") == said
    await here.delete("CertificateRequest", "a-1")
    await here.condition("Certificate", "a", reason="Ready", status="True")
    nameless = await ca_issuer(here, "nameless", pki.CA("x", subject=pki.name()).secret())
    await here.ready("ClusterIssuer", nameless)
    await here.certificate("b", nameless)
    await here.ready("Certificate", "b")
    assert "issuer name is empty" in await warning(here, "b-1", "NotVerifiableByAll")


async def test_a_leaf_with_the_name_of_its_ca(here: World) -> None:
    """OpenSSL does not take it for self-signed, since two key identifiers tell it from its CA."""
    issuer = await here.ca(commonName="shop.example.com")
    await here.certificate("leaf", issuer, commonName="shop.example.com", dnsNames=["shop.example.com"])
    await here.ready("Certificate", "leaf")
    data = await data_of(here, "leaf")
    question = Question(data["tls.crt"], data["ca.crt"], here.now())
    assert refused_by_openssl(question, strict=True) == ""
    assert refused_by_go([question]) == [""]


async def test_a_bundle_of_roots(here: World) -> None:
    """While roots are changed ca.crt may hold the next one too: the issuer is Ready, leaves get the root that signed."""
    sub = pki.CA("root").intermediate("int")
    bundle = pki.CA("root two").pem + sub.root.pem
    issuer = await ca_issuer(here, "int", sub.secret() | {"ca.crt": bundle})
    await here.ready("ClusterIssuer", issuer)
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    data = await data_of(here, "leaf")
    assert data["ca.crt"] == sub.root.pem
    assert refused_by_go([Question(data["tls.crt"], data["ca.crt"], here.now())]) == [""]


async def test_a_ca_with_doubts_says_so(here: World) -> None:
    """An issuer whose certificates some verifiers refuse is Ready, and says which and why."""
    issuer = await ca_issuer(here, "int", pki.CA("int", subject_key_id=False, key_cert_sign=None).secret())
    ready = await here.ready("ClusterIssuer", issuer)
    message = (condition(ready, "Ready") or {})["message"]
    assert message.startswith("Signing CA verified; ")
    assert "no subject key identifier; strict verifiers refuse it" in message


async def test_a_renewed_ca_brings_its_leaves_up_to_date(here: World) -> None:
    """When a CA is renewed with its key, ca.crt of its leaves becomes the new root; no certificate is made for that."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, duration="2h", renewBefore="10m")
    await here.ready("Certificate", "leaf")
    before = await data_of(here, "leaf")
    assert before["ca.crt"] == (await data_of(here, "root-ca"))["tls.crt"]
    await here.client.patch(
        CERTIFICATES,
        "root-ca",
        {"status": {"conditions": [renew()]}},
        namespace=here.namespace,
        subresource="status",
    )

    async def brought() -> dict[str, bytes] | None:
        root = (await data_of(here, "root-ca"))["tls.crt"]
        leaf = await data_of(here, "leaf")
        return leaf if root != before["ca.crt"] and leaf["ca.crt"] == root else None

    after = await here.until("the new root beside the leaf", brought)
    assert after["tls.crt"] == before["tls.crt"]
    assert after["tls.key"] == before["tls.key"]
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1


def renew() -> Json:
    """The condition that `cmctl renew` sets."""
    return {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
