"""What an Order belongs to, and what belongs to it: the CertificateRequest that it was made for, and its Challenges.

Runs on the loop, in the leader. An owner reference proves nothing, since anyone may write one: an Order counts only when
it is, field by field, what we would make for the request.
"""

from collections.abc import Callable

import msgspec

from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.api.order import ORDERS, Order
from signer.edge.host import Host
from signer.edge.issuers.choice import Alternatives
from signer.edge.orders.make import genuine_order
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.reflector import Change, Reflector
from signer.kube.superseded import Key


class OrderFamily:
    """Owners by Order, Challenges by Order. `enqueue` is called with the key of an Order whose Challenge changed.

    `alternatives` gives what an issuer says of others that may get its orders.
    """

    def __init__(
        self,
        client: ApiClient,
        challenges: Reflector[Challenge],
        alternatives: Callable[[IssuerRef], Alternatives],
        enqueue: Callable[[Key], None],
    ) -> None:
        self._client = client
        self._alternatives = alternatives
        self._challenges = challenges
        self._enqueue = enqueue
        self._owners: dict[str, CertificateRequest] = {}
        self._of_order: dict[str, set[Key]] = {}  # by the uid of an Order that they name as owner
        challenges.subscribe(self._challenge_changed)

    def forget(self, order: Order) -> None:
        """The Order is gone."""
        self._owners.pop(order.metadata.uid, None)

    async def owner(self, order: Order) -> CertificateRequest | None:
        """Return the CertificateRequest for which we made this Order; None when we did not, or when it is gone."""
        known = self._owners.get(order.metadata.uid)
        if known is None:
            names = [one.name for one in order.metadata.owner_references if one.controller]
            if not names:
                return None
            try:
                found = await self._client.get(CERTIFICATE_REQUESTS, names[0], order.metadata.namespace)
            except NotFound:
                return None
            known = msgspec.convert(found, CertificateRequest)
        if not genuine_order(order, known, hosts_of_order(order), self.alternatives(known)):
            return None
        self._owners[order.metadata.uid] = known
        return known

    def alternatives(self, request: CertificateRequest) -> Alternatives:
        """Which other issuers may get orders for this request."""
        ref = request.spec.issuer_ref.resolve(request.metadata.namespace)
        return self._alternatives(ref) if ref is not None else Alternatives()

    def challenges(self, order: Order) -> list[Challenge]:
        """The Challenges that name this Order as their owner, by name."""
        meta = order.metadata
        found = (self._challenges.store.get(key) for key in sorted(self._of_order.get(meta.uid, ())))
        return [one for one in found if one is not None and one.metadata.owned_by(meta, ORDERS)]

    def _challenge_changed(self, change: Change[Challenge]) -> None:
        for one in (change.old, change.new):
            for owner in one.metadata.owner_references if one is not None else ():
                if owner.kind == ORDERS.kind:
                    self._note(owner.uid, change.key, there=change.new is not None)
                    self._enqueue((change.key[0], owner.name))

    def _note(self, uid: str, challenge: Key, *, there: bool) -> None:
        if there:
            self._of_order.setdefault(uid, set()).add(challenge)
            return
        left = self._of_order.get(uid, set())
        left.discard(challenge)
        if not left:
            self._of_order.pop(uid, None)


def hosts_of_order(order: Order) -> list[Host]:
    """The hosts that an Order names."""
    return [Host(name.removeprefix("*."), name.startswith("*.")) for name in order.spec.dns_names]
