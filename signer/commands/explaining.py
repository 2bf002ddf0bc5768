"""Why a request would be signed or not: the signer's own decision, and what it rests on, in plain words. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from issuers.errors import MalformedRequest
from issuers.request import SigningRequest, read_request
from issuers.spiffe import parse_spiffe_id
from signer.api.issuer import IssuerRef
from signer.api.meta import find_condition, to_rfc3339
from signer.api.signername import signer_name_of
from signer.commands.advice import advise
from signer.commands.asking import Asked
from signer.commands.live import Mesh
from signer.commands.tables import ago
from signer.csr.evaluate import Circumstances, case_of, evaluate
from signer.csr.outcome import Answers, AskKey, AskReference, Issue, Verdict
from signer.tenancy.decide import decide
from signer.tenancy.grants import grace_ends
from signer.tenancy.verdict import Bind, Claim, Grant, Limits, Reason, Refuse, Reread, Unready, Wait
from signer.tenancy.world import NO_CLAIMS, Binding

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request. `known` are (subject, sentence) pairs; `advice` one sentence for each code."""

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

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "request": self.asked.title,
            "verdict": self.verdict,
            "requester": self.asked.content.username,
            "identity": self.identity,
            "namespace": self.namespace,
            "signer": signer_name_of(self.signer),
            "reasons": [{"code": reason.code, "message": reason.message} for reason in self.reasons],
            "source": self.source,
            "ends": to_rfc3339(self.ends) if self.ends is not None else None,
            "became": self.asked.became,
            "notes": list(self.notes),
            "known": [{"about": about, "is": text} for about, text in self.known],
            "advice": list(self.advice),
        }


@dataclass(frozen=True, slots=True)
class Question:
    """First find out whether the requester may reference this Issuer; then explain with the answer."""

    issuer: IssuerRef


def explain(
    asked: Asked,
    signer: IssuerRef,
    mesh: Mesh,
    *,
    now: datetime,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    may_reference: bool | None = None,
) -> Explanation | Question:
    """Decide as the signer would, on live state that was read just now.

    `may_reference` is the answer to the Question that is returned for an Issuer.
    """
    notes: list[str] = []
    verdict = _judge(asked, signer, mesh, now, limits, may_reference)
    if isinstance(verdict, AskReference):
        return Question(verdict.issuer)
    if signer in mesh.unread:
        notes.append("the CA's Secret may not be read by you, so the CA itself was not looked at")
    if isinstance(verdict, Bind):
        notes.append(
            f"namespace {verdict.namespace} owns {signer} from then on: a SignerBinding {signer.name} is stored first"
        )
        binding = Binding(signer, verdict.namespace, verdict.namespace_uid, now)
        bound = replace(mesh, world=replace(mesh.world, bindings={**mesh.world.bindings, signer: binding}))
        verdict = _judge(asked, signer, bound, now, limits, may_reference)
    identity, namespace = _identity(asked, mesh)
    found = Explanation(asked, "wait", identity, namespace, signer, known=tuple(known(mesh, namespace, signer, now)))
    if asked.content.username in mesh.world.requesters or not asked.content.username:
        notes.extend(mode_notes(mesh, now))
    if isinstance(verdict, Issue):
        ends = verdict.template.not_after
        notes += [f"enforcing would refuse it: {reason.message}" for reason in verdict.grant.would_refuse]
        source = verdict.grant.source or f"{signer} is no signer of the mesh: signed as cert-manager would"
        return replace(found, verdict="issue", source=source, ends=ends, notes=tuple(notes))
    if isinstance(verdict, Grant):
        return replace(found, verdict="issue", source=verdict.source, ends=now + verdict.lifetime, notes=tuple(notes))
    if isinstance(verdict, AskKey):
        where = f"Secret {verdict.namespace}/{verdict.name}"
        text = f"{signer} signs each certificate with its own key: it is issued if the request's key is in {where}"
        return replace(found, verdict="ask", reasons=(Reason("SelfSigned", text),), notes=tuple(notes))
    reasons = _reasons(verdict)
    advice = dict.fromkeys(
        advise(reason.code, mesh.world, namespace, signer, asked.content.username) for reason in reasons
    )
    kind: Literal["refuse", "wait"] = "refuse" if isinstance(verdict, Refuse) else "wait"
    advice_given = tuple(sentence for sentence in advice if sentence)
    return replace(found, verdict=kind, reasons=reasons, notes=tuple(notes), advice=advice_given)


