"""How mesh-signer is, a line for each part: what runs and leads, issuers, tenants, requests, ends of CAs, findings. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from signer.api.meta import from_rfc3339, has_condition, to_rfc3339
from signer.api.signername import parse_signer_name
from signer.api.text import some
from signer.authorities.state import IssuerState
from signer.commands.checks.access import CONTROLLERS, SIGNER
from signer.commands.checks.examination import SEVERITIES, examine
from signer.commands.checks.facts import Facts, at, items, name_of, namespace_of
from signer.commands.checks.replicas import live
from signer.commands.live import Json, Listing
from signer.commands.output import Row
from signer.commands.tables import ago
from signer.commands.tenancies.holders import known_tenancies
from signer.kube.leases.record import LEADER_LEASE

SOON = timedelta(days=14)
"""A CA that ends within this time is to be looked at."""
_STATES = {True: "ok", False: "LOOK", None: "unknown"}


def summary(facts: Facts, requests: Listing, certificates: Listing) -> Iterator[Row]:
    """Say of each part whether it is well: True, False, or None where that could not be determined. Pure."""
    yield from _deployments(facts)
    yield _leader(facts)
    yield _issuers(facts)
    yield _tenants(facts)
    yield _requests(requests)
    yield _cas(facts)
    yield _certificates(certificates, facts.now)
    yield _findings(facts)


def _row(part: str, *, ok: bool | None, text: str, **more: Any) -> Row:
    return Row("", (part, _STATES[ok], text), {"part": part, "ok": ok, "what": text, **more})


def _deployments(facts: Facts) -> Iterator[Row]:
    namespace = facts.settings.cluster_resource_namespace
    if facts.deployments.problem:
        yield _row("deployments", ok=None, text=facts.deployments.problem)
        return
    here = {name_of(one): one for one in facts.deployments.items if namespace_of(one) == namespace}
    for name in (SIGNER, CONTROLLERS):
        found = here.get(name)
        if found is None:
            text = f"there is no Deployment {namespace}/{name}"
            yield _row(name, ok=name != SIGNER, text=text)
            continue
        ready, wanted = at(found, "status", "readyReplicas") or 0, at(found, "spec", "replicas")
        wanted = 1 if wanted is None else wanted
        ok = ready >= wanted > 0
        yield _row(name, ok=ok, text=f"{ready} of {wanted} replicas are ready", ready=ready, replicas=wanted)


def _leader(facts: Facts) -> Row:
    if facts.leases.problem:
        return _row("leader", ok=None, text=facts.leases.problem)
    alive = live(facts)
    leaders = [one for one in alive if name_of(one) == LEADER_LEASE]
    members = sorted(str(at(one, "spec", "holderIdentity")) for one in alive if name_of(one) != LEADER_LEASE)
    who = some(str(at(one, "spec", "holderIdentity")) for one in leaders) or "nobody leads the controllers"
    signing = f"{len(members)} sign: {some(members, 3)}" if members else "no replica signs"
    return _row(
        "leader", ok=bool(leaders and members), text=f"{who}; {signing}", leaders=len(leaders), signing=len(members)
    )


def _issuers(facts: Facts) -> Row:
    if facts.mesh.issuer_gaps:
        return _row("issuers", ok=None, text="; ".join(facts.mesh.issuer_gaps))
    states = facts.mesh.issuers
    unready = sorted(ref for ref, state in states.items() if not issuer_ready(state) and ref not in facts.mesh.unread)
    text = f"{len(states) - len(unready)} ready"
    if unready:
        text += f", {len(unready)} not: {some(map(str, unready), 3)}"
    return _row("issuers", ok=not unready, text=text, ready=len(states) - len(unready), notReady=len(unready))


def issuer_ready(state: IssuerState) -> bool:
    """Tell whether an issuer is ready as it was judged, or, as for one without a CA that we judge, by its own status."""
    return state.ready or has_condition(state.issuer.status.conditions, "Ready")


def _tenants(facts: Facts) -> Row:
    rows, unknown = known_tenancies(facts.mesh, facts.now)
    if unknown:
        return _row("tenants", ok=None, text=unknown)
    refused = [row for row in rows if row.refused]
    text = f"{len(rows) - len(refused)} have their signer"
    if refused:
        text += f", {len(refused)} have not: {some(f'{row.namespace} ({row.status})' for row in refused)}"
    return _row("tenants", ok=not refused, text=text, granted=len(rows) - len(refused), refused=len(refused))


def _requests(requests: Listing) -> Row:
    if requests.problem:
        return _row("requests", ok=None, text=requests.problem)
    states = Counter(
        request_state(one) for one in requests.items if parse_signer_name(str(at(one, "spec", "signerName")))
    )
    text = f"{states['waits']} wait, {states['refused']} refused, {states['unapproved']} not approved, of those that are kept"
    counts = {name: states[name] for name in ("waits", "refused", "unapproved")}
    return _row("requests", ok=not (states["waits"] or states["refused"]), text=text, **counts)


def request_state(request: Json) -> str:
    """Say of a CertificateSigningRequest whether it is refused, issued, unapproved, or waits for an answer."""
    conditions = {one.get("type") for one in items(request, "status", "conditions")}
    if conditions & {"Failed", "Denied"}:
        return "refused"
    if at(request, "status", "certificate"):
        return "issued"
    return "waits" if "Approved" in conditions else "unapproved"


def _cas(facts: Facts) -> Row:
    ends = sorted(
        (state.authority.not_after, str(ref))
        for ref, state in facts.mesh.issuers.items()
        if state.authority is not None
    )
    if not ends:
        unread = bool(facts.mesh.unread or facts.mesh.issuer_gaps)
        return _row(
            "CAs", ok=None if unread else True, text="may not be read (get secrets)" if unread else "there is none"
        )
    first, name = ends[0]
    text = f"the first of {len(ends)} to end is that of {name}, {ago(first, facts.now)}"
    return _row("CAs", ok=first - facts.now > SOON, text=text, first=to_rfc3339(first), issuer=name)


def _certificates(certificates: Listing, now: datetime) -> Row:
    if certificates.problem:
        return _row("certificates", ok=None, text=certificates.problem)
    unready = [f"{namespace_of(one)}/{name_of(one)}" for one in certificates.items if not certificate_ready(one)]
    ended = [end for end in _ends(certificates.items) if end < now]
    text = f"{len(certificates.items) - len(unready)} ready"
    if unready:
        text += f", {len(unready)} not: {some(sorted(unready), 3)}"
    if ended:
        text += f"; {len(ended)} have ended"
    return _row("certificates", ok=not unready, text=text, notReady=len(unready), ended=len(ended))


def certificate_ready(certificate: Json) -> bool:
    """Tell whether a Certificate is Ready."""
    conditions = items(certificate, "status", "conditions")
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _ends(certificates: Iterable[Json]) -> Iterator[datetime]:
    for one in certificates:
        if (end := from_rfc3339(str(at(one, "status", "notAfter") or ""))) is not None:
            yield end


def _findings(facts: Facts) -> Row:
    found = Counter(str(one.severity) for one in examine(facts))
    words = {"error": "errors", "warning": "warnings", "unknown": "not checked", "note": "notes"}
    text = ", ".join(f"{found[kind]} {words[kind]}" for kind in SEVERITIES if found[kind]) or "no findings"
    bad = found["error"] + found["warning"]
    ok = None if not bad and found["unknown"] else not bad
    return _row("doctor", ok=ok, text=f"{text} (mesh-signer doctor)" if bad or ok is None else text, findings=bad)
