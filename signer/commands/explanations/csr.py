"""What would become of a CertificateSigningRequest: the signer's own decision, and what it rests on. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from issuers.errors import MalformedRequest
from issuers.request import SigningRequest, read_request
from issuers.spiffe import parse_spiffe_id
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, to_rfc3339
from signer.api.proxyconfig import CERT_SIGNER
from signer.api.signername import signer_name_of
from signer.api.text import shown
from signer.commands.checks.roots import roots_for
from signer.commands.command import NotFoundOut
from signer.commands.explanations.advice import advise_on
from signer.commands.explanations.grounds import CA_UNREAD, SHOWN, known, mode_notes
from signer.commands.explanations.requests import Asked, as_requester, workload_request
from signer.commands.live import Mesh, hangs_on_grace
from signer.csr.evaluate import IS_CA_ANNOTATION, Circumstances, case_by_identity, case_of, evaluate, requested_duration
from signer.csr.outcome import Answers, AskKey, AskReference, Issue, Verdict
from signer.tenancy.decide import CONFIRMED_FOR, decide, unready
from signer.tenancy.routes import route
from signer.tenancy.verdict import (
    Bind,
    Claim,
    Confirm,
    Grant,
    Inquiry,
    Limits,
    Reason,
    Refuse,
    Reread,
    Route,
    Unready,
    Wait,
)
from signer.tenancy.world import NO_CLAIMS, Binding, World


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request. `known` are (subject, sentence) pairs; `advice` one sentence for each code.

    `obstacles` keep the workload from what is signed. `signed_by` is the signer that identity leads to, None where `signer` itself
    is meant.
    """

    asked: Asked
    verdict: Literal["issue", "refuse", "wait", "ask"]
    identity: str
    namespace: str
    signer: IssuerRef
    reasons: tuple[Reason, ...] = ()
    source: str = ""
    ends: datetime | None = None
    notes: tuple[str, ...] = ()
    known: tuple[tuple[str, str], ...] = ()
    advice: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    signed_by: IssuerRef | None = None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "request": self.asked.title,
            "verdict": self.verdict,
            "requester": self.asked.content.username,
            "identity": self.identity,
            "namespace": self.namespace,
            "signer": signer_name_of(self.signer),
            "reasons": [
                {"code": reason.code, "message": reason.message} | ({"others": reason.others} if reason.others else {})
                for reason in self.reasons
            ],
            "source": self.source,
            "ends": to_rfc3339(self.ends) if self.ends is not None else None,
            "became": self.asked.became,
            "notes": list(self.notes),
            "known": [{"about": about, "is": text} for about, text in self.known],
            "advice": list(self.advice),
            "obstacles": list(self.obstacles),
        } | ({"signedBy": signer_name_of(self.signed_by)} if self.signed_by is not None else {})


@dataclass(frozen=True, slots=True)
class FoundOut:
    """What the signer would find out before it decides, as far as that was asked by now.

    `bound` is the owner that it would store, `confirmed` that a live read bears the certificate, `failed` why one does not.
    `key_unread`: the Secret of a self-signed certificate may not be read by whoever asks here. `requester` is who made
    a CertificateRequest, as far as anybody vouches for it, None before that was asked.
    """

    answers: Answers = field(default_factory=lambda: Answers(fresh=True))  # all that was read is live
    bound: Binding | None = None
    confirmed: Confirm | None = None
    failed: Reason | None = None
    key_unread: bool = False
    requester: str | None = None


NOTHING_FOUND_OUT = FoundOut()
Question = AskReference | AskKey | Bind | Confirm
"""What the signer asks before it decides; FoundOut has the answers."""


