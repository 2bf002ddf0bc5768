"""A CA in trouble: Orders wait as they are told to, say so, and go on by themselves with the one order that was made."""

import datetime as dt
import time
from collections.abc import Callable, Iterator

import pytest

from signer.api.event import EVENTS
from signer.tenancy.verdict import Reason
from tests.fakes.acme_faults import FaultyCA, Reply, edit, http_date, problem, times
from tests.integration.edge.conftest import Start, spec
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.slow_controllers import Json, World

pytestmark = pytest.mark.integration


@pytest.fixture
def faulty(start: Start) -> Iterator[FaultyCA]:
    """A CA whose answers can be broken."""
    with FaultyCA(start()) as found:
        yield found


async def asked(here: World, ca: FaultyCA, host: str) -> None:
    """A ClusterIssuer for this CA, and a Certificate for one host."""
    issuer = await here.issuer("acme", spec(ca))  # type: ignore[arg-type]  # it has what spec reads of a Pebble
    await here.ready("ClusterIssuer", issuer)
    await here.certificate("web", issuer, commonName=None, dnsNames=[host])


def orders_made(ca: FaultyCA) -> int:
    """How many orders the CA has given."""
    return sum(1 for method, path, status in ca.seen if method == "POST" and "order-plz" in path and status == 201)


@pytest.mark.parametrize(
    "retry_after",
    [lambda: "4", lambda: http_date(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=8))],
    ids=["s", "date"],
)
async def test_rate_limited(here: World, faulty: FaultyCA, retry_after: Callable[[], str]) -> None:
    """A 429 is waited for as long as it says, is told in the Order, and is not a failure of the Certificate."""
    when: list[str] = []

    def limited(method: str, path: str) -> Reply | None:
        if method != "POST" or "order-plz" not in path or len(when) >= 1:
            return None
        when.append(retry_after())
        return problem(429, "rateLimited", "too many new orders", Retry_After=when[0])

    faulty.rule = limited
    await asked(here, faulty, "limited.example")

    async def told() -> bool:
        # The status may say something else by now: the Event stays.
        events = await here.client.list(EVENTS, here.namespace)
        return any(
            "too many new orders" in one["message"] for one in events if one["involvedObject"]["kind"] == "Order"
        )

    await here.until("the Order says why it waits", told)
    found = await here.ready("Certificate", "web")
    assert not found["status"].get("failedIssuanceAttempts")
    assert orders_made(faulty) == 1


@pytest.mark.parametrize("path", ["order-plz", "authZ", "chalZ", "finalize", "certZ", "my-order"])
async def test_unwell_at_any_step(here: World, faulty: FaultyCA, path: str) -> None:
    """A CA that answers 503 twice at one step is asked again, and no second order is made."""
    faulty.rule = times(2, path, problem(503, "serverInternal", "try later"))
    await asked(here, faulty, f"unwell-{path.lower()}.example")
    await here.ready("Certificate", "web")
    assert orders_made(faulty) == 1


async def test_refused_nonces(here: World, start: Start) -> None:
    """A CA that refuses nine of ten nonces gives its certificate all the same, by one order."""
    ca = start(nonce_reject=90)
    issuer = await here.issuer("acme", spec(ca))
    await here.certificate("web", issuer, commonName=None, dnsNames=["nonces.example"])
    await here.ready("Certificate", "web")
    assert ca.orders() == 1


async def test_a_forgotten_account(here: World, faulty: FaultyCA) -> None:
    """When the CA no longer knows the account, it is registered again, and the order goes on."""
    faulty.rule = times(1, "order-plz", problem(400, "accountDoesNotExist", "who are you"))
    await asked(here, faulty, "forgotten.example")
    await here.ready("Certificate", "web")


@pytest.mark.parametrize("path", ["chalZ", "finalize"])
@pytest.mark.parametrize(("status", "code"), [(429, "rateLimited"), (503, "serverInternal")])
async def test_left_alone(here: World, faulty: FaultyCA, path: str, status: int, code: str) -> None:
    """A CA that names a time at a later step is left alone until then, is asked once, and it is not a failure."""
    asked_at: list[float] = []

    def busy(method: str, at: str) -> Reply | None:
        if method != "POST" or path not in at:
            return None
        asked_at.append(time.monotonic())
        return problem(status, code, "not now", Retry_After="3") if len(asked_at) == 1 else None

    faulty.rule = busy
    await asked(here, faulty, f"alone-{status}-{path.lower()}.example")
    found = await here.ready("Certificate", "web")
    assert not found["status"].get("failedIssuanceAttempts")
    assert asked_at[1] - asked_at[0] > 2
    assert orders_made(faulty) == 1


