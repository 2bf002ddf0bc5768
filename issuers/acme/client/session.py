"""One account's conversation with one CA: each method is one step of RFC 8555.

No method waits or polls; the caller says what comes next. Messages that are sent are the `acme` library's, with
the fields that it lacks; answers are read by `answers`.

Used on one event loop, by any number of callers at once: they share nonces and connections. `account_url` must be set
before anything but find and register.
"""

import asyncio
import datetime as dt
import functools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from acme import messages
from cryptography import x509
from josepy.interfaces import JSONDeSerializable
from josepy.json_util import field

from issuers.acme import answers
from issuers.acme.account import AccountKey, ExternalAccount, Registration
from issuers.acme.answers import Account, Directory, Window
from issuers.acme.client.network import Network, alternates
from issuers.acme.client.transport import Answer, Server, Transport, action
from issuers.acme.errors import AcmeError, Fatal, ForbiddenTarget, MalformedAnswer, Refused, judge_problem
from issuers.acme.order import Authorization, Challenge, Order, Wish
from issuers.acme.targets import link, origin, same_origin

P = ParamSpec("P")
T = TypeVar("T")
# RFC 8555, section 7.1.1 has nothing on its age; a CA announces ARI or profiles here.
_DIRECTORY_SECONDS = 3600.0
_MAX_ALTERNATES = 8
_CHAIN_TYPE = "application/pem-certificate-chain"
# What a CA may answer when it does not take `replaces`: RFC 9773, section 5. Without it the order is a plain new one.
_NOT_REPLACED = frozenset({"alreadyReplaced", "malformed", "unauthorized"})


