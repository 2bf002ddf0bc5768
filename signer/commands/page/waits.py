"""What is refused, fails or waits, and why: tenants, issuers, requests, Certificates, and our Events. Pure.

The reasons are those that the signer and the controllers wrote, or would give; none is made up here.
"""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS
from signer.api.signername import parse_signer_name, signer_name_of
from signer.commands.checks.facts import Facts, at, items, name_of, namespace_of
from signer.commands.live import Json
from signer.commands.page.seen import Seen, Warned
from signer.commands.summary import certificate_ready, issuer_ready, request_state
from signer.commands.tenancies.holders import MALFORMED, Tenancy

REFUSED, FAILING, WAITS, TOLD = "refused", "failing", "waits", "told"
"""How an object stands; TOLD is an Event, which says by itself what became of it."""
_ORDER = (REFUSED, FAILING, WAITS, TOLD)


@dataclass(frozen=True, slots=True)
class Wait:
    """One object that is not, or not yet, what somebody wants. `ask` is the command that explains it, "" where there is none.

    `since` is RFC 3339 text, "" where it is not known; `count` is how often an Event was told.
    """

    state: str
    kind: str
    namespace: str
    name: str
    reason: str
    why: str
    since: str = ""
    ask: str = ""
    count: int = 1


def waits(seen: Seen, tenants: Iterable[Tenancy]) -> list[Wait]:
    """List them: refusals first, then failures, then waits, then Events; of each the newest first."""
    found = [
        *_tenants(tenants),
        *_issuers(seen.facts),
        *_requests(seen.requests.items),
        *_certificate_requests(seen.certificate_requests.items),
        *_certificates(seen.certificates.items),
        *map(_event, seen.warned),
    ]
    newest = sorted(found, key=lambda one: one.since, reverse=True)
    return sorted(newest, key=lambda one: _ORDER.index(one.state))


def _tenants(tenants: Iterable[Tenancy]) -> Iterator[Wait]:
    for row in tenants:
        if not row.refused:
            continue
        name = row.namespace or (f"{row.others} others" if row.others else "")
        # What names no issuer, or is nobody's claim, is no request that could be explained.
        asks = row.namespace and row.status != MALFORMED
        command = _command("-n", row.namespace, "--signer", signer_name_of(row.signer)) if asks else ""
        yield Wait(REFUSED, "Namespace", "", name, row.status, f"{row.signer}: {row.source}", ask=command)


def _issuers(facts: Facts) -> Iterator[Wait]:
    for ref, state in sorted(facts.mesh.issuers.items()):
        if not issuer_ready(state) and ref not in facts.mesh.unread:
            yield Wait(FAILING, ref.kind, ref.namespace, ref.name, state.reason, state.message)


def _requests(requests: Iterable[Json]) -> Iterator[Wait]:
    kind = CERTIFICATE_SIGNING_REQUESTS.kind
    for one in requests:
        if parse_signer_name(str(at(one, "spec", "signerName"))) is None:
            continue
        name, made = name_of(one), str(at(one, "metadata", "creationTimestamp") or "")
        by = f"of {at(one, 'spec', 'username')}, to {at(one, 'spec', 'signerName')}"
        state = request_state(one)
        if state == "refused":
            last = _condition(one, "Failed") or _condition(one, "Denied") or {}
            since = str(last.get("lastUpdateTime") or made)
            why = f"{last.get('message') or last.get('type')} ({by})"
            yield Wait(REFUSED, kind, "", name, str(last.get("reason") or ""), why, since, _command(name))
        elif state != "issued":
            why = "it is approved, and not answered yet" if state == "waits" else "nobody has approved it yet"
            yield Wait(WAITS, kind, "", name, "", f"{why} ({by})", made, _command(name))


def _certificate_requests(requests: Iterable[Json]) -> Iterator[Wait]:
    for one in requests:
        ready = _condition(one, "Ready") or {}
        denied = _condition(one, "Denied") or {}
        if ready.get("status") == "True":
            continue
        final = ready.get("reason") in {"Failed", "Denied"} or denied.get("status") == "True"
        last = ready or denied
        name, namespace = name_of(one), namespace_of(one)
        since = last.get("lastTransitionTime") or at(one, "metadata", "creationTimestamp") or ""
        yield Wait(
            REFUSED if final else WAITS,
            CERTIFICATE_REQUESTS.kind,
            namespace,
            name,
            str(last.get("reason") or ""),
            str(last.get("message") or "nobody has answered it yet"),
            str(since),
            _command(f"{namespace}/{name}"),
        )


def _certificates(certificates: Iterable[Json]) -> Iterator[Wait]:
    for one in certificates:
        if certificate_ready(one):
            continue
        issuing, ready = _condition(one, "Issuing") or {}, _condition(one, "Ready") or {}
        failed = bool(at(one, "status", "failedIssuanceAttempts"))
        last = issuing if issuing.get("message") else ready
        since = last.get("lastTransitionTime") or at(one, "metadata", "creationTimestamp") or ""
        yield Wait(
            FAILING if failed else WAITS,
            CERTIFICATES.kind,
            namespace_of(one),
            name_of(one),
            str(last.get("reason") or ""),
            str(last.get("message") or "nothing is said of it yet"),
            str(since),
            _command("certificate", name_of(one), "-n", namespace_of(one)),
        )


def _event(one: Warned) -> Wait:
    about = one.involved_object
    since = one.last_timestamp or one.metadata.creation_timestamp or ""
    return Wait(TOLD, about.kind, about.namespace, about.name, one.reason, one.message, since, count=one.count)


def _condition(obj: Json, kind: str) -> Json | None:
    return next((one for one in items(obj, "status", "conditions") if one.get("type") == kind), None)


def _command(*words: str) -> str:
    return shlex.join(("mesh-signer", "explain", *words))
