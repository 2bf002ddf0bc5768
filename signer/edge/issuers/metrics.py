"""The metrics of ACME: requests to the servers, Orders, and Challenges under cert-manager's names.

Used on the loop. Labels are bounded: the servers of
tenants have no names of their own, and no more than MOST_CHALLENGES Challenges are shown.
"""

from issuers.acme.client import NO_ANSWER, Exchange
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.kube.reflector import Change
from signer.observe.metrics import OTHER, Metrics

MOST_CHALLENGES = 500
# cert-manager's words for the steps of ACME (v1.20, pkg/acme/client/middleware); those it does not know are ours.
ACTIONS = {
    "directory": "discover",
    "find_account": "get_registration",
    "register": "register_account",
    "update_account": "update_registration",
    "new_order": "authorize_order",
    "order": "get_order",
    "authorization": "get_authorization",
    "accept": "accept_challenge",
    "finalize": "create_order_cert",
    "chains": "fetch_cert",
    "renewal_info": "get_renewal_info",
}
# As cert-manager lists them (internal/collectors/acme_collector.go); "" is a Challenge that was not looked at yet.
STATES = ("ready", "valid", "errored", "expired", "invalid", "processing", "", "pending")
Labels = tuple[str, str, str, str, str, str]


class AcmeMetrics:
    """Counts for one process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._challenges: dict[tuple[str, str], Labels] = {}

    def exchange(self, seen: Exchange, tenants: bool) -> None:
        """Count an exchange; `tenants`: with a server that a tenant chose."""
        code = seen.status if 200 <= seen.status < 600 else NO_ANSWER
        status = f"{code // 100}xx" if tenants and code != NO_ANSWER else str(code)
        action = ACTIONS.get(seen.action, "unnamed_action")
        labels = ("https", OTHER if tenants else seen.host, action, seen.method, status)
        self._metrics.acme_requests.labels(*labels).inc()
        self._metrics.acme_request_seconds.labels(*labels).observe(seen.seconds)

    def order(self, ref: IssuerRef | None, result: str) -> None:
        """Count what came of an Order: placed, held, valid or failed."""
        self._metrics.acme_orders.labels(_issuer(ref), result).inc()

    def left(self, ref: IssuerRef | None, orders: float) -> None:
        """Show how many new orders an account may still make."""
        if ref is not None and ref.kind == "ClusterIssuer":
            self._metrics.acme_orders_left.labels(ref.name).set(orders)

    def challenge_changed(self, change: Change[Challenge]) -> None:
        """Follow one Challenge. Its reason is left empty: it is free text, partly of strangers."""
        if change.kind == "synced":
            return
        old = self._challenges.pop(change.key, None)
        new = _labels(change.new) if change.new is not None else None
        if old is not None and old != new:
            self._drop(old)
        if new is None or change.new is None or len(self._challenges) >= MOST_CHALLENGES:
            return
        self._challenges[change.key] = new
        for state in STATES:
            self._metrics.challenge_status.labels(state, *new).set(1 if change.new.status.state == state else 0)

    def clear(self) -> None:
        """Remove the Challenges: this process no longer follows them."""
        for labels in self._challenges.values():
            self._drop(labels)
        self._challenges.clear()

    def _drop(self, labels: Labels) -> None:
        for state in STATES:
            self._metrics.challenge_status.remove(state, *labels)


def _issuer(ref: IssuerRef | None) -> str:
    return ref.name if ref is not None and ref.kind == "ClusterIssuer" else OTHER


def _labels(challenge: Challenge) -> Labels:
    meta, spec = challenge.metadata, challenge.spec
    return spec.dns_name, "", str(challenge.status.processing).lower(), meta.name, meta.namespace, spec.type