def explain(
    asked: Asked,
    signer: IssuerRef,
    mesh: Mesh,
    *,
    now: datetime,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    found_out: FoundOut = NOTHING_FOUND_OUT,
) -> Explanation | Question:
    """Decide as the signer would, on live state that was read just now; or ask what it would ask first."""
    notes: list[str] = []
    identity, namespace = _identity(asked, mesh)
    meant = _meant(signer, namespace, mesh.world, now)
    verdict = _judge(asked, meant, mesh, now, limits, found_out)
    signer = meant.signs
    if isinstance(verdict, AskReference | Bind | Confirm) or (isinstance(verdict, AskKey) and not found_out.key_unread):
        return verdict
    if signer in mesh.unread:
        notes.append(CA_UNREAD)
    if (bound := found_out.bound) is not None:
        notes.append(
            f"namespace {bound.namespace} owns {signer} from then on: a SignerBinding {signer.name} is stored first"
        )
    told = (*meant.told(), *known(mesh, namespace, signer, now))
    signed_by = signer if meant.way is not None else None
    found = Explanation(asked, "wait", identity, namespace, meant.asked, known=told, signed_by=signed_by)
    if asked.content.username in mesh.world.requesters or not asked.content.username:
        notes.extend(mode_notes(mesh, now))
    if isinstance(verdict, Issue):
        ends = verdict.template.not_after
        notes += [f"enforcing would refuse it: {reason.message}" for reason in verdict.grant.would_refuse]
        notes += [f"not everybody would accept it: {one}" for one in verdict.warnings]
        if (rate := verdict.grant.rate) is not None:
            notes.append(
                f"SignerPolicy {verdict.grant.policy} allows {rate.certificates} certificates in "
                f"{rate.per.total_seconds():g} s: over that it waits its turn"
            )
        source = verdict.grant.source or f"{signer} is not a signer of the mesh: signed as cert-manager would"
        return replace(found, verdict="issue", source=source, ends=ends, notes=tuple(notes))
    if isinstance(verdict, Grant):
        return replace(found, verdict="issue", source=verdict.source, ends=now + verdict.lifetime, notes=tuple(notes))
    if isinstance(verdict, AskKey):
        where = f"Secret {verdict.namespace}/{verdict.name}"
        text = f"{signer} signs each certificate with its own key: it is issued if the request's key is in {where}"
        return replace(found, verdict="ask", reasons=(Reason("SelfSigned", text),), notes=tuple(notes))
    reasons = _reasons(verdict)
    refused = isinstance(verdict, Refuse) and any(reason.code == "TenantMismatch" for reason in reasons)
    if refused and mesh.grace_unread and hangs_on_grace(mesh.world, namespace, signer):
        raise NotFoundOut(mesh.grace_unread)
    advice = advise_on(reasons, mesh.world, namespace, signer, asked.content.username)
    if any(reason.code == "RootMismatch" for reason in reasons):
        found_roots = roots_for(mesh, signer, now, asked.content.username)
        advice += tuple(dict.fromkeys(one.mend for one in found_roots if one.severity == "error"))
    kind: Literal["refuse", "wait"] = "refuse" if isinstance(verdict, Refuse) else "wait"
    return replace(found, verdict=kind, reasons=reasons, notes=tuple(notes), advice=advice)


def misnamed(mesh: Mesh, namespace: str, service_account: str, now: datetime) -> Explanation | None:
    """Explain what a workload gets whose namespace claims for all its workloads what can name no issuer; None where it does not.

    Istio gives the value to the workload as it stands, and the API server takes no request for such a signer.
    """
    claims = mesh.world.claims.get(namespace, NO_CLAIMS)
    if not claims.malformed:
        return None
    world = mesh.world
    signer = IssuerRef("ClusterIssuer", "", shown(claims.malformed))
    domain = next(iter(sorted(world.config.trust_domains)), "cluster.local")
    asked = workload_request(domain, namespace, service_account, f"{world.settings.signer_domain}/{claims.malformed}")
    where = f"ProxyConfig {namespace}/{claims.speaker.name}" if claims.speaker is not None else f"namespace {namespace}"
    text = (
        f"{where}: {CERT_SIGNER} is {shown(claims.malformed)}, which names no issuer, and workloads ask for it all the same: they "
        "get no certificate, not that of the mesh's default either"
    )
    near = [str(ref) for ref in sorted(mesh.issuers) if ref.name == claims.malformed.strip().lower().rpartition("/")[2]]
    meant = f" Is {near[0]} meant? Then it is {near[0].rpartition(' ')[2]}." if near else ""
    return Explanation(
        as_requester(asked, next(iter(sorted(world.requesters)), "")),
        "refuse",
        f"spiffe://{domain}/ns/{namespace}/sa/{service_account}",
        namespace,
        signer,
        reasons=(Reason("Malformed", text),),
        known=tuple(known(mesh, namespace, signer, now)),
        advice=(f"Write the issuer's name alone into {CERT_SIGNER}, without kind or domain.{meant}",),
    )


