"""CertificateRequests of ACME issuers become Orders; how the Order ends is the answer (authorities.ordering).

Runs on the loop. The same request has the same Order, whoever asks and however often.
"""

from collections.abc import Callable

import msgspec
from cryptography import x509

from issuers.acme.client import Session
from issuers.acme.errors import AcmeError
from issuers.acme.identifiers import MAX_IDENTIFIERS
from issuers.acme.renewal import certificate_id
from issuers.request import SigningRequest
from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.api.order import FAILED_STATES, FINAL_STATES, ORDERS, Order
from signer.api.secret import SECRETS, TLS_CERT, Secret
from signer.authorities.ordering import Answer, Failed, Issued, Ordered
from signer.authorities.state import IssuerState
from signer.edge.accounts import Account, Accounts
from signer.edge.hostname import Host, read_host
from signer.edge.made import genuine_order, order_body
from signer.edge.permitting import Permit
from signer.edge.placeholder import is_placeholder
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, NotFound
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key
from signer.tenancy.claims import shown
from signer.tenancy.verdict import Refuse

_INVALID = "InvalidRequest"
_CERTIFICATE_NAME = "cert-manager.io/certificate-name"


class OrderedRequests:
    """Answers requests by their Orders. It lives as long as the process; `follow` begins and ends a term of leadership."""

    def __init__(
        self, client: ApiClient, accounts: Callable[[], Accounts | None], *, permit: Permit | None = None
    ) -> None:
        self._client = client
        self._permit = permit
        self._accounts = accounts
        self._wake: list[Callable[[Key], None]] = []
        self._orders: Reflector[Order] | None = None
        self._challenges: Reflector[Challenge] | None = None
        self._waiting: set[Key] = set()

    def follow(self, orders: Reflector[Order] | None, challenges: Reflector[Challenge] | None) -> None:
        """Answer from these copies from now on; None at the end of a term."""
        self._orders, self._challenges = orders, challenges
        if orders is not None:
            orders.subscribe(self._order_changed)
            for key in tuple(self._waiting):
                self._tell(key)
        if challenges is not None:
            challenges.subscribe(self._challenge_changed)

    def attach(self, wake: Callable[[Key], None]) -> None:
        """Call `wake` with the key of each request whose answer may have changed, from now on."""
        self._wake = [wake]

    def account_ready(self, _ref: IssuerRef) -> None:
        """Take up again what waits for an account."""
        for key in tuple(self._waiting):
            self._tell(key)

    def _tell(self, key: Key) -> None:
        for wake in self._wake:
            wake(key)

    def _order_changed(self, change: Change[Order]) -> None:
        if change.kind == "synced":
            for key in tuple(self._waiting):
                self._tell(key)
            return
        either = change.new or change.old
        if either is not None:
            self._tell_owner(either)

    def _tell_owner(self, order: Order) -> None:
        for owner in order.metadata.owner_references:
            if owner.controller and owner.kind == CERTIFICATE_REQUESTS.kind:
                self._tell((order.metadata.namespace, owner.name))

    def _challenge_changed(self, change: Change[Challenge]) -> None:
        if change.new is None or self._orders is None:
            return
        if change.old is not None and change.old.status.reason == change.new.status.reason:
            return
        for owner in change.new.metadata.owner_references:
            order = self._orders.store.get((change.key[0], owner.name))
            if order is not None and order.metadata.uid == owner.uid:
                self._tell_owner(order)

    async def ask(self, request: CertificateRequest, csr: SigningRequest, state: IssuerState) -> Answer:
        """How far the order for an approved request is; it is made when there is none."""
        meta = request.metadata
        key = (meta.namespace, meta.name)
        names = hosts_of(csr)
        if isinstance(names, str):
            self._waiting.discard(key)
            return Failed(_INVALID, names, invalid=True)
        accounts = self._accounts()
        account = accounts.get(state.ref) if accounts is not None else None
        if self._orders is None or not self._orders.synced.is_set() or account is None:
            self._waiting.add(key)
            return Ordered("Waiting for the controller of orders")
        self._waiting.discard(key)
        body = order_body(request, names, profile=account.issuer.profile)
        order = self._orders.store.get((meta.namespace, body["metadata"]["name"]))
        if order is None:
            if self._permit is not None and isinstance(verdict := await self._permit(request, names), Refuse):
                reason = verdict.reasons[0]
                return Failed(reason.code, "; ".join(one.message for one in verdict.reasons))
            replaces = await self._replaced(request, names, state.ref, account)
            body = order_body(request, names, profile=account.issuer.profile, replaces=replaces)
            try:
                order = msgspec.convert(await self._client.create(ORDERS, body), Order)
            except AlreadyExists:
                try:
                    found = await self._client.get(ORDERS, body["metadata"]["name"], meta.namespace)
                except NotFound:
                    return Ordered("Waiting for the Order to be made")
                order = msgspec.convert(found, Order)
        if not genuine_order(order, request, names):
            name = order.metadata.name
            return Failed(
                "OrderNotOwned", f"Order {meta.namespace}/{name} is in the way: it was not made for this request"
            )
        return self._answer(order)

    async def _replaced(
        self, request: CertificateRequest, names: tuple[Host, ...], ref: IssuerRef, account: Account
    ) -> str:
        """The CertID (RFC 9773) of the certificate that this one follows, "" when there is none that the CA would know.

        It spares the CA's limits, and is left out again when the CA refuses it: nothing depends on it.
        """
        name = request.metadata.annotations.get(_CERTIFICATE_NAME, "")
        owners = {owner.name for owner in request.metadata.owner_references if owner.kind == CERTIFICATES.kind}
        if name not in owners:
            return ""
        try:
            directory = await account.sessions.call(Session.directory)
            certificate = await self._client.get(CERTIFICATES, name, request.metadata.namespace)
            secret_name = str(certificate["spec"].get("secretName", ""))
            found = await self._client.get(SECRETS, secret_name, request.metadata.namespace)
            secret = msgspec.convert(found, Secret)
            leaf = x509.load_pem_x509_certificate(secret.data.get(TLS_CERT, b""))
            served = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (AcmeError, NotFound, ValueError, x509.ExtensionNotFound):
            return ""
        annotations = secret.metadata.annotations
        same_issuer = annotations.get("cert-manager.io/issuer-name") == ref.name
        if directory.renewal_info is None or not same_issuer or is_placeholder(leaf):
            return ""
        if not set(served.get_values_for_type(x509.DNSName)) & {str(one) for one in names}:
            return ""
        return certificate_id(leaf) or ""

    def _answer(self, order: Order) -> Answer:
        status = order.status
        if status.state in FAILED_STATES:
            why = status.reason or "no reason is given"
            return Failed(
                "Failed",
                f'Failed to wait for order resource "{order.metadata.name}" to become ready: order is in "{status.state}" state: {why}',
            )
        if status.state == "valid" and status.certificate:
            return Issued(status.certificate)
        text = f"Waiting on certificate issuance from order {order.metadata.namespace}/{order.metadata.name}"
        why = status.reason or self._reason(order)
        return Ordered(f'{text}: "{status.state or "new"}"' + (f": {why}" if why else ""))

    def _reason(self, order: Order) -> str:
        """What the first of its open Challenges waits for."""
        for _, one in sorted(self._challenges.store.items()) if self._challenges is not None else ():
            if one.metadata.owned_by(order.metadata.uid) and one.status.state not in FINAL_STATES and one.status.reason:
                return f"{one.spec.dns_name}: {one.status.reason}"
        return ""


def hosts_of(csr: SigningRequest) -> tuple[Host, ...] | str:
    """The hosts that a CSR asks for, sorted; or a sentence that says why no public CA would sign it."""
    if csr.uris or csr.email_addresses or csr.other_names or csr.ip_addresses:
        return "an ACME issuer gives certificates for DNS names only; the request has other names too"
    wanted = [*csr.dns_names, *_common_names(csr)]
    found: set[Host] = set()
    for name in wanted:
        host = read_host(name)
        if isinstance(host, str):
            return host
        found.add(host)
    if not found:
        return "the request has no DNS name"
    if len(found) > MAX_IDENTIFIERS:
        return f"the request has {len(found)} names; a certificate has {MAX_IDENTIFIERS} at most"
    if csr.is_ca:
        return "an ACME issuer gives no CA certificates"
    long = [str(host) for host in found if len(str(host)) > 253]
    return f"{shown(long[0])} is too long" if long else tuple(sorted(found))


def _common_names(csr: SigningRequest) -> tuple[str, ...]:
    request = x509.load_der_x509_csr(csr.der)
    found = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return tuple(str(one.value) for one in found)
