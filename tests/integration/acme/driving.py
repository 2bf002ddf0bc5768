"""Walks an ACME order to its end in the order of RFC 8555, section 7.1.6. Also runs as a process of its own.

`python -m tests.integration.acme.driving` reads JSON from stdin and resumes an order that another process made.
"""

import asyncio
import datetime as dt
import ipaddress
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from issuers.acme import challenge, order
from issuers.acme.account import AccountKey, Registration, load_key
from issuers.acme.account import generate_key as generate_account_key
from issuers.acme.chain import Chain, read_chain
from issuers.acme.client import Server, Session
from issuers.acme.errors import AcmeError, Problem, RetryLater, judge
from issuers.acme.identifiers import identifiers
from issuers.acme.order import AuthorizationStatus, ChallengeStatus, OrderStatus
from issuers.acme.targets import AddressRule
from issuers.private_key import generate_key
from tests.localmesh.pebble import ChallengeServer, Pebble

T = TypeVar("T")
# A MAC key that is long enough for every algorithm, and an account key of everybody.
MAC = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12WzWNDZM6eQGHWpSRTPal5eA"
KEY_PEM = generate_account_key()
KEY = load_key(KEY_PEM)
LOOPBACK = AddressRule(allowed=(ipaddress.ip_network("127.0.0.0/8"),))


Start = Callable[..., Pebble]
Talk = Callable[..., Session]


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def wish(*names: str, profile: str | None = None, replaces: str | None = None) -> order.Wish:
    return order.Wish(identifiers(names), profile, replaces)


def server(directory: str, bundle: bytes, seconds: float = 10) -> Server:
    return Server(directory, LOOPBACK, bundle, seconds=seconds)


async def join(session: Session, registration: Registration | None = None) -> None:
    """Register, and use the account."""
    session.account_url = (await session.register(registration or Registration())).url


async def patiently(act: Callable[[], Awaitable[T]]) -> T:
    """Again and again while it may pass, without the waits of a controller."""
    for _ in range(200):
        try:
            return await act()
        except AcmeError as error:
            if not isinstance(judge(error, utc_now()), RetryLater):
                raise
    return await act()


@dataclass(frozen=True)
class FetchAuthorizations:
    """They are read next."""

    urls: tuple[str, ...]


@dataclass(frozen=True)
class Solve:
    """These are proven next."""

    authorizations: tuple[order.Authorization, ...]


@dataclass(frozen=True)
class Poll:
    """The CA works on it."""


@dataclass(frozen=True)
class Finalize:
    """The CSR is sent next."""


@dataclass(frozen=True)
class Download:
    """The end: the certificate is there."""

    url: str


@dataclass(frozen=True)
class Failed:
    """The other end."""

    problem: Problem
    authorization: order.Authorization | None = None


Step = FetchAuthorizations | Solve | Poll | Finalize | Download | Failed


def next_step(made: order.Order, known: dict[str, order.Authorization]) -> Step:
    """What comes next. `known` are the authorizations as read since anything was done."""
    if made.status is OrderStatus.VALID and made.certificate is not None:
        return Download(made.certificate)
    if made.status is OrderStatus.READY:
        return Finalize()
    if made.status in (OrderStatus.PROCESSING, OrderStatus.VALID):
        return Poll()
    if missing := tuple(url for url in made.authorizations if url not in known):
        return FetchAuthorizations(missing)
    for one in known.values():
        if one.status is AuthorizationStatus.INVALID and (problem := one.error()):
            return Failed(problem, one)
    if made.status is OrderStatus.INVALID:
        assert made.error is not None
        return Failed(made.error)
    pending = [one for one in known.values() if one.status is AuthorizationStatus.PENDING]
    working = (ChallengeStatus.PROCESSING, ChallengeStatus.VALID)
    untouched = tuple(one for one in pending if not any(each.status in working for each in one.challenges))
    return Solve(untouched) if untouched else Poll()