def _reasons(verdict: Refuse | Wait | Unready | Reread) -> tuple[Reason, ...]:
    if isinstance(verdict, Refuse):
        return verdict.reasons
    if isinstance(verdict, Wait | Unready):
        return (verdict.reason,)
    return (Reason("Undecided", f"no decision was reached ({type(verdict).__name__})"),)


class _Meant(NamedTuple):
    """The signer that was asked, and how identity leads to another one, None where it does not."""

    asked: IssuerRef
    way: Route | None

    @property
    def signs(self) -> IssuerRef:
        return self.way.signer if self.way is not None else self.asked

    def told(self) -> Iterator[tuple[str, str]]:
        if (way := self.way) is not None:
            text = f"{way.asked} is signed by {way.signer} for namespace {way.namespace}, by SignerPolicy {way.policy}"
            yield "by identity", f"{text}; its root comes along"


def _meant(signer: IssuerRef, namespace: str, world: World, now: datetime) -> _Meant:
    found = route(world, signer, namespace, now=now) if signer in world.routed else None
    return _Meant(signer, found if isinstance(found, Route) else None)


def _judge(
    asked: Asked, meant: _Meant, mesh: Mesh, now: datetime, limits: Limits, found_out: FoundOut
) -> Verdict | Grant:
    if found_out.failed is not None:
        return Unready(found_out.failed)
    if (waiting := unready(mesh.world)) is not None:
        return waiting  # as when the signer takes a request in
    world = as_known(mesh.world, found_out, now)
    find, signer = mesh.issuers.get, meant.asked
    if signer in world.routed:
        case = case_by_identity(asked.content, signer, find, found_out.answers, world, now=now)
    else:
        case = case_of(asked.content, signer, find(signer), found_out.answers, world)
    verdict = evaluate(case, Circumstances(limits, world, world.settings.cluster_resource_namespace, now))
    if isinstance(verdict, Wait) and case.ref in mesh.unread:
        return _without_secret(asked, meant, mesh, world, limits, now)
    return verdict


def as_known(world: World, found_out: FoundOut, now: datetime) -> World:
    """Return the world with what the signer would have stored and read live by now."""
    bound = found_out.bound
    bindings = world.bindings if bound is None else {**world.bindings, bound.signer: bound}
    one = found_out.confirmed
    confirmed = {one.key: now + CONFIRMED_FOR} if one is not None else {}
    return msgspec.structs.replace(world, bindings=bindings, confirmed=confirmed)


def _without_secret(
    asked: Asked, meant: _Meant, mesh: Mesh, world: World, limits: Limits, now: datetime
) -> Grant | Refuse | Unready | Inquiry | Wait:
    """Decide with what the mesh config says of a CA whose Secret may not be read, and the status of its issuer."""
    signer = meant.signs
    state = mesh.issuers[signer]
    ready = find_condition(state.issuer.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        why = ready.message if ready is not None else "its status says nothing"
        return Wait(Reason("IssuerNotReady", f"{signer} is not ready: {why}"), signer)
    mine = asked.content.username in world.requesters or signer in world.signers
    request = _read(asked, mesh=mine)
    if request is None:
        return Refuse((Reason("UnexpectedContents", "spec.request cannot be read as a CSR"),))
    lifetime = requested_duration(asked.content, mesh=mine)
    if isinstance(lifetime, Refuse):
        return lifetime
    key_id = next((key for key, signers in world.keys.items() if signer in signers), "unread")
    claim = Claim(
        asked.content.username,
        signer,
        key_id,
        request,
        asked.content.usages,
        asked.content.annotations.get(IS_CA_ANNOTATION) == "true",
        lifetime,
        route=meant.way,
    )
    return decide(claim, world, limits, fresh=True, now=now)


def _read(asked: Asked, *, mesh: bool = False) -> SigningRequest | None:
    try:
        return read_request(asked.content.request, one_block=mesh)
    except MalformedRequest:
        return None


def _identity(asked: Asked, mesh: Mesh) -> tuple[str, str]:
    """Whom the request speaks for, and the namespace that this is about: istiod's own for istiod itself."""
    request = _read(asked)
    if request is None:
        return "", ""
    uri = request.uris[0] if len(request.uris) == 1 else ""
    if (spiffe_id := parse_spiffe_id(uri)) is not None:
        return uri, spiffe_id.namespace
    names = ", ".join((*request.uris, *request.dns_names)[:SHOWN])
    return names, mesh.world.settings.istio_namespace if request.dns_names and not request.uris else ""
