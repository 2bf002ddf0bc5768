"""Accounts, orders and renewals of the ACME client against a real CA, Pebble."""

import asyncio
import base64
import datetime as dt
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.acme import account, challenge, order, renewal
from issuers.acme.account import AccountKey, Registration
from issuers.acme.chain import choose_chain
from issuers.acme.errors import (
    Fatal,
    MalformedAnswer,
    Refused,
    judge,
)
from issuers.private_key import encode_key, generate_key
from tests.integration.acme import driving
from tests.integration.acme.driving import (
    KEY,
    KEY_PEM,
    MAC,
    Driver,
    Solve,
    Start,
    Talk,
    choose,
    join,
    utc_now,
    wish,
)
from tests.localmesh.pebble import PROFILES, ChallengeServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "key",
    [KEY, account.load_key(encode_key(generate_key("RSA"))), account.load_key(encode_key(generate_key("ECDSA", 384)))],
)
async def test_account(start: Start, talk: Talk, key: AccountKey) -> None:
    """An account is made once, found by its key, and keeps the contacts that it was given last."""
    session = talk(start(), key)
    assert await session.find_account() is None
    made = await session.register(Registration(("a@example.com",)))
    assert made.valid
    assert made.contact == ("mailto:a@example.com",)
    assert await session.find_account() == made
    assert await session.register(Registration(("other@example.com",))) == made
    session.account_url = made.url
    assert (await session.update_account(Registration(("b@example.com", "c@example.com")))).contact == (
        "mailto:b@example.com",
        "mailto:c@example.com",
    )


async def test_a_deactivated_account(start: Start, talk: Talk) -> None:
    """A deactivated account orders nothing, and that is fatal."""
    session = talk(start())
    await join(session)
    assert session.account_url is not None
    await session._send(session.account_url, b'{"status":"deactivated"}')
    with pytest.raises(Refused) as refused:
        await session.new_order(wish("a.example.com"))
    assert isinstance(judge(refused.value, utc_now()), Fatal)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_external_account(start: Start, talk: Talk, algorithm: str) -> None:
    """A CA that wants an external account takes a binding with each MAC, and nobody without one."""
    session = talk(start(external_accounts={"kid-1": MAC}))
    with pytest.raises(Refused) as refused:
        await session.register(Registration())
    assert judge(refused.value, utc_now()) == Fatal("externalAccountRequired", refused.value.problem.text())
    bound = account.external_account("kid-1", f"{MAC}\n".encode(), algorithm)
    assert (await session.register(Registration(external=bound))).valid