def _reasons(verdict: object) -> tuple[Reason, ...]:
    if isinstance(verdict, Refuse):
        return verdict.reasons
    if isinstance(verdict, Wait | Unready):
        return (verdict.reason,)
    return (Reason("Undecided", f"no decision was reached ({type(verdict).__name__})"),)


def _judge(
    asked: Asked, signer: IssuerRef, mesh: Mesh, now: datetime, limits: Limits, may_reference: bool | None
) -> Verdict | Grant:
    answers = Answers(may_reference=may_reference, fresh=True)
    case = case_of(asked.content, signer, mesh.issuers.get(signer), answers, mesh.world)
    verdict = evaluate(case, Circumstances(limits, mesh.world, mesh.world.settings.cluster_resource_namespace, now))
    if isinstance(verdict, Wait) and signer in mesh.unread:
        return _without_secret(asked, signer, mesh, now)
    return verdict


def _without_secret(
    asked: Asked, signer: IssuerRef, mesh: Mesh, now: datetime
) -> Grant | Refuse | Unready | Bind | Reread | Wait:
    """Decide with what the mesh config says of a CA whose Secret may not be read, and the status of its issuer."""
    state = mesh.issuers[signer]
    ready = find_condition(state.issuer.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        why = ready.message if ready is not None else "its status says nothing"
        return Wait(Reason("IssuerNotReady", f"{signer} is not ready: {why}"), signer)
    request = _read(asked)
    if request is None:
        return Refuse((Reason("UnexpectedContents", "spec.request cannot be read as a CSR"),))
    key_id = next((key for key, signers in mesh.world.keys.items() if signer in signers), "unread")
    seconds = asked.content.expiration_seconds
    lifetime = None if seconds is None else timedelta(seconds=seconds)
    claim = Claim(asked.content.username, signer, key_id, request, asked.content.usages, is_ca=False, lifetime=lifetime)
    return decide(claim, mesh.world, Limits(), fresh=True, now=now)


def _read(asked: Asked) -> SigningRequest | None:
    try:
        return read_request(asked.content.request)
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
    names = ", ".join((*request.uris, *request.dns_names)[:_SHOWN])
    return names, mesh.world.settings.istio_namespace if request.dns_names and not request.uris else ""


def mode_notes(mesh: Mesh, now: datetime) -> Iterator[str]:
    """Say that the wall is off, or only watches."""
    settings = mesh.world.settings
    if settings.mode == "off":
        yield "the wall is off (--tenancy=off): everything is signed that cert-manager would sign"
    elif not settings.enforces(now) and settings.audit_until is not None:
        yield f"the wall only watches until {to_rfc3339(settings.audit_until)} (--tenancy=audit)"


def known(mesh: Mesh, namespace: str, signer: IssuerRef, now: datetime) -> Iterator[tuple[str, str]]:
    """Say what a decision about this namespace and this signer rests on."""
    world = mesh.world
    yield str(signer), _issuer_text(mesh, signer, now)
    yield "mesh signer", _mesh_signer_text(mesh, signer)
    if namespace:
        claims = world.claims.get(namespace, NO_CLAIMS)
        yield f"namespace {namespace}", _namespace_text(mesh, namespace)
        for problem in claims.problems:
            yield "problem", problem
    if signer.kind == "ClusterIssuer":
        yield "owner", _owner_text(mesh, signer, now)
    if claimants := sorted(world.claimants.get(signer, ())):
        more = f" and {len(claimants) - _SHOWN} more" if len(claimants) > _SHOWN else ""
        yield "claimed by", ", ".join(claimants[:_SHOWN]) + more
    for policy in world.policies.get(signer, ()):
        exists = world.namespaces.get(namespace)
        covers = f"covers namespace {namespace}" if policy.covers(namespace, exists) else "does not cover it"
        yield f"SignerPolicy {policy.name}", f"cannot be read: {policy.problem}" if policy.problem else covers
    defaults = ", ".join(map(str, sorted(world.defaults)))
    yield "mesh default", defaults or "none: a namespace that claims nothing has no signer"
    for problem in (*world.config.problems, *mesh.remarks):
        yield "problem", problem


def _issuer_text(mesh: Mesh, signer: IssuerRef, now: datetime) -> str:
    state = mesh.issuers.get(signer)
    if state is None:
        known = ", ".join(sorted(ref.name for ref in mesh.issuers if ref.kind == signer.kind)[:_SHOWN])
        return f"does not exist; there are: {known or 'none'}"
    if state.authority is not None:
        ends = state.authority.not_after
        return f"ready; its CA ends {to_rfc3339(ends)} ({ago(ends, now)})"
    if state.ready:
        return f"ready, of the type {state.kind}, without a CA"
    return f"not ready: {state.message}"


def _mesh_signer_text(mesh: Mesh, signer: IssuerRef) -> str:
    world = mesh.world
    why = []
    if signer in world.config.signers:
        why.append("meshConfig.caCertificates names it")
    if signer in world.defaults:
        why.append("it is the mesh's default")
    if signer in world.policies:
        why.append("a SignerPolicy names it")
    if signer in world.bindings:
        why.append("it has an owner")
    authority = mesh.authority(signer)
    if authority is not None and signer not in world.signers:
        others = sorted(map(str, world.keys.get(authority.key_id, ())))
        if others:
            why.append(f"its CA has the key of {', '.join(others)}")
    if not why and signer in world.signers:
        why.append("a mesh config named it before")
    return "yes: " + "; ".join(why) if why else "no: no mesh config, SignerPolicy or SignerBinding names it"


def _namespace_text(mesh: Mesh, namespace: str) -> str:
    if namespace not in mesh.world.namespaces:
        return "does not exist, and nothing was ever heard of it"
    claims = mesh.world.claims.get(namespace, NO_CLAIMS)
    if not claims.signers:
        named = f" (ProxyConfig {claims.speaker.name} names none)" if claims.speaker is not None else ""
        return f"claims no signer{named}"
    parts = []
    for signer, name in sorted(claims.signers.items()):
        scope = "for all its workloads" if signer == claims.whole else "for some of its workloads"
        parts.append(f"claims {signer} {scope} (ProxyConfig {name.name})")
    return "; ".join(parts)


def _owner_text(mesh: Mesh, signer: IssuerRef, now: datetime) -> str:
    world = mesh.world
    binding = world.bindings.get(signer)
    if binding is None:
        if signer in world.policies:
            return "nobody: SignerPolicies give it out"
        if signer not in world.signers:
            return "nobody: it is no signer of the mesh"
        if signer.name in world.namespaces:
            return f"nobody yet; namespace {signer.name} alone can own it, having its name"
        return "nobody yet; the first namespace that claims it will"
    if binding.problem:
        return f"SignerBinding {signer.name} cannot be read: {binding.problem}"
    text = f"namespace {binding.namespace} since {to_rfc3339(binding.created)}"
    exists = world.namespaces.get(binding.namespace)
    if exists is None:
        return f"{text}, which is gone; nobody else gets it before it is released"
    if exists.uid != binding.namespace_uid:
        return f"{text}, which is gone; the one of its name now is another (its uid is {exists.uid})"
    if binding.last_issued is not None:
        text += f", last certificate {ago(binding.last_issued, now)}"
    if signer not in world.claims.get(binding.namespace, NO_CLAIMS).signers:
        end = grace_ends(binding, world.settings.grace, now=now).astimezone(UTC)
        text += f"; it claims it no longer, and may renew until {to_rfc3339(end)}"
    return text
