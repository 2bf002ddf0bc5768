"""CertificateRequests of ACME issuers become Orders; how the Order ends is the answer (authorities.ordering).

Runs on the loop. The same request has the same Order, whoever asks and however often.
"""

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from issuers.acme.renewal import certificate_id
from issuers.request import SigningRequest
from issuers.x509 import parts
from signer.api.certificate import CERTIFICATES, IssuerReference
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.api.order import FAILED_STATES, FINAL_STATES, ORDERS, Order
from signer.api.secret import SECRETS, read_secret
from signer.api.tls_secret import is_placeholder, read_leaf
from signer.authorities.ordering import Answer, Failed, Issued, Ordered
from signer.authorities.state import IssuerState
from signer.edge.host import Host
from signer.edge.hosts.permit import Permit, Would
from signer.edge.issuers.accounts import Accounts
from signer.edge.issuers.choice import Alternatives, Candidate, choose, read_alternatives, reference
from signer.edge.orders.gate import OrderGate
from signer.edge.orders.make import genuine_order, hosts_of, order_body
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Conflict, NotFound
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key
from signer.tenancy.verdict import Refuse

_INVALID = "InvalidRequest"
_CERTIFICATE_NAME = "cert-manager.io/certificate-name"


class OrderedRequests:
    """Answers requests by their Orders. It lives as long as the process; `follow` begins and ends a term of leadership."""

    def __init__(
        self,
        client: ApiClient,
        accounts: Callable[[], Accounts | None],
        *,
        permit: Permit | None = None,
        would: Would | None = None,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._clock = clock
        self._permit = permit
        self._would = would
        self._accounts = accounts
        self._wake: list[Callable[[Key], None]] = []
        self._orders: Reflector[Order] | None = None
        self._challenges: Reflector[Challenge] | None = None
        self._gate: OrderGate | None = None
        self._waiting: set[Key] = set()

    def follow(
        self,
        orders: Reflector[Order] | None,
        challenges: Reflector[Challenge] | None,
        gate: OrderGate | None = None,
    ) -> None:
        """Answer from these copies from now on, by what `gate` knows of failures; None at the end of a term."""
        self._orders, self._challenges, self._gate = orders, challenges, gate
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
        ready = self._orders is not None and self._orders.synced.is_set() and self._gate is not None
        if not ready or accounts is None or accounts.get(state.ref) is None:
            self._waiting.add(key)
            return Ordered("Waiting for the controller of orders")
        self._waiting.discard(key)
        others = read_alternatives(state.issuer)
        order = self._there(order_body(request, names))
        if order is None:
            picked = await self._pick(request, names, (state.ref, *others.fallbacks), accounts)
            if isinstance(picked, Failed):
                return picked
            if (before := await self._rehearse(request, names, others, accounts)) is not None:
                return before
            account = accounts.get(picked)
            if account is None:
                return Ordered("Waiting for the controller of orders")
            replaces = await self._replaced(request, names, picked) if picked == state.ref else ""
            profile, named = account.issuer.profile, _named(request, state.ref, picked)
            order = await self._create(order_body(request, names, profile=profile, replaces=replaces, issuer=named))
            if order is None:
                return Ordered("Waiting for the Order to be made")
        else:
            await self._forget_rehearsal(request, names)
        if not genuine_order(order, request, names, others):
            return _in_the_way(order)
        return self._answer(order)

    async def permits(self, request: CertificateRequest, csr: SigningRequest, state: IssuerState) -> bool:
        """Whether an order for a request would be permitted now. Writes nothing. Raises ApiError, Unreachable."""
        names = hosts_of(csr)
        if isinstance(names, str) or self._would is None:
            return False
        return await self._would(request, names, _named(request, state.ref, state.ref))

    def _there(self, body: dict[str, Any]) -> Order | None:
        meta = body["metadata"]
        return self._orders.store.get((meta["namespace"], meta["name"])) if self._orders is not None else None

    async def _create(self, body: dict[str, Any]) -> Order | None:
        meta = body["metadata"]
        try:
            return msgspec.convert(await self._client.create(ORDERS, body), Order)
        except AlreadyExists:
            try:
                return msgspec.convert(await self._client.get(ORDERS, meta["name"], meta["namespace"]), Order)
            except NotFound:
                return None

    async def _pick(
        self, request: CertificateRequest, names: Sequence[Host], refs: Sequence[IssuerRef], accounts: Accounts
    ) -> IssuerRef | Failed:
        """The issuer that gets the order; the first of `refs` is the request's own, without which there is none."""
        candidates: list[Candidate] = []
        texts = [str(one) for one in names]
        for ref in refs:
            if (account := accounts.get(ref)) is None or self._gate is None:
                continue
            named = _named(request, refs[0], ref)
            if self._permit is not None and isinstance(verdict := await self._permit(request, names, named), Refuse):
                if ref == refs[0]:
                    text = "; ".join(one.message for one in verdict.reasons)
                    return Failed(verdict.reasons[0].code, text, mendable=self._would is not None)
                continue
            candidates.append(Candidate(ref, self._gate.attempts(account, texts)))
        hurry = self._gate is not None and self._gate.hurries(texts)
        return choose(candidates, self._clock(), hurry=hurry) or refs[0]

    async def _rehearse(
        self, request: CertificateRequest, names: Sequence[Host], others: Alternatives, accounts: Accounts
    ) -> Ordered | Failed | None:
        """Have names that are new ordered elsewhere first, where the issuer wants it; None when nothing is in the way."""
        ref = others.rehearsal
        if ref is None or self._gate is None or self._gate.known(str(one) for one in names):
            return None
        profile = account.issuer.profile if (account := accounts.get(ref)) is not None else ""
        body = order_body(request, names, profile=profile, issuer=reference(ref), rehearsal=True)
        order = self._there(body) or await self._create(body)
        if order is None:
            return Ordered("Waiting for the Order of the rehearsal to be made")
        if not genuine_order(order, request, names, others):
            return _in_the_way(order)
        answer = self._answer(order)
        if isinstance(answer, Issued):
            return None
        text = f"Rehearsal at {ref}: {answer.message}"
        return Ordered(text) if isinstance(answer, Ordered) else Failed(answer.reason, text)

    async def _forget_rehearsal(self, request: CertificateRequest, names: Sequence[Host]) -> None:
        """Throw the rehearsal away with its certificate, once the real Order is there."""
        there = self._there(order_body(request, names, rehearsal=True))
        if there is not None and not there.metadata.deletion_timestamp:
            meta = there.metadata
            with contextlib.suppress(NotFound, Conflict):
                await self._client.delete(ORDERS, meta.name, meta.namespace, uid=meta.uid)

    async def _replaced(self, request: CertificateRequest, names: tuple[Host, ...], ref: IssuerRef) -> str:
        """The CertID (RFC 9773) of the certificate that this one follows, "" when there is none that the CA would know.

        It spares the CA's limits, and is left out again when the CA has no ARI or refuses it: nothing depends on it.
        The CA is not asked here, where one that hangs would stop the requests of all issuers.
        """
        name = request.metadata.annotations.get(_CERTIFICATE_NAME, "")
        owners = {owner.name for owner in request.metadata.owner_references if owner.kind == CERTIFICATES.kind}
        if name not in owners:
            return ""
        try:
            certificate = await self._client.get(CERTIFICATES, name, request.metadata.namespace)
            secret_name = str(certificate["spec"].get("secretName", ""))
            found = await self._client.get(SECRETS, secret_name, request.metadata.namespace)
            secret = read_secret(found)
            leaf = read_leaf(secret)
        except (NotFound, ValueError):
            return ""
        served = parts.alt_names(leaf) if leaf is not None else None
        if leaf is None or served is None:
            return ""
        annotations = secret.metadata.annotations
        same_issuer = annotations.get("cert-manager.io/issuer-name") == ref.name
        if not same_issuer or is_placeholder(leaf):
            return ""
        if not set(served.dns_names) & {str(one) for one in names}:
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
            if (
                one.metadata.owned_by(order.metadata, ORDERS)
                and one.status.state not in FINAL_STATES
                and one.status.reason
            ):
                return f"{one.spec.dns_name}: {one.status.reason}"
        return ""


def _named(request: CertificateRequest, own: IssuerRef, ref: IssuerRef) -> IssuerReference:
    return request.spec.issuer_ref if ref == own else reference(ref)


def _in_the_way(order: Order) -> Failed:
    where = f"{order.metadata.namespace}/{order.metadata.name}"
    return Failed("OrderNotOwned", f"Order {where} is in the way: it was not made for this request")