async def test_rate_limited_for_an_account(here: World, faulty: FaultyCA) -> None:
    """A 429 for a new account is told in the issuer, which asks again when its time has come, and not before."""
    asked_at: list[float] = []

    def limited(method: str, path: str) -> Reply | None:
        if method != "POST" or "sign-me-up" not in path:
            return None
        asked_at.append(time.monotonic())
        return problem(429, "rateLimited", "too many registrations", Retry_After="3") if len(asked_at) == 1 else None

    faulty.rule = limited
    issuer = await here.issuer("acme", spec(faulty))  # type: ignore[arg-type]  # as in asked
    found = await here.condition("ClusterIssuer", issuer, status="False", reason="ErrRegisterACMEAccount")
    assert "too many registrations" in str(found["status"])
    await here.touch("ClusterIssuer", issuer)
    await here.ready("ClusterIssuer", issuer)
    assert asked_at[1] - asked_at[0] > 2


async def test_the_ca_is_away(here: World, faulty: FaultyCA) -> None:
    """A CA that nobody answers for is told in the Order, many tries cost no limit, and the order is made when it is back."""
    issuer = await here.issuer("acme", spec(faulty))  # type: ignore[arg-type]  # as in asked
    await here.ready("ClusterIssuer", issuer)
    tries: list[str] = []

    def away(_method: str, path: str) -> None:
        tries.append(path)
        raise ConnectionAbortedError  # the connection ends without an answer

    faulty.rule = away
    await here.certificate("web", issuer, commonName=None, dnsNames=["away.example"])

    async def told() -> bool:
        found = [one.get("status", {}).get("reason", "") for one in await here.list("Order")]
        return any("127.0.0.1" in one or "localhost" in one or "CA" in one for one in found)

    await here.until("the Order says that nobody answers", told)

    async def often() -> bool:
        for one in await here.list("Order"):  # looked at again, without waiting for the growing pauses
            await here.touch("Order", one["metadata"]["name"])
        return len(tries) > 10

    await here.until("more tries than any limit of ours has for a week", often)
    faulty.rule = lambda _method, _path: None
    found = await here.ready("Certificate", "web")
    assert not found["status"].get("failedIssuanceAttempts")
    assert orders_made(faulty) == 1


async def test_a_ca_that_has_forgotten_everything(here: World, start: Start, presenter: ServerPresenter) -> None:
    """A CA that has lost account and order: the order ends and says so; the account is made again, and a certificate comes."""
    ca = start()
    issuer = await here.issuer("acme", spec(ca))
    presenter.waits = Reason("NoGateway", "not yet")
    await here.certificate("web", issuer, commonName=None, dnsNames=["forgotten.example"])

    async def waits() -> bool:
        return any(one.get("status", {}).get("reason") == "not yet" for one in await here.list("Challenge"))

    await here.until("a Challenge that waits", waits)
    before = (await here.ready("ClusterIssuer", issuer))["status"]["acme"]["uri"]
    ca.stop()
    ca.start()
    presenter.waits = None
    await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    await here.restart(ahead=dt.timedelta(hours=2))
    await here.ready("Certificate", "web")
    after = (await here.ready("ClusterIssuer", issuer))["status"]["acme"]["uri"]
    assert after != before


async def test_already_replaced(here: World, faulty: FaultyCA) -> None:
    """When the CA says that the certificate was replaced already, the renewal is ordered without it, and is not a failure."""
    await asked(here, faulty, "replaced.example")
    await here.ready("Certificate", "web")
    faulty.rule = times(1, "order-plz", problem(409, "alreadyReplaced", "there is one"))
    faulty.seen.clear()
    await here.edit("Certificate", "web", {"spec": {"dnsNames": ["replaced.example", "more.example"]}})

    async def renewed() -> bool:
        found = await here.get("Certificate", "web")
        return found is not None and found["status"].get("revision") == 2

    await here.until("the second revision", renewed)
    assert [status for _, path, status in faulty.seen if "order-plz" in path] == [409, 201]
    found = await here.ready("Certificate", "web")
    assert not found["status"].get("failedIssuanceAttempts")


async def test_a_failed_validation_is_told_everywhere(here: World, start: Start, presenter: ServerPresenter) -> None:
    """What the CA says of a failed validation stands in Challenge, Order, request and Certificate, and in Events on them."""
    issuer = await here.issuer("acme", spec(start()))
    presenter.wrong = True
    await here.certificate("web", issuer, commonName=None, dnsNames=["wrong.example"])
    found = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    objects = [found]
    for kind in ("CertificateRequest", "Order", "Challenge"):
        objects += await here.list(kind)
    assert len(objects) == 4
    for one in objects:
        assert "unauthorized" in str(one["status"]), one

        async def event(one: Json = one) -> bool:
            events = await here.client.list(EVENTS, here.namespace)
            about = [each for each in events if each["involvedObject"]["uid"] == one["metadata"]["uid"]]
            return any("unauthorized" in each["message"] for each in about)

        await here.until(f"an Event on the {one['kind']}", event)
    (challenge,) = await here.list("Challenge")
    assert not challenge["status"].get("presented")
    assert presenter.removed


