"""Certificates from Pebble, through Order and Challenge, on the real API server."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from signer.tenancy.verdict import Reason
from tests.integration.edge.conftest import Start, spec
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.slow_controllers import Json, World, chain

pytestmark = pytest.mark.integration

BOTH = [{"http01": {"ingress": {"class": "istio"}}}]


async def asked(here: World, issuer: str, *names: str, **fields: object) -> Json:
    """A Certificate for these names."""
    return await here.certificate("web", issuer, commonName=None, dnsNames=list(names), **fields)


async def test_a_certificate(here: World, start: Start, presenter: ServerPresenter) -> None:
    """A Certificate of an ACME issuer gets its chain, by one order, and every challenge is taken away again."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    await asked(here, issuer, "one.example", "two.example")
    await here.ready("Certificate", "web")
    secret = await here.get("Secret", "web")
    assert secret is not None
    found = chain(base64.b64decode(secret["data"]["tls.crt"]))
    names = found[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(names.get_values_for_type(x509.DNSName)) == ["one.example", "two.example"]
    assert ca.orders() == 1
    assert sorted(set(presenter.presented)) == sorted(presenter.presented)

    async def gone() -> bool:
        return not await here.list("Challenge")

    await here.until("no Challenge is left", gone)
    assert set(presenter.removed) >= set(presenter.presented)


async def test_waits_for_the_name(here: World, start: Start, presenter: ServerPresenter) -> None:
    """A challenge is not accepted before the self check passes; the reason is in the CertificateRequest, and it goes on."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    presenter.blind = "no such host"
    await asked(here, issuer, "late.example")

    async def told() -> bool:
        return any("no such host" in str(one.get("status")) for one in await here.list("CertificateRequest"))

    await here.until("the reason is told", told)
    assert all(one["status"]["state"] == "pending" for one in await here.list("Challenge"))
    presenter.blind = ""
    await here.ready("Certificate", "web")
    assert ca.orders() == 1


async def test_waits_for_a_gateway(here: World, start: Start, presenter: ServerPresenter) -> None:
    """What must be there before an answer can be presented is told in the Challenge, and waited for."""
    issuer = await here.issuer("acme", spec(start()))
    presenter.waits = missing = Reason("NoGateway", "no Gateway serves the host")
    await asked(here, issuer, "nowhere.example")

    async def told() -> bool:
        return any(one.get("status", {}).get("reason") == missing.message for one in await here.list("Challenge"))

    await here.until("the reason is told", told)
    presenter.waits = None
    await here.ready("Certificate", "web")


async def test_a_failed_validation(here: World, start: Start, presenter: ServerPresenter) -> None:
    """What the CA says of a failed validation stands in the Order, the request, and the Certificate."""
    issuer = await here.issuer("acme", spec(start()))
    presenter.wrong = True
    await asked(here, issuer, "wrong.example")
    found = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    assert "unauthorized" in str(found["status"])
    (order,) = await here.list("Order")
    assert order["status"]["state"] == "errored"
    assert "wrong.example" in order["status"]["reason"]


async def test_a_refused_name(here: World, start: Start) -> None:
    """A name that the CA will not have fails at once, in the CA's words."""
    issuer = await here.issuer("acme", spec(start(blocked=("blocked.example",))))
    await asked(here, issuer, "www.blocked.example")
    found = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    assert "rejectedIdentifier" in str(found["status"])


async def test_reused_authorizations(here: World, start: Start, presenter: ServerPresenter) -> None:
    """What the CA knows to be proven already is not proven again."""
    issuer = await here.issuer("acme", spec(start(authz_reuse=100)))
    await asked(here, issuer, "known.example")
    await here.ready("Certificate", "web")
    before = len(presenter.presented)
    await here.certificate("again", issuer, commonName=None, dnsNames=["known.example"])
    await here.ready("Certificate", "again")
    assert len(presenter.presented) == before


@pytest.mark.parametrize("state", ["ordered", "waiting"])
async def test_a_restart_goes_on_with_the_same_order(
    here: World, start: Start, presenter: ServerPresenter, state: str
) -> None:
    """A process that ends in the middle is followed by one that goes on: the CA sees one order."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    if state == "ordered":
        presenter.waits = Reason("NoGateway", "not yet")
    else:
        presenter.blind = "no such host"
    await asked(here, issuer, "killed.example")

    async def there() -> bool:
        return any(one.get("status", {}).get("reason") for one in await here.list("Challenge"))

    await here.until("a Challenge waits", there)
    await here.stop()
    presenter.waits, presenter.blind = None, ""
    await here.start()
    await here.ready("Certificate", "web")
    assert ca.orders() == 1


async def test_a_strange_challenge_is_left_alone(here: World, start: Start, presenter: ServerPresenter) -> None:
    """A Challenge that somebody else wrote, with an Order of ours as its owner, is never presented."""
    issuer = await here.issuer("acme", spec(start()))
    presenter.waits = Reason("NoGateway", "not yet")
    await asked(here, issuer, "mine.example")

    async def there() -> list[Json]:
        return await here.list("Challenge")

    (ours,) = await here.until("a Challenge", there)
    forged = ours["spec"] | {"solver": {"http01": {"ingress": {"class": "other"}}}}
    await here.create("Challenge", "forged", forged, ownerReferences=ours["metadata"]["ownerReferences"])
    presenter.waits = None
    await here.ready("Certificate", "web")
    assert "forged" not in presenter.presented


async def test_a_renewal_says_what_it_replaces(here: World, start: Start) -> None:
    """The order of a renewal names the certificate that it follows, and the CA takes it (RFC 9773)."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    await asked(here, issuer, "again.example")
    await here.ready("Certificate", "web")
    await here.edit("Certificate", "web", {"spec": {"dnsNames": ["again.example", "more.example"]}})

    async def second() -> list[Json]:
        return [one for one in await here.list("Order") if one["spec"].get("replaces")]

    await here.until("an Order that replaces", second)
    await here.ready("Certificate", "web")
    assert ca.orders() == 2


async def test_renewed_when_the_ca_advises_it(here: World, start: Start) -> None:
    """A window that has come renews a certificate long before its end, once, and the order names what it replaces."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    await asked(here, issuer, "advised.example")
    await here.ready("Certificate", "web")
    secret = await here.get("Secret", "web")
    assert secret is not None
    before = base64.b64decode(secret["data"]["tls.crt"])
    window = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
    leaf = chain(before)[0].public_bytes(Encoding.PEM)
    ca.set_renewal_info(leaf, json.dumps({"suggestedWindow": window}))
    await here.restart(ahead=timedelta(hours=2))

    async def renewed() -> bool:
        found = await here.get("Certificate", "web")
        return found is not None and found["status"].get("revision") == 2

    await here.until("the second revision", renewed)
    assert ca.orders() == 2
    assert any(one["spec"].get("replaces") for one in await here.list("Order"))
