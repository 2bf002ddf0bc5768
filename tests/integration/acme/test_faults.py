"""A CA that refuses, limits, breaks off or is gone: what the ACME client makes of it."""

import datetime as dt
import time
from dataclasses import replace

import pytest

from issuers.acme import account, order
from issuers.acme.account import Registration
from issuers.acme.client.network import NONCE_TRIES
from issuers.acme.errors import (
    Fatal,
    MalformedAnswer,
    RateLimited,
    Refused,
    RetryLater,
    Unreachable,
    judge,
    judge_problem,
)
from tests.fakes.acme_faults import FaultyCA, Reply, edit, http_date, problem, times
from tests.integration.acme.driving import (
    KEY,
    MAC,
    Download,
    Driver,
    Failed,
    Start,
    Talk,
    join,
    patiently,
    utc_now,
    wish,
)
from tests.localmesh.pebble import ChallengeServer

pytestmark = pytest.mark.integration


async def test_an_order_that_is_gone(start: Start, talk: Talk) -> None:
    """An order that the CA has forgotten is not a fatal matter."""
    session = talk(start())
    await join(session)
    made = await session.new_order(wish("gone.example.com"))
    with pytest.raises(Refused) as refused:
        await session.order(made.url + "0", wish("gone.example.com"))
    assert refused.value.http_status == 404
    assert isinstance(judge(refused.value, utc_now()), RetryLater)


