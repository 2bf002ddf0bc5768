"""One account's conversation with one CA, one request at a time: each method is one step of RFC 8555.

No method waits or polls; the caller says what comes next. Messages that are sent are the `acme` library's, with
the fields that it lacks; answers are read by `answers`.

Not thread-safe; see sessions.py. `account_url` must be set before anything but find and register.
"""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acme import messages
from cryptography import x509
from josepy.interfaces import JSONDeSerializable
from josepy.json_util import field

from issuers.acme import answers
from issuers.acme.account import AccountKey, ExternalAccount, Registration
from issuers.acme.answers import Account, Directory, Window
from issuers.acme.client.network import Network, alternates
from issuers.acme.client.transport import Answer, Server, Transport
from issuers.acme.errors import MalformedAnswer, Refused
from issuers.acme.order import Authorization, Challenge, Order, Wish
from issuers.acme.targets import same_origin

# RFC 8555, section 7.1.1 has nothing on its age; a CA announces ARI or profiles here.
_DIRECTORY_SECONDS = 3600.0
_MAX_ALTERNATES = 8
_CHAIN_TYPE = "application/pem-certificate-chain"
# What a CA may answer when it does not take `replaces`: RFC 9773, section 5. Without it the order is a plain new one.
_NOT_REPLACED = frozenset({"alreadyReplaced", "malformed", "unauthorized"})


class _NewOrder(messages.NewOrder):
    """The library's message with the fields that it lacks (RFC 8555, 7.4; RFC 9773, 5)."""

    replaces: str | None = field("replaces", omitempty=True)
    not_after: str | None = field("notAfter", omitempty=True)


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """What ARI answered: the window, and when the CA wants to be asked again."""

    window: Window
    retry_after: dt.datetime | None