@dataclass
class Driver:
    """One order of one account. `steps` are the names of the steps that were taken."""

    session: Session
    key: AccountKey
    challenges: ChallengeServer | None
    wish: order.Wish
    wanted: Sequence[str] = (challenge.HTTP01, challenge.DNS01)
    present: bool = True
    patient: bool = False
    steps: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leaf_key = generate_key("ECDSA")
        self.order: order.Order | None = None

    def csr(self) -> x509.CertificateSigningRequest:
        names: list[x509.GeneralName] = [
            x509.DNSName(one.value) if one.type == "dns" else x509.IPAddress(ipaddress.ip_address(one.value))
            for one in self.wish.identifiers
        ]
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.leaf_key, hashes.SHA256())

    async def run(self, until: str = "") -> Step:
        """To the end, which is Download or Failed; or to the first step called `until`.

        What may pass is tried again, as the controller would after its backoff; what is fatal is raised.
        """
        end = time.monotonic() + 15
        known: dict[str, order.Authorization] = {}
        while time.monotonic() < end:
            try:
                if self.order is None:
                    self.order = await self.session.new_order(self.wish)
                step = next_step(self.order, known)
                self.steps.append(type(step).__name__)
                if type(step).__name__ == until:
                    return step
                match step:
                    case FetchAuthorizations(urls):
                        known |= {url: await self.session.authorization(url, self.wish) for url in urls}
                    case Solve(found):
                        for one in found:
                            await self._solve(one)
                        known = {}
                    case Poll():
                        await asyncio.sleep(0.1)
                        known = {}
                        self.order = await self.session.order(self.order.url, self.wish)
                    case Finalize():
                        self.order = await self.session.finalize(self.order, self.csr(), self.wish)
                    case _:
                        return step
            except AcmeError as error:
                verdict = judge(error, utc_now())
                if not isinstance(verdict, RetryLater):
                    raise
                self.refusals.append(verdict.text)
                known = {}  # part of a step may have been done
        raise TimeoutError(f"no end after {self.refusals[-3:]}, {self.steps[-9:]}")

    async def chains(self) -> list[Chain]:
        """All chains of the certificate, checked; the order must be there."""
        step = await self.run()
        assert isinstance(step, Download), step
        found = await (
            patiently(lambda: self.session.chains(step.url)) if self.patient else self.session.chains(step.url)
        )
        return [read_chain(pem, self.wish, self.leaf_key, utc_now()) for pem in found.pems]

    async def _solve(self, one: order.Authorization) -> None:
        chosen = choose(one, self.wanted)
        if self.present and self.challenges is not None:
            thumbprint = self.key.thumbprint
            if chosen.type == challenge.HTTP01:
                self.challenges.add_http(chosen.token, challenge.key_authorization(chosen.token, thumbprint))
            else:
                record = f"_acme-challenge.{one.identifier.base}"
                self.challenges.add_txt(record, challenge.dns_value(chosen.token, thumbprint))
        await self.session.accept(chosen)


def choose(one: order.Authorization, wanted: Sequence[str]) -> order.Challenge:
    """The first of the wanted ways that is on offer."""
    offered = {each.type: each for each in one.challenges}
    return next(offered[kind] for kind in wanted if kind in offered)


async def main() -> None:
    """Resume an order of which only the URL, the names and the account's key are known."""
    given = json.load(sys.stdin)
    key = load_key(given["key"].encode())
    session = Session(server(given["directory"], given["bundle"].encode()), key, utc_now)
    account = await session.find_account()
    assert account is not None
    session.account_url = account.url
    driver = Driver(session, key, None, wish(*given["names"]))
    driver.order = await session.order(given["order"], driver.wish)
    chains = await driver.chains()
    await session.close()
    print(json.dumps({"steps": driver.steps, "leaf": chains[0].leaf.serial_number}))


if __name__ == "__main__":
    asyncio.run(main())