@pytest.mark.parametrize(("reuse", "proofs"), [(100, 1), (0, 2)])
async def test_authorizations_reused(
    here: World, start: Start, presenter: ServerPresenter, reuse: int, proofs: int
) -> None:
    """A name is proven once where the CA keeps what was proven, and each time where it does not."""
    issuer = await here.issuer("acme", spec(start(authz_reuse=reuse)))
    for name in ("first", "second"):
        await here.certificate(name, issuer, commonName=None, dnsNames=["reused.example"])
        await here.ready("Certificate", name)
    assert len(presenter.presented) == proofs


async def test_trusted_by_the_bundle_only(here: World, start: Start) -> None:
    """A CA whose root is in no system's store is not trusted without its bundle, and no account is asked for."""
    ca = start()
    name = await here.issuer("acme", spec(ca, caBundle=None))
    found = await here.condition("ClusterIssuer", name, status="False", reason="ErrRegisterACMEAccount")
    assert "its certificate is not trusted" in str(found["status"])
    acme = spec(ca)["acme"]
    await here.edit("ClusterIssuer", name, {"spec": {"acme": {"caBundle": acme["caBundle"]}}})
    await here.ready("ClusterIssuer", name)


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "processing", "expires": "2020-01-01T00:00:00Z"},
        {"status": "ready", "expires": "2020-01-01T00:00:00Z"},
        {"status": "valid", "certificate": None, "expires": "2020-01-01T00:00:00Z"},
        {"status": "processing", "expires": None},
    ],
    ids=["processing", "ready", "valid", "untold"],
)
async def test_an_order_that_never_ends(here: World, faulty: FaultyCA, shown: Json) -> None:
    """An order of which the CA makes nothing ends when its time is over; that counts, and the next one gives the certificate."""
    told = edit(lambda found: found.update(shown))
    faulty.rule = lambda method, path: told if method == "POST" and ("my-order" in path or "finalize" in path) else None
    await asked(here, faulty, "endless.example")
    if shown["expires"] is None:

        async def proven() -> bool:
            return any(one.get("status", {}).get("state") == "processing" for one in await here.list("Order"))

        await here.until("the CA to say that it works on it", proven)
        await here.restart(ahead=dt.timedelta(hours=25))
    found = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    assert found["status"]["failedIssuanceAttempts"] == 1
    (one,) = await here.list("Order")
    assert one["status"]["state"] == "expired"
    assert shown["status"] in one["status"]["reason"]
    faulty.rule = lambda _method, _path: None
    await here.restart()
    await here.edit("Certificate", "web", {"spec": {"dnsNames": ["endless.example", "second.example"]}})
    await here.ready("Certificate", "web")
    assert orders_made(faulty) == 2


async def test_a_certificate_that_is_never_there(here: World, faulty: FaultyCA) -> None:
    """A certificate that the CA does not have at the URL that it gave is asked for until the order's time is over, no longer."""
    faulty.rule = lambda _method, path: problem(404, "malformed", "no such thing") if "certZ" in path else None
    await asked(here, faulty, "nowhere.example")

    async def waits() -> bool:
        return any("no such thing" in one.get("status", {}).get("reason", "") for one in await here.list("Order"))

    await here.until("the Order says what it waits for", waits)
    await here.restart(ahead=dt.timedelta(days=31))
    await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    (one,) = await here.list("Order")
    assert one["status"]["state"] == "expired"


async def test_an_alternative_chain_that_is_not_there(here: World, start: Start) -> None:
    """A chain that was wished for and that the CA does not have is told, and the certificate comes with the CA's own."""
    with FaultyCA(start(alternate_roots=1)) as ca:
        ca.rule = lambda _method, path: problem(404, "malformed", "no such chain") if "/alternate/" in path else None
        issuer = await here.issuer("acme", spec(ca, preferredChain="no such root"))  # type: ignore[arg-type]  # as in asked
        await here.certificate("web", issuer, commonName=None, dnsNames=["chains.example"])
        await here.ready("Certificate", "web")
        assert any("/alternate/" in path and status == 404 for _, path, status in ca.seen)
        (one,) = await here.list("Order")
        assert "no such root" in one["status"]["reason"]
        assert "no such chain" in one["status"]["reason"]