class Session:
    """The steps of ACME. Each raises errors.AcmeError: Refused, Unreachable, MalformedAnswer, ForbiddenTarget."""

    def __init__(self, server: Server, key: AccountKey, clock: Callable[[], dt.datetime]) -> None:
        self.account_url: str | None = None
        self._url = server.directory
        self._key = key
        self._transport = Transport(server)
        self._network = Network(self._transport, key, clock)
        self._origin = self._transport.origin
        self._directory: tuple[float, Directory] | None = None

    def begin(self, action: str) -> None:
        """Name what the next requests are for, for Server.observe."""
        self._transport.action = action

    def close(self) -> None:
        """Close its connection."""
        self._transport.close()

    def directory(self) -> Directory:
        """The CA's directory, read again each hour."""
        if self._directory is None or time.monotonic() - self._directory[0] > _DIRECTORY_SECONDS:
            answer = self._network.get(self._url)
            self._directory = (time.monotonic(), answers.read_directory(answer.body, self._origin))
        return self._directory[1]

    # -- accounts: RFC 8555, section 7.3 --

    def find_account(self) -> Account | None:
        """The account of our key, None when the CA has none."""
        body = messages.NewRegistration(only_return_existing=True)
        try:
            return self._account(self._by_key(self.directory().new_account, body))
        except Refused as error:
            if error.code == "accountDoesNotExist":
                return None
            raise

    def register(self, registration: Registration) -> Account:
        """Make an account for our key, or give the one that there is already (with the contacts that it has)."""
        fields: dict[str, Any] = {"contact": registration.contact(), "terms_of_service_agreed": registration.agreed}
        if registration.external is not None:
            fields["external_account_binding"] = self._binding(registration.external)
        return self._account(self._by_key(self.directory().new_account, messages.NewRegistration(**fields)))

    def update_account(self, registration: Registration) -> Account:
        """Set the account's contacts."""
        body = messages.UpdateRegistration(contact=registration.contact())
        return answers.read_account(self._post(self._kid(), body).body, self._kid(), self._origin)

    # -- orders: RFC 8555, sections 7.4 and 7.5 --

    def new_order(self, wish: Wish) -> Order:
        """Order. When the CA does not take `wish.replaces`, or has no ARI, the order is made without; Order.replaces says so."""
        if wish.replaces is not None and self.directory().renewal_info is None:
            wish = wish.without_replaces()
        try:
            return self._new_order(wish)
        except Refused as error:
            if wish.replaces is None or not (error.http_status == 409 or error.code in _NOT_REPLACED):
                raise
        return self._new_order(wish.without_replaces())

    def order(self, url: str, wish: Wish) -> Order:
        """Read an order again, also one that another process made."""
        answer = self._post(url, None)
        return answers.read_order(answer.body, url, wish, self._origin, self._network.retry_after(answer))

    def authorization(self, url: str, wish: Wish) -> Authorization:
        """Read an authorization."""
        answer = self._post(url, None)
        return answers.read_authorization(answer.body, url, wish, self._origin, self._network.retry_after(answer))

    def accept(self, challenge: Challenge) -> Challenge:
        """Tell the CA that the answer is there to be seen."""
        return answers.read_challenge(self._send(challenge.url, b"{}").body, self._origin)

    def finalize(self, order: Order, csr: x509.CertificateSigningRequest, wish: Wish) -> Order:
        """Send the CSR; its names must be those of the order. The certificate may be there at once or later."""
        answer = self._post(order.finalize, messages.CertificateRequest(csr=csr))
        return answers.read_order(answer.body, order.url, wish, self._origin, self._network.retry_after(answer))

    def chains(self, url: str, *, all_of_them: bool = True) -> tuple[bytes, ...]:
        """The certificate at an order's URL as PEM chains, the CA's own choice first; unchecked, see chain.read_chain."""
        first = self._chain(url)
        others = alternates(first, url)[:_MAX_ALTERNATES] if all_of_them else ()
        found = [self._chain(same_origin(other, self._origin, "certificate: alternate")).body for other in others]
        return (first.body, *found)

    # -- renewal: RFC 9773 --

    def renewal_info(self, certificate_id: str) -> RenewalInfo | None:
        """The CA's advice on a certificate (renewal.certificate_id); None when the CA has no ARI."""
        base = self.directory().renewal_info
        if base is None:
            return None
        answer = self._network.get(f"{base.rstrip('/')}/{certificate_id}")
        return RenewalInfo(answers.read_window(answer.body), self._network.retry_after(answer))

    # -- how it is sent --

    def _new_order(self, wish: Wish) -> Order:
        types = {"dns": messages.IDENTIFIER_FQDN, "ip": messages.IDENTIFIER_IP}
        body = _NewOrder(
            identifiers=[messages.Identifier(typ=types[one.type], value=one.value) for one in wish.identifiers],
            profile=wish.profile,
            replaces=wish.replaces,
            not_after=None if wish.not_after is None else wish.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        answer = self._post(self.directory().new_order, body)
        url = answer.headers.get("Location")
        return answers.read_order(answer.body, url, wish, self._origin, self._network.retry_after(answer))

    def _chain(self, url: str) -> Answer:
        new_nonce = self.directory().new_nonce
        answer = self._network.post(url, b"", new_nonce, account=self._kid(), accept=_CHAIN_TYPE)
        if answer.content_type != _CHAIN_TYPE:
            raise MalformedAnswer(f"certificate: the answer is not {_CHAIN_TYPE}")
        return answer

    def _binding(self, external: ExternalAccount) -> dict[str, Any]:
        return messages.ExternalAccountBinding.from_data(
            self._key.jwk.public_key(),
            external.key_id,
            external.mac_key,
            messages.Directory({"newAccount": self.directory().new_account}),
            external.algorithm,
        )

    def _account(self, answer: Answer) -> Account:
        return answers.read_account(answer.body, answer.headers.get("Location"), self._origin)

    def _by_key(self, url: str, message: JSONDeSerializable) -> Answer:
        return self._network.post(url, _payload(message), self.directory().new_nonce, account=None)

    def _post(self, url: str, message: JSONDeSerializable | None) -> Answer:
        return self._send(url, b"" if message is None else _payload(message))

    def _send(self, url: str, payload: bytes) -> Answer:
        account = self._kid()
        return self._network.post(url, payload, self.directory().new_nonce, account=account)

    def _kid(self) -> str:
        if self.account_url is None:
            raise RuntimeError("account_url must be set first")
        return same_origin(self.account_url, self._origin, "the account's URL")


def _payload(message: JSONDeSerializable) -> bytes:
    text: str = message.json_dumps()
    return text.encode()