async def test_http01(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """Two names by HTTP-01: from nothing to a chain that verifies against the CA's root, in steps."""
    ca = start()
    session = talk(ca)
    await join(session)
    driver = Driver(session, KEY, answers, wish("one.http.example.com", "two.http.example.com"))
    (chain,) = await driver.chains()
    assert driver.steps[:2] == ["FetchAuthorizations", "Solve"]
    assert driver.steps[-1] == "Download"
    assert ca.orders() == 1
    root = x509.load_pem_x509_certificate(ca.root())
    chain.certificates[-1].verify_directly_issued_by(root)
    assert len(chain.certificates) == 2


async def test_wildcard(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """A wildcard and its apex are proven by DNS-01 together, though both records have the same name."""
    session = talk(start())
    await join(session)
    driver = Driver(session, KEY, answers, wish("*.wild.example.com", "wild.example.com"), wanted=[challenge.DNS01])
    (chain,) = await driver.chains()
    names = chain.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(names.get_values_for_type(x509.DNSName)) == ["*.wild.example.com", "wild.example.com"]


async def test_an_address(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """An IP address is ordered, proven and checked as such."""
    session = talk(start())
    await join(session)
    (chain,) = await Driver(session, KEY, answers, wish("127.0.0.1")).chains()
    names = chain.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


async def test_resumed_by_another_process(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """A process that knows only the order's URL, the names and the account's key goes on with the same order."""
    ca = start()
    session = talk(ca)
    await join(session)
    driver = Driver(session, KEY, answers, wish("resumed.example.com"))
    step = await driver.run(until="Solve")
    assert isinstance(step, Solve)
    assert driver.order is not None
    for one in step.authorizations:
        chosen = choose(one, [challenge.HTTP01])
        answers.add_http(chosen.token, challenge.key_authorization(chosen.token, KEY.thumbprint))
    given = {
        "directory": ca.directory,
        "bundle": ca.authority.certificate.decode(),
        "key": KEY_PEM.decode(),
        "names": ["resumed.example.com"],
        "order": driver.order.url,
    }
    command = [sys.executable, "-W", "error", "-m", driving.__name__]
    run = partial(subprocess.run, capture_output=True, text=True, cwd=ROOT, check=False)
    done = await asyncio.to_thread(run, command, input=json.dumps(given))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"][-1] == "Download"
    assert ca.orders() == 1


@pytest.mark.parametrize("reuse", [0, 100])
async def test_authorizations_used_again(start: Start, talk: Talk, answers: ChallengeServer, reuse: int) -> None:
    """A CA that uses authorizations again needs no proof for the second order; one that does not wants it anew."""
    session = talk(start(authz_reuse=reuse))
    await join(session)
    await Driver(session, KEY, answers, wish("reuse.example.com")).chains()
    again = Driver(session, KEY, answers, wish("reuse.example.com"))
    await again.chains()
    assert ("Solve" in again.steps) is (reuse == 0)


async def test_renewal_info(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """The CA's advice is read as it was set, with its explanation; a revoked certificate is advised to go now."""
    ca = start()
    session = talk(ca)
    await join(session)
    driver = Driver(session, KEY, answers, wish("ari.example.com"))
    (chain,) = await driver.chains()
    named = renewal.certificate_id(chain.leaf)
    assert named is not None
    first = await session.renewal_info(named)
    assert first is not None
    assert chain.leaf.not_valid_before_utc < first.window.start < first.window.end < chain.leaf.not_valid_after_utc
    assert first.retry_after is not None
    assert dt.timedelta(hours=5) < first.retry_after - utc_now() <= dt.timedelta(hours=6)
    window = {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T01:00:00+01:00"}
    url = "https://example.com/incident"
    ca.set_renewal_info(chain.pem, json.dumps({"suggestedWindow": window, "explanationURL": url}))
    second = await session.renewal_info(named)
    assert second is not None
    assert second.window.start == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    assert second.window.end == dt.datetime(2026, 12, 2, tzinfo=dt.UTC)
    assert second.window.explanation == url
    ca.set_renewal_info(chain.pem, '{"suggestedWindow": {"start": "soon"')
    with pytest.raises(MalformedAnswer, match="renewalInfo"):
        await session.renewal_info(named)


async def test_revoked(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """When a certificate was revoked, the CA's advice is to renew at once."""
    ca = start()
    session = talk(ca)
    await join(session)
    driver = Driver(session, KEY, answers, wish("revoked.example.com"))
    (chain,) = await driver.chains()
    revoke, der = (await session.directory()).revoke_cert, chain.leaf.public_bytes(Encoding.DER)
    assert revoke is not None
    text = base64.urlsafe_b64encode(der).rstrip(b"=").decode()
    await session._send(revoke, json.dumps({"certificate": text, "reason": 1}).encode())
    assert ca.status(chain.leaf.serial_number) == "Revoked"
    named = renewal.certificate_id(chain.leaf)
    assert named is not None
    advice = await session.renewal_info(named)
    assert advice is not None
    assert advice.window.end <= utc_now()


async def test_replaces(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """A renewal names what it replaces; a second one is told alreadyReplaced (409) and ordered without."""
    session = talk(start())
    await join(session)
    (chain,) = await Driver(session, KEY, answers, wish("replaced.example.com")).chains()
    named = renewal.certificate_id(chain.leaf)
    renewed = Driver(session, KEY, answers, wish("replaced.example.com", replaces=named))
    await renewed.chains()
    assert renewed.order is not None
    assert renewed.order.replaces == named
    again = Driver(session, KEY, answers, wish("replaced.example.com", replaces=named))
    await again.chains()
    assert again.order is not None
    assert again.order.replaces is None


async def test_retry_after_of_an_order(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """While the CA works on an order, its Retry-After, in whichever form Pebble chose, says when to look again."""
    session = talk(start(retry_after=3))
    await join(session)
    for number in range(4):
        driver = Driver(session, KEY, answers, wish(f"later{number}.example.com"))
        await driver.run(until="Finalize")
        assert driver.order is not None
        finalized = await session.finalize(driver.order, driver.csr(), driver.wish)
        assert finalized.status is order.OrderStatus.PROCESSING
        assert finalized.retry_after is not None
        # A date has no parts of a second.
        assert 1 < (finalized.retry_after - utc_now()).total_seconds() <= 3


async def test_chains(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """Alternative chains are fetched and checked, and preferredChain picks by the name next to the root."""
    ca = start(alternate_roots=2)
    session = talk(ca)
    await join(session)
    chains = await Driver(session, KEY, answers, wish("chains.example.com")).chains()
    assert len({one.issuer_name for one in chains}) == 3
    assert len({one.leaf.serial_number for one in chains}) == 1
    wanted = x509.load_pem_x509_certificate(ca.root(2)).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0]
    assert choose_chain(chains, str(wanted.value)).issuer_name == wanted.value
    assert choose_chain(chains, "no such root") is chains[0]


async def test_profiles(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """The profile decides the life of the certificate; one that the CA does not have is fatal."""
    short = {"shortlived": {"description": "6 days", "validityPeriod": 6 * 86400}}
    session = talk(start(profiles={**PROFILES, **short}))
    await join(session)
    assert (await session.directory()).profiles == {"classic": "90 days", "shortlived": "6 days"}
    (chain,) = await Driver(session, KEY, answers, wish("profile.example.com", profile="shortlived")).chains()
    assert renewal.life(chain.leaf).length <= dt.timedelta(days=6)
    with pytest.raises(Refused) as refused:
        await session.new_order(wish("profile.example.com", profile="no-such"))
    verdict = judge(refused.value, utc_now())
    assert isinstance(verdict, Fatal)
    assert verdict.reason == "invalidProfile"


async def test_a_wanted_end(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """An order that names its end gets a certificate that ends then, from a CA that allows it."""
    session = talk(start())
    await join(session)
    end = (utc_now() + dt.timedelta(days=3)).replace(microsecond=0)
    asked = replace(wish("end.example.com"), not_after=end)
    (chain,) = await Driver(session, KEY, answers, asked).chains()
    assert abs(chain.leaf.not_valid_after_utc - end) <= dt.timedelta(seconds=1)


async def test_many_at_once(start: Start, talk: Talk, answers: ChallengeServer) -> None:
    """Many orders at once of one account share its nonces and connections, and all are issued."""
    ca = start(nonce_reject=20)
    session = talk(ca)
    await join(session)

    async def one(number: int) -> int:
        chains = await Driver(session, KEY, answers, wish(f"n{number}.many.example.com")).chains()
        return chains[0].leaf.serial_number

    serials = await asyncio.gather(*(one(number) for number in range(8)))
    assert len(set(serials)) == 8
    assert ca.orders() == 8