def _step(
    method: Callable[Concatenate["Session", P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Session", P], Coroutine[Any, Any, T]]:
    """What is sent meanwhile is counted under the method's name."""

    @functools.wraps(method)
    async def step(self: "Session", /, *args: P.args, **kwargs: P.kwargs) -> T:
        before = action.set(method.__name__)
        try:
            return await method(self, *args, **kwargs)
        finally:
            action.reset(before)

    return step


class _NewOrder(messages.NewOrder):
    """The library's message with the fields that it lacks (RFC 8555, 7.4; RFC 9773, 5)."""

    replaces: str | None = field("replaces", omitempty=True)
    not_after: str | None = field("notAfter", omitempty=True)


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """What ARI answered: the window, and when the CA wants to be asked again."""

    window: Window
    retry_after: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A certificate's PEM chains, the CA's own choice first, unchecked (chain.read_chain); and why others were not had."""

    pems: tuple[bytes, ...]
    missed: tuple[str, ...] = ()


class Session:
    """The steps of ACME. Each raises errors.AcmeError: Refused, Unreachable, MalformedAnswer, ForbiddenTarget."""

    def __init__(self, server: Server, key: AccountKey, clock: Callable[[], dt.datetime]) -> None:
        self.account_url: str | None = None
        self._url = server.directory
        self._key = key
        self._transport = Transport(server)
        self._network = Network(self._transport, key, clock)
        self._clock = clock
        self._known: tuple[float, Directory] | None = None
        self._reading = asyncio.Lock()

    async def close(self) -> None:
        """Close its connections; what is called later raises RuntimeError."""
        await self._transport.close()

    @_step
    async def directory(self) -> Directory:
        """The CA's directory, read again each hour."""
        return await self._directory()

    async def leads_here(self, url: str) -> bool:
        """Tell whether a URL is at the directory's origin, or at one that the directory names now, for which it may be read."""
        try:
            found = origin(url)
        except ForbiddenTarget:
            return False
        return found == self._transport.origin or found in (await self.directory()).origins

    # -- accounts: RFC 8555, section 7.3 --

    @_step
    async def find_account(self) -> Account | None:
        """The account of our key; None when the CA has none, or does not say: a refused question is no refused registration.

        CAs that want a binding or the terms of service want them here too; with these they give the account that there is
        (RFC 8555, 7.3.1). What passes by itself is raised.
        """
        body = messages.NewRegistration(only_return_existing=True)
        try:
            return await self._new_account(body)
        except Refused as error:
            if isinstance(judge_problem(error.problem, self._clock(), error.retry_after), Fatal):
                return None
            raise

    @_step
    async def register(self, registration: Registration) -> Account:
        """Make an account for our key, or give the one that there is already (with the contacts that it has)."""
        fields: dict[str, Any] = {"contact": registration.contact(), "terms_of_service_agreed": registration.agreed}
        if registration.external is not None:
            fields["external_account_binding"] = await self._binding(registration.external)
        return await self._new_account(messages.NewRegistration(**fields))

    @_step
    async def update_account(self, registration: Registration) -> Account:
        """Set the account's contacts."""
        body = messages.UpdateRegistration(contact=registration.contact())
        answer = await self._post(self._account(), body)
        return answers.read_account(answer.body, self._account(), self._transport.origins)

    # -- orders: RFC 8555, sections 7.4 and 7.5 --

    @_step
    async def new_order(self, wish: Wish) -> Order:
        """Order. When the CA does not take `wish.replaces`, or has no ARI, the order is made without; Order.replaces says so."""
        if wish.replaces is not None and (await self._directory()).renewal_info is None:
            wish = wish.without_replaces()
        try:
            return await self._new_order(wish)
        except Refused as error:
            if wish.replaces is None or not (error.http_status == 409 or error.code in _NOT_REPLACED):
                raise
        return await self._new_order(wish.without_replaces())

    @_step
    async def order(self, url: str, wish: Wish) -> Order:
        """Read an order again, also one that another process made."""
        answer = await self._post(url, None)
        return answers.read_order(answer.body, url, wish, self._transport.origins, self._network.retry_after(answer))

    @_step
    async def authorization(self, url: str, wish: Wish) -> Authorization:
        """Read an authorization."""
        answer = await self._post(url, None)
        return answers.read_authorization(
            answer.body, url, wish, self._transport.origins, self._network.retry_after(answer)
        )

    @_step
    async def deactivate(self, url: str) -> None:
        """Give an authorization up: no order gets by with it any more (RFC 8555, 7.5.2)."""
        await self._send(url, b'{"status":"deactivated"}')

    @_step
    async def accept(self, challenge: Challenge) -> None:
        """Tell the CA that the answer is there to be seen; how it finds it, the authorization says."""
        await self._send(challenge.url, b"{}")

    @_step
    async def finalize(self, order: Order, csr: x509.CertificateSigningRequest, wish: Wish) -> Order:
        """Send the CSR; its names must be those of the order. The certificate may be there at once or later."""
        answer = await self._post(order.finalize, messages.CertificateRequest(csr=csr))
        return answers.read_order(
            answer.body, order.url, wish, self._transport.origins, self._network.retry_after(answer)
        )

    @_step
    async def chains(self, url: str, *, all_of_them: bool = True) -> Downloaded:
        """The certificate at an order's URL; with `all_of_them` the alternatives that can be had, too (RFC 8555, 7.4.2).

        A CA need not offer any, so one that cannot be had is passed over, whatever the reason.
        """
        first = await self._chain(url)
        others = alternates(first)[:_MAX_ALTERNATES] if all_of_them else ()
        pems, missed = [first.body], []
        for other in others:
            try:
                pems.append(
                    (await self._chain(link(other, url, self._transport.origins, "certificate: alternate"))).body
                )
            except AcmeError as error:
                missed.append(str(error))
        return Downloaded(tuple(pems), tuple(missed))

    # -- renewal: RFC 9773 --

    @_step
    async def renewal_info(self, certificate_id: str) -> RenewalInfo | None:
        """The CA's advice on a certificate (renewal.certificate_id); None when the CA has no ARI."""
        base = (await self._directory()).renewal_info
        if base is None:
            return None
        answer = await self._network.get(f"{base.rstrip('/')}/{certificate_id}")
        return RenewalInfo(answers.read_window(answer.body), self._network.retry_after(answer))

    # -- how it is sent --

    async def _new_order(self, wish: Wish) -> Order:
        types = {"dns": messages.IDENTIFIER_FQDN, "ip": messages.IDENTIFIER_IP}
        body = _NewOrder(
            identifiers=[messages.Identifier(typ=types[one.type], value=one.value) for one in wish.identifiers],
            profile=wish.profile,
            replaces=wish.replaces,
            not_after=None if wish.not_after is None else wish.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        asked = (await self._directory()).new_order
        answer = await self._post(asked, body)
        url, retry_after = answer.headers.get("Location"), self._network.retry_after(answer)
        return answers.read_order(answer.body, url, wish, self._transport.origins, retry_after, base=asked)

    async def _chain(self, url: str) -> Answer:
        answer = await self._send(url, b"", accept=_CHAIN_TYPE)
        if answer.content_type != _CHAIN_TYPE:
            raise MalformedAnswer(f"certificate: the answer is not {_CHAIN_TYPE}")
        return answer

    async def _binding(self, external: ExternalAccount) -> dict[str, Any]:
        return messages.ExternalAccountBinding.from_data(
            self._key.jwk.public_key(),
            external.key_id,
            external.mac_key,
            messages.Directory({"newAccount": (await self._directory()).new_account}),
            external.algorithm,
        )

    async def _new_account(self, message: messages.NewRegistration) -> Account:
        directory = await self._directory()
        asked = directory.new_account
        answer = await self._network.post(asked, _payload(message), directory.new_nonce, account=None)
        return answers.read_account(answer.body, answer.headers.get("Location"), self._transport.origins, asked)

    async def _post(self, url: str, message: JSONDeSerializable | None) -> Answer:
        return await self._send(url, b"" if message is None else _payload(message))

    async def _send(self, url: str, payload: bytes, *, accept: str | None = None) -> Answer:
        account = self._account()
        new_nonce = (await self._directory()).new_nonce
        return await self._network.post(url, payload, new_nonce, account=self._here(account), accept=accept)

    async def _directory(self) -> Directory:
        # Many orders begin at once after a start: it is read once for all of them.
        async with self._reading:
            if self._known is None or time.monotonic() - self._known[0] > _DIRECTORY_SECONDS:
                answer = await self._network.get(self._url)
                found = answers.read_directory(answer.body, self._transport.origin, self._url)
                self._transport.origins = found.origins
                self._known = (time.monotonic(), found)
            return self._known[1]

    def _account(self) -> str:
        if self.account_url is None:
            raise RuntimeError("account_url must be set first")
        return self.account_url

    def _here(self, account: str) -> str:
        """The account's URL, once the directory was read: it says where that may be."""
        return same_origin(account, self._transport.origins, "the account's URL")


def _payload(message: JSONDeSerializable) -> bytes:
    text: str = message.json_dumps()
    return text.encode()