async def test_nine_of_ten_nonces_refused(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """With 90% of good nonces refused an order still gets to its end, and there is one order."""
    ca = start(nonce_reject=90)
    session = talk(ca)
    await patiently(lambda: join(session))
    driver = Driver(session, KEY, answers, wish("nonces.example.com"), patient=True)
    assert await driver.chains()
    assert ca.orders() == 1


async def test_already_replaced_is_seen(start: Start, talk: Talk) -> None:
    """The problem of a 409 is not lost: the proxy's is read as what it is, and answered by an order without."""
    with FaultyCA(start()) as ca:
        session = talk(ca)
        await join(session)
        ca.rule = times(1, "order-plz", problem(409, "alreadyReplaced"))
        made = await session.new_order(wish("seen.example.com", replaces="AAAA.AAAA"))
        assert made.replaces is None
        assert [status for _, path, status in ca.seen if "order-plz" in path] == [409, 201]


async def test_replaces_without_ari(start: Start, talk: Talk) -> None:
    """A CA without ARI is asked for a plain order, whatever it replaces."""
    with FaultyCA(start()) as ca:
        ca.rule = times(1, "/dir", edit(lambda found: found.pop("renewalInfo")), "GET")
        session = talk(ca)
        await join(session)
        assert (await session.new_order(wish("plain.example.com", replaces="AAAA.AAAA"))).replaces is None
        assert [status for _, path, status in ca.seen if "order-plz" in path] == [201]


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_rate_limited(start: Start, talk: Talk, form: str) -> None:
    """429 is not a failure: both forms of Retry-After give the same aware instant, and the nonce is not lost."""
    until = utc_now().replace(microsecond=0) + dt.timedelta(hours=2)
    header = "7200" if form == "seconds" else http_date(until)
    with FaultyCA(start()) as ca:
        session = talk(ca)
        await join(session)
        ca.rule = times(1, "order-plz", problem(429, "rateLimited", "too many new orders", Retry_After=header))
        with pytest.raises(Refused) as refused:
            await session.new_order(wish("limited.example.com"))
        verdict = judge(refused.value, utc_now())
        assert isinstance(verdict, RateLimited)
        assert abs(verdict.not_before - until) < dt.timedelta(seconds=10)
        assert verdict.text == "rateLimited: too many new orders"
        assert (await session.new_order(wish("limited.example.com"))).status is order.OrderStatus.PENDING


async def test_unavailable(start: Start, talk: Talk) -> None:
    """503 passes by itself; a page that is not a problem document is not shown to anybody."""
    page = Reply(503, (("Content-Type", "text/html"), ("Retry-After", "120")), b"<h1>secret maintenance</h1>")
    with FaultyCA(start()) as ca:
        session = talk(ca)
        await join(session)
        ca.rule = times(1, "order-plz", page)
        with pytest.raises(Refused) as refused:
            await session.new_order(wish("busy.example.com"))
        verdict = judge(refused.value, utc_now())
        assert isinstance(verdict, RetryLater)
        assert verdict.text == "HTTP status 503"
        assert verdict.not_before is not None
        assert verdict.not_before > utc_now() + dt.timedelta(seconds=100)


async def test_badnonce_storm(start: Start, talk: Talk) -> None:
    """A refused nonce is tried again, fifty times in all; then it is something that passes."""
    with FaultyCA(start()) as ca:
        session = talk(ca)
        await join(session)
        bad = problem(400, "badNonce")
        ca.rule = times(NONCE_TRIES - 1, "order-plz", bad)
        await session.new_order(wish("last.example.com"))
        ca.rule = times(NONCE_TRIES + 9, "order-plz", bad)
        ca.seen.clear()
        with pytest.raises(Refused, match="badNonce") as refused:
            await session.new_order(wish("too-many.example.com"))
        assert len([path for method, path, _ in ca.seen if method == "POST"]) == NONCE_TRIES
        assert isinstance(judge(refused.value, utc_now()), RetryLater)


async def test_failed_validation(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """A proof that fails ends in the CA's own words, at the name that failed."""
    session = talk(start())
    await join(session)
    driver = Driver(session, KEY, answers, wish("fine.example.com", "failing.example.com"))
    answers.set_servfail("failing.example.com")
    step = await driver.run()
    assert isinstance(step, Failed)
    assert step.authorization is not None
    assert step.authorization.identifier.value == "failing.example.com"
    assert "failing.example.com" in step.problem.text()
    assert isinstance(judge_problem(step.problem, utc_now()), RetryLater)


async def test_a_wrong_answer(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """An answer that is not there is told as such, and is not shown longer than 512 characters."""
    session = talk(start())
    await join(session)
    step = await Driver(session, KEY, answers, wish("nothing.example.com"), present=False).run()
    assert isinstance(step, Failed)
    assert step.problem.code == "unauthorized"
    assert 0 < len(step.problem.text()) <= 512


async def test_a_blocked_name(start: Start, talk: Talk) -> None:
    """A name that the CA never issues for is fatal, and the text says which one."""
    session = talk(start(blocked=("blocked.example",)))
    await join(session)
    with pytest.raises(Refused) as refused:
        await session.new_order(wish("fine.example.com", "www.blocked.example"))
    verdict = judge(refused.value, utc_now())
    assert isinstance(verdict, Fatal)
    assert verdict.reason == "rejectedIdentifier"
    assert "blocked.example" in verdict.text


async def test_too_slow(start: Start, talk: Talk) -> None:
    """An answer that comes byte by byte ends with the time for all of it, not with the time for a byte."""
    with FaultyCA(start()) as ca:
        ca.rule = times(1, "/dir", Reply(200, (), b" " * 100, drip=0.2), "GET")
        session = talk(ca, seconds=0.6)
        started = time.monotonic()
        with pytest.raises(Unreachable, match="no answer within"):
            await session.directory()
        assert time.monotonic() - started < 5
        assert (await session.directory()).new_order


async def test_cut_off(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """A chain that breaks off, on the wire or in its text, is not a chain; the same order gives the whole one afterwards."""
    with FaultyCA(start()) as ca:
        session = talk(ca)
        await join(session)
        driver = Driver(session, KEY, answers, wish("cut.example.com"))
        assert isinstance(await driver.run(), Download)
        ca.rule = times(1, "certZ", lambda reply: replace(reply, cut_at=700))
        with pytest.raises(Unreachable, match="cut off"):
            await driver.chains()
        for cut in (slice(0, 700), slice(0, -30), slice(0, 0)):
            ca.rule = times(1, "certZ", lambda reply, cut=cut: replace(reply, body=reply.body[cut]))  # type: ignore[misc]
            with pytest.raises(MalformedAnswer, match="certificate"):
                await driver.chains()
        ca.rule = times(1, "certZ", lambda reply: replace(reply, headers=(("Content-Type", "text/html"),)))
        with pytest.raises(MalformedAnswer, match="pem-certificate-chain"):
            await driver.chains()
        assert await driver.chains()


async def test_the_ca_gone_for_a_while(start: Start, talk: Talk) -> None:
    """A CA that is not there is something that passes, and the session goes on when it is back."""
    ca = start()
    session = talk(ca)
    await join(session)
    ca.stop()
    with pytest.raises(Unreachable) as gone:
        await session.new_order(wish("gone.example.com"))
    assert isinstance(judge(gone.value, utc_now()), RetryLater)
    ca.start()
    await join(session)
    assert (await session.new_order(wish("gone.example.com"))).status is order.OrderStatus.PENDING


async def test_nothing_secret_is_said(start: Start, talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the account's key nor the MAC key stands in a log record, at any level, or in what is printed of them."""
    caplog.set_level("DEBUG")
    session = talk(start(external_accounts={"kid-1": MAC}))
    registration = Registration(external=account.external_account("kid-1", MAC.encode()))
    await join(session, registration)
    said = caplog.text + repr((registration, KEY, session, await session.directory()))
    private = KEY.jwk.to_partial_json()["d"]
    assert MAC not in said
    assert private not in said
