"""Public reports about Certificates and CAs elsewhere, tried here; each docstring names its report."""

import asyncio
import base64
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from signer.api.secret import SECRETS
from signer.kube.errors import NotFound
from tests import pki
from tests.integration.certificates.secrets_of import data, secret_of
from tests.integration.certificates.test_worth import ca_issuer
from tests.integration.slow_controllers import Json, World, chain, condition
from tests.pki import CA, DAY

pytestmark = pytest.mark.integration


async def revision(here: World, name: str, wanted: int) -> None:
    async def reached() -> bool:
        found = await here.get("Certificate", name) or {}
        return bool(found.get("status", {}).get("revision") == wanted) and condition(found, "Issuing") is None

    await here.until(f"revision {wanted}", reached)


async def test_another_issuer_for_a_valid_secret(here: World) -> None:
    """cert-manager#6714: another issuerRef for a Certificate whose Secret is in order gives one new certificate, not thousands."""
    first, second = await here.ca("one"), await here.ca("two")
    await here.certificate("leaf", first)
    await here.ready("Certificate", "leaf")
    await here.edit("Certificate", "leaf", {"spec": {"issuerRef": {"name": second}}})
    await revision(here, "leaf", 2)
    await here.ready("Certificate", "leaf")
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 2
    secret = await secret_of(here, "leaf")
    assert data(secret, "ca.crt") == data(await secret_of(here, "two-ca"), "ca.crt")
    assert secret["metadata"]["annotations"]["cert-manager.io/issuer-name"] == second


@pytest.mark.parametrize("change", [{"duration": "20h"}, {"usages": ["client auth"]}, {"isCA": True}])
async def test_made_anew_with_another_spec(here: World, change: Json) -> None:
    """cert-manager#5146: a Certificate that is deleted and made again over the Secret that stayed gets what it asks for now."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    before = await secret_of(here, "leaf")
    await here.delete("Certificate", "leaf")
    # What a garbage collector would do.
    for request in await here.list("CertificateRequest"):
        if request["metadata"]["name"].startswith("leaf-"):
            with contextlib.suppress(NotFound):
                await here.delete("CertificateRequest", request["metadata"]["name"])
    await here.certificate("leaf", issuer, **change)
    await revision(here, "leaf", 1)
    await here.ready("Certificate", "leaf")
    after = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0]
    assert after != chain(data(before, "tls.crt"))[0]
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1


async def test_a_secret_that_somebody_else_keeps(here: World) -> None:
    """cert-manager#6988: a Secret that another controller made and keeps is left to it; no request is made, and it is said."""
    issuer = await here.ca()
    theirs = {name: base64.b64encode(value).decode() for name, value in CA("serving").secret().items()}
    await here.create("Secret", "leaf", {"type": "kubernetes.io/tls", "data": theirs})
    await here.certificate("leaf", issuer)
    await here.condition("Certificate", "leaf", status="False", reason="SecretNotOwned")
    for _ in range(3):
        await here.client.patch(
            SECRETS,
            "leaf",
            {"metadata": {"annotations": {"theirs": str(_)}}},
            namespace=here.namespace,
            field_manager="service-ca",
        )
        await here.touch("Certificate", "leaf")
    assert (await here.settled("Certificate", "leaf"))["status"].get("revision") is None
    assert (await secret_of(here, "leaf"))["data"] == theirs
    assert [one for one in await here.list("CertificateRequest") if one["metadata"]["name"].startswith("leaf")] == []


async def test_an_opaque_secret_of_a_ca(here: World) -> None:
    """cert-manager#7120: the Secret of a ClusterIssuer's CA may be of any type."""
    encoded = {name: base64.b64encode(value).decode() for name, value in CA("one").secret().items()}
    await here.create("Secret", "one", {"type": "Opaque", "data": encoded})
    issuer = await here.issuer("one", {"ca": {"secretName": "one"}})
    await here.ready("ClusterIssuer", issuer)


async def test_the_root_twice_in_a_chain(here: World) -> None:
    """cert-manager#3967, #2358, #3619: however often the root stands in a CA's Secret, leaves get it once, as ca.crt."""
    root = CA("root")
    low = root.intermediate("low").intermediate("lowest")
    issuer = await ca_issuer(here, "low", low.secret() | {"tls.crt": low.chain_pem + root.pem + root.pem})
    await here.ready("ClusterIssuer", issuer)
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    secret = await secret_of(here, "leaf")
    assert len(chain(data(secret, "tls.crt"))) == 3
    assert data(secret, "ca.crt") == root.pem


@pytest.mark.parametrize(("renew_before", "hours"), [("162h", 6), ("167h50m", 1)])
async def test_a_turned_renew_before(here: World, renew_before: str, hours: int) -> None:
    """istio-on-eks#114: who writes when to renew in place of how long before the end gets many renewals, and no storm of them."""
    issuer = await ca_issuer(here, "one", CA("one").secret())
    await here.certificate("leaf", issuer, duration="168h", renewBefore=renew_before)
    await here.ready("Certificate", "leaf")
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1
    await here.restart(timedelta(hours=hours, minutes=10))
    await revision(here, "leaf", 2)
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 2


async def test_a_root_and_an_intermediate_that_end(here: World) -> None:
    """cert-manager#5864, #6323, istio#59768: no certificate outlives any CA above it, and none is made once one has ended."""
    root = CA("root", not_after=datetime.now(UTC) + 30 * DAY)
    low = root.intermediate("low", not_after=datetime.now(UTC) + 300 * DAY)
    issuer = await ca_issuer(here, "low", low.secret())
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    made = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0]
    assert made.not_valid_after_utc == root.certificate.not_valid_after_utc
    await here.restart(timedelta(days=31))
    await here.condition("ClusterIssuer", issuer, status="False", reason="ErrInvalidKeyPair")
    await here.condition("Certificate", "leaf", status="False")
    assert chain(data(await secret_of(here, "leaf"), "tls.crt"))[0] == made


async def test_the_same_key_for_ever(here: World) -> None:
    """cert-manager#8289: with rotationPolicy Never the key stays over renewals, whoever made the Secret, and in either form."""
    issuer = await here.ca()
    private = pki.key("rsa")
    await here.create(
        "Secret",
        "leaf",
        {"type": "Opaque", "data": {"tls.key": base64.b64encode(pki.key_pem(private)).decode()}},
    )
    await here.certificate("leaf", issuer, privateKey={"algorithm": "RSA", "size": 2048, "rotationPolicy": "Never"})
    await here.ready("Certificate", "leaf")
    for number in (2, 3):
        names = [f"a{number}.example"]
        await here.edit("Certificate", "leaf", {"spec": {"dnsNames": names}})
        await revision(here, "leaf", number)
        made = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0]
        assert made.public_key() == private.public_key()


async def test_many_at_one_moment(here: World) -> None:
    """cert-manager#3810, linkerd: Certificates that are due at one moment are all renewed, once each, and so is their CA."""
    issuer = await here.ca()
    names = [f"leaf-{number}" for number in range(25)]
    await asyncio.gather(*(here.certificate(name, issuer, duration="24h") for name in names))
    for name in names:
        await here.ready("Certificate", name)
    await here.restart(timedelta(hours=17))
    for name in names:
        await revision(here, name, 2)
        await here.ready("Certificate", name)
    await here.settled("Certificate", names[0])
    for name in names:
        assert (await here.get("Certificate", name) or {})["status"]["revision"] == 2
