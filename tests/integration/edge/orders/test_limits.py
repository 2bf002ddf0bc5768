"""Pauses, rates and limits hold for a set of names, whoever makes Certificates anew and whenever the process starts."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from signer.api.certificaterequest import CertificateRequest
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.event import EVENTS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.meta import to_rfc3339
from signer.api.order import ORDERS
from signer.api.retry import RETRY
from signer.edge.host import Host
from signer.edge.orders.make import order_body
from tests.integration.edge import gateway_world
from tests.integration.edge.conftest import Start, spec
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.slow_controllers import Json, World, world
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def claims(cluster: Cluster) -> None:
    """HostClaims and EdgePolicies are there."""
    gateway_world.install(cluster)


@pytest.fixture
async def here(cluster: Cluster, namespace: str, presenter: ServerPresenter) -> AsyncIterator[World]:
    """The controllers, with those of ACME, and with the claims of hosts."""
    async with world(cluster, namespace, presenter=presenter, hosts=True) as found:
        yield found
        for claim in await found.client.list(HOST_CLAIMS):
            if claim["spec"]["namespace"] == namespace:
                await found.client.delete(HOST_CLAIMS, claim["metadata"]["name"])
        for policy in await found.client.list(EDGE_POLICIES):
            await found.client.delete(EDGE_POLICIES, policy["metadata"]["name"])


async def asked(here: World, issuer: str, name: str, *hosts: str) -> None:
    """A Certificate for these hosts."""
    await here.certificate(name, issuer, commonName=None, dnsNames=list(hosts))


async def waits(here: World, *words: str) -> Json:
    """The Order that waits and says these words; its CertificateRequest says them too."""

    async def told() -> Json | None:
        requests = [json.dumps(one.get("status", {})) for one in await here.list("CertificateRequest")]
        for order in await here.list("Order"):
            reason = order.get("status", {}).get("reason", "")
            if all(word in reason for word in words) and any(reason in one for one in requests):
                return order
        return None

    found: Json = await here.until(f"an Order waits: {words}", told)
    return found


async def recorded(here: World, host: str) -> list[Json]:
    """What is on record at a host's claim."""
    found = await here.client.get(HOST_CLAIMS, host)
    listed: list[Json] = found.get("status", {}).get("issuances", [])
    return listed


async def test_a_pause_is_of_the_names(here: World, start: Start, presenter: ServerPresenter) -> None:
    """Who deletes and makes a failed Certificate again waits all the same, also after a restart; then it goes on."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    presenter.wrong = True
    host = f"again.{here.namespace}.example"
    await asked(here, issuer, "web", host)
    await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")

    async def on_record() -> list[Json]:
        return [one for one in await recorded(here, host) if one.get("failures") == 1]

    (record,) = await here.until("the failure is on record", on_record)
    assert record["notBefore"] > record["failedAt"]
    presenter.wrong = False
    await here.delete("Certificate", "web")
    await asked(here, issuer, "again", host)
    order = await waits(here, "not ordered again before", record["notBefore"])
    await here.restart()
    await here.touch("Order", order["metadata"]["name"])
    assert not (await waits(here, record["notBefore"]))["status"].get("url")
    assert ca.orders() == 1
    await here.restart(ahead=2 * MINUTE)
    await here.ready("Certificate", "again")
    assert ca.orders() == 2

    async def forgotten() -> bool:
        return all(not one.get("failures") and one["expiresAt"] for one in await recorded(here, host))

    await here.until("the failure is forgotten", forgotten)


async def proven(here: World, host: str, status: str) -> str:
    """Wait until a host's claim says this of whether it is proven; returns its message."""

    async def said() -> str | None:
        claims = [one for one in await here.client.list(HOST_CLAIMS) if one["metadata"]["name"] == host]
        found = [one for claim in claims for one in claim.get("status", {}).get("conditions", [])]
        return next((one["message"] for one in found if (one["type"], one["status"]) == ("Proven", status)), None)

    message: str = await here.until(f"Proven={status} of {host}", said)
    return message


