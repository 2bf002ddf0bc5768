"""A CA in trouble: Orders wait as they are told to, say so, and go on by themselves with the one order that was made."""

import datetime as dt
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.acme_faults import FaultyCA, Reply, http_date, problem, times
from tests.integration.edge.conftest import Start, spec
from tests.integration.slow_controllers import World

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
    """A 429 is waited for as long as it says, is told in the Order, and is no failure of the Certificate."""
    when: list[str] = []

    def limited(method: str, path: str) -> Reply | None:
        if method != "POST" or "order-plz" not in path or len(when) >= 1:
            return None
        when.append(retry_after())
        return problem(429, "rateLimited", "too many new orders", Retry_After=when[0])

    faulty.rule = limited
    await asked(here, faulty, "limited.example")

    async def told() -> bool:
        return any("too many new orders" in str(one.get("status")) for one in await here.list("Order"))

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