async def test_what_cannot_be_proven_is_on_the_claim(here: World, start: Start, presenter: ServerPresenter) -> None:
    """A proof that fails is told on the host's claim, in the Challenge's words, until one succeeds; others say nothing."""
    issuer = await here.issuer("acme", spec(start()))
    presenter.wrong = True
    host, other = (f"{label}.{here.namespace}.example" for label in ("dead", "fine"))
    await asked(here, issuer, "web", host)
    assert f"Challenge {here.namespace}/web-1-" in await proven(here, host, "False")
    presenter.wrong = False
    await here.delete("Certificate", "web")
    await here.restart(ahead=2 * MINUTE)
    await asked(here, issuer, "again", host)
    await asked(here, issuer, "other", other)
    await proven(here, host, "True")
    await here.ready("Certificate", "other")
    assert "conditions" not in (await here.client.get(HOST_CLAIMS, other))["status"]


async def test_a_released_host_waits_no_more(here: World, start: Start, presenter: ServerPresenter) -> None:
    """An administrator who removes the HostClaim ends the pause at once."""
    issuer = await here.issuer("acme", spec(start()))
    presenter.wrong = True
    host = f"released.{here.namespace}.example"
    await asked(here, issuer, "web", host)
    await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    presenter.wrong = False
    await here.delete("Certificate", "web")
    await asked(here, issuer, "again", host)
    await waits(here, "not ordered again before")
    await here.client.delete(HOST_CLAIMS, host)
    await here.ready("Certificate", "again")


async def test_an_owner_who_asks_again(here: World, start: Start, presenter: ServerPresenter) -> None:
    """An owner ends both pauses, the Certificate's and the host's: as it begins to wait, and while an Order waits already.

    One word ends one pause only.
    """
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    presenter.wrong = True
    host = f"impatient.{here.namespace}.example"
    await asked(here, issuer, "web", host)
    first = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")

    async def retry(name: str) -> None:
        failed_at = first["status"]["lastFailureTime"]

        async def later() -> bool:
            return bool(to_rfc3339(here.now()) > failed_at)

        await here.until("a second has passed", later)
        await here.edit("Certificate", name, {"metadata": {"annotations": {RETRY: to_rfc3339(here.now())}}})

    await retry("web")

    async def failed_again() -> Json | None:
        found = await here.get("Certificate", "web")
        return found if found and found["status"].get("failedIssuanceAttempts") == 2 else None

    first = await here.until("another failure", failed_again)
    assert ca.orders() == 2
    presenter.wrong = False
    await here.delete("Certificate", "web")
    await asked(here, issuer, "again", host)
    order = await waits(here, "not ordered again before")
    assert not order["status"].get("url")
    assert ca.orders() == 2, "the word that was said before counts no more"
    await retry("again")
    await here.ready("Certificate", "again")
    assert ca.orders() == 3


async def test_the_rate_of_a_policy(here: World, start: Start) -> None:
    """The second new certificate of an hour waits, says until when, and an Event says so; a restart forgets nothing."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    suffix = f"{here.namespace}.example"
    policy = {
        "hostSuffixes": [suffix],
        "namespaces": {"names": [here.namespace]},
        "rate": {"certificates": 1, "per": "1h"},
    }
    body = {"apiVersion": EDGE_POLICIES.api_version, "kind": EDGE_POLICIES.kind}
    await here.client.create(EDGE_POLICIES, {**body, "metadata": {"name": here.namespace}, "spec": policy})
    # The first is ordered when the policy is known; before, it would count for none.
    await asked(here, issuer, "one", f"one.{suffix}")
    await here.ready("Certificate", "one")

    async def counted() -> list[Json]:
        return [one for one in await recorded(here, f"one.{suffix}") if one.get("policies")]

    await here.until("it counts for the policy", counted)
    await asked(here, issuer, "two", f"two.{suffix}")
    order = await waits(here, f"EdgePolicy {here.namespace!r}", "1 new certificates in 1h")

    async def event() -> bool:
        found = await here.client.list(EVENTS, here.namespace)
        return any(one["reason"] == "PolicyRate" and order["metadata"]["name"] in str(one) for one in found)

    await here.until("an Event", event)
    await here.restart()
    await waits(here, f"EdgePolicy {here.namespace!r}")
    # A renewal is not counted, and not held back.
    await here.edit(
        "Certificate",
        "one",
        {"status": {"conditions": [{"type": "Issuing", "status": "True", "reason": "M", "message": "m"}]}},
        "status",
    )

    async def renewed() -> bool:
        found = await here.get("Certificate", "one")
        return found is not None and found["status"].get("revision") == 2

    await here.until("a renewal", renewed)
    assert ca.orders() == 2
    await here.restart(ahead=HOUR + MINUTE)
    await here.ready("Certificate", "two")


async def test_the_limit_for_the_same_names(here: World, start: Start) -> None:
    """Whoever deletes Certificate and Secret over and over is held back before the CA does it, also after a restart."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    host = f"same.{here.namespace}.example"
    for turn in range(3):
        await asked(here, issuer, f"web-{turn}", host)
        await here.ready("Certificate", f"web-{turn}")
        await here.delete("Certificate", f"web-{turn}")
        await here.delete("Secret", f"web-{turn}")
    await asked(here, issuer, "web-3", host)
    await waits(here, "held back", "same_set")
    await here.restart()
    await waits(here, "held back", "same_set")
    assert ca.orders() == 3


async def test_an_order_that_somebody_wrote(here: World, start: Start) -> None:
    """An Order for a host of another namespace, written as we would write it, is refused before the CA is asked."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    await here.ready("ClusterIssuer", issuer)
    host = f"taken.{here.namespace}.example"
    claim = {"host": host, "namespace": "kube-system", "namespaceUID": "1"}
    body = {"apiVersion": HOST_CLAIMS.api_version, "kind": HOST_CLAIMS.kind, "metadata": {"name": host}, "spec": claim}
    await here.client.create(HOST_CLAIMS, body)
    await here.stop()
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=True)
    pem = csr.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)
    asking = {"request": base64.b64encode(pem).decode(), "issuerRef": {"name": issuer, "kind": "ClusterIssuer"}}
    request = msgspec.convert(await here.create("CertificateRequest", "mine", asking), CertificateRequest)
    forged = await here.client.create(ORDERS, order_body(request, [Host(host)]))
    await here.start()

    async def refused() -> bool:
        found = await here.get("Order", forged["metadata"]["name"])
        return found is not None and found.get("status", {}).get("state") == "errored"

    await here.until("it is refused", refused)
    assert ca.orders() == 0
    await here.client.delete(HOST_CLAIMS, host)


async def test_in_a_hurry(here: World, start: Start) -> None:
    """A certificate that has hardly any life left is ordered again within an hour of a failure, whatever the pause is."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    host = f"hurry.{here.namespace}.example"
    await asked(here, issuer, "web", host)
    await here.ready("Certificate", "web")
    (record,) = await recorded(here, host)
    end = datetime.fromisoformat(record["expiresAt"])
    pause = {"failures": 7, "failedAt": _text(here.now()), "notBefore": _text(end), "reason": "serverInternal"}
    await here.stop()
    status = {"status": {"issuances": [record | pause]}}
    await here.client.patch(HOST_CLAIMS, host, msgspec.to_builtins(status), subresource="status")
    await here.restart(ahead=end - datetime.now(UTC) - DAY)

    async def renewed() -> bool:
        found = await here.get("Certificate", "web")
        return found is not None and found["status"].get("revision") == 2

    await here.until("a renewal", renewed)
    assert ca.orders() == 2


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
